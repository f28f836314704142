import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { connect, createServer } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

type Shown = Record<string, unknown>;

/** All that a program can see of an error. */
function show(error: NodeJS.ErrnoException & { address?: string; port?: number }): Shown {
  const { name, message, code, errno, syscall, address, port } = error;
  return { name, message, code, errno, syscall, address, port };
}

/** Listeners and connections of one world, kernel or ours. */
interface World {
  createServer(options: net.ServerOpts, listener: (socket: net.Socket) => void): net.Server;
  connect(options: net.TcpNetConnectOpts): net.Socket;
}

const worlds = (): World[] => {
  const host = new LoopbackHost();
  return [
    {
      createServer: (options, listener) => net.createServer(options, listener),
      connect: (options) => net.connect(options),
    },
    {
      createServer: (options, listener) => createServer(host, options, listener),
      connect: (options) => connect(host, { host: '127.0.0.1', ...options } as never),
    },
  ];
};

const errorOf = async (emitter: net.Socket | net.Server): Promise<Shown> =>
  show((await once(emitter, 'error'))[0] as NodeJS.ErrnoException);

type Tap = Pick<typeof t, 'same'>;

/** Runs a script in both worlds on a fresh server; both must show the same. */
async function same(
  t: Tap,
  title: string,
  onServer: (socket: net.Socket) => void,
  onClient: (socket: net.Socket) => Promise<unknown>,
): Promise<void> {
  const seen: unknown[] = [];
  for (const world of worlds()) {
    const sockets: net.Socket[] = [];
    const server = world.createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      onServer(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const client = world.connect({ port, host: '127.0.0.1' });
    await once(client, 'connect');
    seen.push(await onClient(client));
    for (const socket of [client, ...sockets]) socket.destroy();
    server.close();
    await once(server, 'close');
  }
  t.same(seen[1], seen[0], title);
}

t.test('errors of connections are those of the kernel', async (t) => {
  await same(
    t,
    'ECONNRESET while reading',
    (socket) => setTimeout(() => socket.resetAndDestroy(), 10),
    async (client) => {
      client.resume();
      const error = await errorOf(client);
      const [hadError] = await once(client, 'close');
      return { error, hadError, readable: client.readable, writable: client.writable };
    },
  );
  await same(
    t,
    'writing after end()',
    (socket) => socket.resume(),
    async (client) => {
      client.end('x');
      let given: Shown | null = null;
      client.write('y', (error) => {
        given = show(error as NodeJS.ErrnoException);
      });
      return { error: await errorOf(client), given };
    },
  );
  await same(
    t,
    'EPIPE: writing after the peer ended, with allowHalfOpen off',
    (socket) => socket.end(),
    async (client) => {
      client.resume();
      await once(client, 'end');
      const given = await new Promise<Shown>((resolve) => {
        client.on('error', () => {});
        client.write('late', (error) => resolve(show(error as NodeJS.ErrnoException)));
      });
      return { given };
    },
  );
  await same(
    t,
    'writing to a destroyed socket',
    () => {},
    async (client) => {
      client.destroy();
      const given = await new Promise<Shown>((resolve) => {
        client.write('late', (error) => resolve(show(error as NodeJS.ErrnoException)));
      });
      return { given, destroyed: client.destroyed, pending: client.pending };
    },
  );
  await same(
    t,
    'resetAndDestroy twice, and after the end',
    () => {},
    async (client) => {
      client.resetAndDestroy();
      client.on('error', () => {});
      client.resetAndDestroy();
      const [hadError] = await once(client, 'close');
      return { hadError, errored: client.errored === null ? null : show(client.errored as NodeJS.ErrnoException) };
    },
  );
});

t.test('errors of listeners are those of the kernel', async (t) => {
  const seen: unknown[] = [];
  const holder = net.createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as net.AddressInfo;
  const [kernel, ours] = worlds() as [World, World];
  const blocker = ours.createServer({}, () => {}).listen(port, '127.0.0.1');
  await once(blocker, 'listening');
  for (const world of [kernel, ours]) {
    const taken = world.createServer({}, () => {}).listen(port, '127.0.0.1');
    const foreign = world.createServer({}, () => {}).listen(1, '203.0.113.1');
    const errors = await Promise.all([errorOf(taken), errorOf(foreign)]);
    seen.push({ errors, listening: taken.listening });
    // A server that failed may listen elsewhere.
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    taken.close();
    await once(taken, 'close');
    const closedTwice = await new Promise((resolve) => taken.close((error) => resolve(error && show(error))));
    seen.push({ closedTwice });
  }
  t.same(seen[2], seen[0]);
  t.same(seen[3], seen[1]);
  t.match(seen[2], { errors: [{ code: 'EADDRINUSE' }, { code: 'EADDRNOTAVAIL' }] });
  holder.close();
  blocker.close();
});

t.test('ECONNREFUSED, ETIMEDOUT and EHOSTUNREACH while connecting', async (t) => {
  const host = new LoopbackHost();
  const refused = connect(host, { host: '127.0.0.1', port: 9, localAddress: '127.0.0.5', localPort: 4000 });
  t.match(show((await once(refused, 'error'))[0]), {
    message: 'connect ECONNREFUSED 127.0.0.1:9 - Local (127.0.0.5:4000)',
    code: 'ECONNREFUSED',
    errno: -111,
    syscall: 'connect',
    address: '127.0.0.1',
    port: 9,
  });
  const server = createServer(host).listen(10);
  const slow = connect(host, 10, '127.0.0.1');
  // The connection attempt begins in the next tick.
  await new Promise((resolve) => process.nextTick(resolve));
  const [endpoint] = host.endpoints.slice(-1);
  endpoint.gone = true;
  endpoint.events!.onClose('ETIMEDOUT');
  t.match(show((await once(slow, 'error'))[0]), {
    message: 'connect ETIMEDOUT 127.0.0.1:10',
    errno: -110,
    syscall: 'connect',
  });
  const established = connect(host, 10, '127.0.0.1');
  await once(established, 'connect');
  host.endpoints.find((one) => one.remotePort === 10 && one.established)!.failed('ETIMEDOUT');
  t.match(show((await once(established, 'error'))[0]), { message: 'read ETIMEDOUT', syscall: 'read', errno: -110 });
  t.match(show((await once(connect(host, 9, '203.0.113.1'), 'error'))[0]), {
    message: 'connect EHOSTUNREACH 203.0.113.1:9',
    errno: -113,
  });
  server.close();
});
