/** Sockets over an endpoint emit the same events and errors as the kernel's sockets. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { connect, createServer } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

/** Where a script of the differential tests runs. */
interface World {
  createServer(options: net.ServerOpts, listener: (socket: net.Socket) => void): net.Server;
  connect(options: net.NetConnectOpts & { port: number }): net.Socket;
}

const kernel: World = {
  createServer: (options, listener) => net.createServer(options, listener),
  connect: (options) => net.connect({ host: '127.0.0.1', ...options }),
};

function ours(host: LoopbackHost): World {
  return {
    createServer: (options, listener) => createServer(host, options, listener),
    connect: (options) => connect(host, { host: '127.0.0.1', ...options }),
  };
}

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

const watched = ['connect', 'ready', 'end', 'finish', 'drain', 'timeout', 'close', 'error'];

/** Writes down a socket's events; successive chunks of data count once. */
function record(socket: net.Socket, log: string[], withData = true): void {
  for (const name of watched) {
    socket.on(name, (value: unknown) => {
      const shown =
        value instanceof Error
          ? `(${(value as NodeJS.ErrnoException).code}: ${value.message.replace(/\d{4,5}/g, 'PORT')})`
          : typeof value === 'boolean'
            ? `(${value})`
            : '';
      log.push(`${name}${shown} ${socket.readyState}`);
    });
  }
  if (!withData) return;
  socket.on('data', () => {
    if (log[log.length - 1] !== 'data') log.push('data');
  });
}

type Script = (world: World, client: string[], server: string[]) => Promise<void>;

/** Listens, connects, runs, and returns when both sockets are closed. */
function talk(
  options: net.ServerOpts,
  clientOptions: Partial<net.NetConnectOpts>,
  onServer: (socket: net.Socket) => void,
  onClient: (socket: net.Socket) => void,
  withData: [client: boolean, server: boolean] = [true, true],
): Script {
  return async (world, clientLog, serverLog) => {
    let closed: Promise<unknown> | null = null;
    const server = world.createServer(options, (socket) => {
      record(socket, serverLog, withData[1]);
      closed = new Promise((resolve) => socket.on('close', resolve));
      onServer(socket);
    });
    server.listen(0);
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const client = world.connect({ port, ...clientOptions } as never);
    record(client, clientLog, withData[0]);
    const clientClosed = new Promise((resolve) => client.on('close', resolve));
    onClient(client);
    await clientClosed;
    await closed;
    server.close();
    await once(server, 'close');
  };
}

const big = Buffer.alloc(300_000, 'x');

const scripts: Record<string, Script> = {
  'echo and end': talk(
    {},
    {},
    (socket) => socket.on('data', (chunk) => socket.write(chunk)),
    (socket) => {
      socket.write('hello');
      socket.once('data', () => socket.end());
    },
  ),
  'end at once with data': talk(
    {},
    {},
    (socket) => socket.resume(),
    (socket) => socket.end('bye'),
  ),
  'server ends first': talk(
    {},
    {},
    (socket) => socket.end('hello'),
    () => {},
  ),
  'half-open server': talk(
    { allowHalfOpen: true },
    {},
    (socket) => socket.on('end', () => setTimeout(() => socket.end('later'), 20)),
    (socket) => socket.end('first'),
  ),
  'half-open both': talk(
    { allowHalfOpen: true },
    { allowHalfOpen: true },
    (socket) => {
      socket.end('server is done');
    },
    (socket) => {
      socket.on('end', () => setTimeout(() => socket.end('so is the client'), 20));
    },
  ),
  'destroy by the client': talk(
    {},
    {},
    () => {},
    (socket) => socket.on('connect', () => socket.destroy()),
  ),
  'destroy with an error': talk(
    {},
    {},
    () => {},
    (socket) => socket.on('connect', () => socket.destroy(Object.assign(new Error('mine'), { code: 'EMINE' }))),
  ),
  'destroy before the connection': talk(
    {},
    {},
    (socket) => socket.resume(),
    (socket) => {
      socket.once('connect', () => socket.destroySoon());
    },
  ),
  resetAndDestroy: talk(
    {},
    {},
    () => {},
    (socket) => socket.on('connect', () => setTimeout(() => socket.resetAndDestroy(), 20)),
  ),
  'write after the peer ended': talk(
    {},
    {},
    (socket) => {
      socket.end();
    },
    (socket) => {
      socket.on('end', () => {
        setImmediate(() => socket.write('too late', () => {}));
      });
    },
  ),
  'write after end': talk(
    {},
    {},
    (socket) => socket.resume(),
    (socket) => {
      socket.end('x');
      socket.write('y', () => {});
    },
  ),
  'destroySoon after a write': talk(
    {},
    {},
    (socket) => socket.resume(),
    (socket) => {
      socket.write('x');
      socket.destroySoon();
    },
  ),
  timeout: talk(
    {},
    {},
    (socket) => socket.resume(),
    (socket) => {
      socket.setTimeout(60);
      socket.on('timeout', () => socket.end());
    },
  ),
  'nobody reads on the server': talk(
    { pauseOnConnect: true },
    {},
    (socket) => setTimeout(() => socket.resume(), 30),
    (socket) => socket.end(big),
  ),
  'async iteration': talk(
    {},
    {},
    (socket) => socket.end(big),
    (socket) => {
      void (async () => {
        let count = 0;
        for await (const chunk of socket) count += (chunk as Buffer).length;
        if (count !== big.length) socket.emit('short');
      })();
    },
    [false, true],
  ),
};

t.test('the same events as a kernel socket', async (t) => {
  for (const [name, script] of Object.entries(scripts)) {
    const logs: string[][] = [];
    for (const world of [kernel, ours(new LoopbackHost())]) {
      const client: string[] = [];
      const server: string[] = [];
      await script(world, client, server);
      logs.push(client, server);
    }
    // An async iterator destroys at 'end': whether the kernel's shutdown has completed by then is a
    // race.
    const kept = (log: string[] | undefined) =>
      log!.filter((line) => name !== 'async iteration' || !line.startsWith('finish'));
    t.same(kept(logs[2]), kept(logs[0]), `${name}: client`);
    t.same(kept(logs[3]), kept(logs[1]), `${name}: server`);
  }
});

t.test('connect errors look like the kernel', async (t) => {
  const probe = net.createServer().listen(0);
  await once(probe, 'listening');
  const { port } = probe.address() as net.AddressInfo;
  probe.close();
  await once(probe, 'close');
  const seen: Record<string, unknown>[] = [];
  for (const world of [kernel, ours(new LoopbackHost())]) {
    const socket = world.connect({ port });
    t.equal(socket.connecting, true);
    t.equal(socket.readyState, 'opening');
    t.equal(socket.pending, true);
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException & { address?: string; port?: number }];
    seen.push({
      code: error.code,
      errno: error.errno,
      syscall: error.syscall,
      message: error.message,
      address: error.address,
      port: error.port,
      connecting: socket.connecting,
      readyState: socket.readyState,
      pending: socket.pending,
      destroyed: socket.destroyed,
    });
    const [hadError] = await once(socket, 'close');
    t.equal(hadError, true);
  }
  t.same(seen[1], seen[0]);

  const unreachable = connect(new LoopbackHost(), { host: '203.0.113.1', port: 9 });
  const [error] = await once(unreachable, 'error');
  t.match(error, { code: 'EHOSTUNREACH', message: 'connect EHOSTUNREACH 203.0.113.1:9', syscall: 'connect' });
});
