import { once } from 'node:events';
import net from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { attachListener, connect, createServer, FtSocket, listenOn } from '../../stack/sockets/index.js';
import { type LoopbackEndpoint, LoopbackHost, type LoopbackOptions } from './support/loopback-endpoint.js';

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
    // An async iterator destroys at 'end': whether the kernel's shutdown has completed by then is a race.
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

/** A connected pair; the test drives the host. */
async function pair(
  options: LoopbackOptions = {},
  serverOptions: net.ServerOpts = {},
): Promise<{
  host: LoopbackHost;
  client: FtSocket;
  server: FtSocket;
  listener: net.Server;
  endpoints: LoopbackEndpoint[];
}> {
  const host = new LoopbackHost(options);
  const listener = createServer(host, serverOptions).listen(7);
  const client = connect(host, 7, '127.0.0.1');
  const [server] = (await once(listener, 'connection')) as [FtSocket];
  if (client.connecting) await once(client, 'connect');
  return { host, client, server, listener, endpoints: host.endpoints };
}

t.test('getters and methods', async (t) => {
  const { client, server, listener, endpoints } = await pair();
  for (const socket of [client, server]) {
    t.ok(socket instanceof net.Socket);
    t.equal(socket.connecting, false);
    t.equal(socket.pending, false);
    t.equal(socket.readyState, 'open');
    t.equal(socket.bytesRead, 0);
    t.equal(socket.bytesWritten, 0);
    t.equal(socket.bufferSize, 0);
    t.equal(socket.destroyed, false);
    t.equal(socket.ref(), socket);
    t.equal(socket.unref(), socket);
    t.equal(socket.setNoDelay(), socket);
    t.equal(socket.setKeepAlive(true, 5500), socket);
    t.equal(socket.setTimeout(0), socket);
    t.equal(socket.remoteFamily, 'IPv4');
    t.equal(socket.localFamily, 'IPv4');
    t.equal(socket.remoteAddress, '127.0.0.1');
  }
  t.equal(server.localPort, 7);
  t.equal(client.remotePort, 7);
  t.equal(client.localPort, server.remotePort);
  t.same(server.address(), { address: '127.0.0.1', family: 'IPv4', port: 7 });
  t.equal(endpoints[0].noDelay, true);
  t.same(endpoints[0].keepAlive, [true, 5000]);
  t.equal((server as unknown as { server: unknown }).server, listener);
  client.write('abc');
  await once(server, 'readable');
  t.equal(server.bytesRead, 3);
  t.equal(client.bytesWritten, 3);
  client.cork();
  client.write('äö');
  t.equal(client.bytesWritten, 7, 'buffered bytes count, in bytes');
  client.uncork();
  client.destroy();
  server.destroy();
  t.equal(server.remoteAddress, '127.0.0.1', 'known after destroy');
  t.equal(server.bytesRead, 3);
  t.equal(server.readyState, 'closed');
  t.equal(server.resetAndDestroy(), server);
  t.equal(server.setTimeout(5), server);
  t.same(server.address(), {});
  // Every getter and method of a genuine socket answers without a handle.
  const fresh = new FtSocket(new LoopbackHost(), null);
  for (const name of Object.getOwnPropertyNames(net.Socket.prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(net.Socket.prototype, name)!;
    if (descriptor.get) t.doesNotThrow(() => Reflect.get(fresh, name), name);
  }
  t.equal(fresh.pending, true);
  t.equal(fresh.readyState, 'open');
  fresh.destroy();
  await once(fresh, 'close');
});

t.test('a socket can connect again after its end', async (t) => {
  const host = new LoopbackHost();
  const listener = createServer(host, (socket) => socket.end('hi')).listen(7);
  const socket = connect(host, 7, '127.0.0.1');
  for (let i = 0; i < 2; i++) {
    const chunks: string[] = [];
    const onData = (chunk: Buffer) => chunks.push(chunk.toString());
    socket.on('data', onData);
    await once(socket, 'close');
    socket.off('data', onData);
    t.same(chunks, ['hi']);
    if (i === 0) socket.connect(7, '127.0.0.1');
  }
  listener.close();
});

t.test('backpressure: the writer', async (t) => {
  const { client, server, endpoints } = await pair({ sendBuffer: 100_000, window: 50_000 });
  server.pause();
  let written = 0;
  const total = 5_000_000;
  const chunk = Buffer.alloc(8000, 'y');
  const pump = () => {
    while (written < total) {
      written += chunk.length;
      if (!client.write(chunk)) return;
    }
    client.end();
  };
  client.on('drain', pump);
  pump();
  await new Promise((resolve) => setTimeout(resolve, 30));
  const stalled = written;
  t.ok(stalled < 400_000, `stops at ${stalled}`);
  let got = 0;
  server.on('data', (data) => {
    got += data.length;
  });
  server.resume();
  await once(server, 'end');
  t.equal(got, total);
  t.ok(
    endpoints[0].mostQueued <= 100_000 + client.writableHighWaterMark + 8000,
    `${endpoints[0].mostQueued} unacknowledged at most`,
  );
  t.ok(endpoints[0].wantCalls < (total / 100_000) * 8, `${endpoints[0].wantCalls} requests`);
});

t.test('backpressure: the reader', async (t) => {
  const { client, server, endpoints } = await pair({ window: 50_000 });
  client.end(Buffer.alloc(2_000_000));
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.ok(server.readableLength <= server.readableHighWaterMark + 65536);
  t.ok(endpoints[1].inboxBytes <= 50_000);
  let got = 0;
  for await (const chunk of server) {
    got += (chunk as Buffer).length;
    if (got % 7 === 0) await new Promise(setImmediate);
  }
  t.equal(got, 2_000_000);
});

t.test('a buffer may be reused once its callback has run', async (t) => {
  const { host, client, server } = await pair({ sendBuffer: 1 << 30, window: 1 << 30 });
  const received: Buffer[] = [];
  server.on('data', (chunk) => received.push(chunk));
  host.stalled = true;
  let calls = 0;
  const expected: Buffer[] = [];
  for (const size of [100, 16383, 16384, 40000, 5, 100_000]) {
    const buffer = Buffer.alloc(size, `${size}`);
    expected.push(Buffer.from(buffer));
    client.write(buffer, () => {
      calls++;
      buffer.fill(0);
    });
  }
  const text = 'ä'.repeat(20_000);
  expected.push(Buffer.from(text));
  client.write(text, 'utf8', () => calls++);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(calls, 2, 'only the copied ones in front');
  host.stalled = false;
  let ended = false;
  const last = Buffer.alloc(50_000, 'z');
  expected.push(Buffer.from(last));
  client.end(last, () => {
    ended = true;
    last.fill(0);
  });
  await once(server, 'end');
  t.ok(Buffer.concat(received).equals(Buffer.concat(expected)), 'no byte was changed under way');
  t.equal(calls, 7);
  t.equal(ended, true);
});

t.test('destroy does not give a buffer back too early', async (t) => {
  const { host, client, server, endpoints } = await pair({ sendBuffer: 1 << 30, window: 1 << 30 });
  const received: Buffer[] = [];
  server.on('data', (chunk) => received.push(chunk));
  server.on('error', () => {});
  host.stalled = true;
  const buffer = Buffer.alloc(200_000, 'q');
  const kept = Buffer.from(buffer);
  let called: unknown = 'not';
  client.write(buffer, (error) => {
    called = error;
    buffer.fill(0);
  });
  client.destroy();
  await once(client, 'close');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(called, 'not');
  t.equal(endpoints[0].gone, false);
  host.stalled = false;
  await once(server, 'end');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(Buffer.concat(received).equals(kept));
  t.notOk(called);
  t.equal(endpoints[0].gone, true);
  t.equal(host.timers.live, 0, 'no timer left');
});

t.test('callbacks run also when the connection is lost', async (t) => {
  const { host, client, endpoints } = await pair({ sendBuffer: 1 << 16 });
  host.stalled = true;
  const results: unknown[] = [];
  for (let i = 0; i < 5; i++) client.write(Buffer.alloc(50_000), (error) => results.push(error?.message ?? null));
  client.on('error', () => {});
  await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(results.length, 0);
  endpoints[0].failed('ETIMEDOUT');
  const [error] = await once(client, 'error');
  t.equal(error.code, 'ETIMEDOUT');
  if (!client.closed) await once(client, 'close');
  await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(results.length, 5, 'each once');
  t.ok(
    results.every((message) => message !== null),
    'with an error',
  );
});

t.test('small writes become one chunk', async (t) => {
  const { client, server, endpoints } = await pair();
  const chunks: Buffer[] = [];
  server.on('data', (chunk) => chunks.push(chunk));
  client.cork();
  for (let i = 0; i < 100; i++) client.write(i % 2 ? Buffer.from(`<${i}>`) : `(${i})`);
  client.write('616263', 'hex');
  client.write('ZGVm', 'base64');
  client.write('ÿ', 'latin1');
  client.uncork();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(endpoints[0].writes.length, 1);
  const expected = Array.from({ length: 100 }, (_, i) => (i % 2 ? `<${i}>` : `(${i})`)).join('');
  t.equal(Buffer.concat(chunks).toString('latin1'), `${expected}abcdefÿ`);
  endpoints[0].writes.length = 0;
  client.cork();
  for (let i = 0; i < 30; i++) client.write(Buffer.alloc(5000));
  client.uncork();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(endpoints[0].writes, [65000, 65000, 20000], 'cut the same way wherever the slab stood');
  client.destroy();
});

t.test('timeouts', async (t) => {
  const { host, client, server } = await pair();
  server.resume();
  t.throws(() => client.setTimeout('1' as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => client.setTimeout(-1), { code: 'ERR_OUT_OF_RANGE' });
  let fired = 0;
  client.setTimeout(50, () => fired++);
  t.equal(client.timeout, 50);
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    client.write('.');
  }
  t.equal(fired, 0, 'writing is activity');
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    server.write('.');
  }
  client.resume();
  await once(client, 'timeout');
  t.equal(fired, 1);
  client.write('again');
  await once(client, 'timeout');
  t.equal(fired, 1, 'the callback is for once, the event is not');
  const live = host.timers.live;
  for (let i = 0; i < 100; i++) {
    client.setTimeout(0);
    client.setTimeout(50);
  }
  t.equal(host.timers.live, live, 'the timer is reused');
  client.destroy();
  t.equal(host.timers.live, 0);
  let late = 0;
  client.on('timeout', () => late++);
  await new Promise((resolve) => setTimeout(resolve, 80));
  t.equal(late, 0);
});

t.test('streams: pipeline, setEncoding, onread', async (t) => {
  const { host, client, server } = await pair({ window: 20_000 }, { allowHalfOpen: true });
  const sink: Buffer[] = [];
  const both = Promise.all([
    pipeline(
      server,
      new PassThrough(),
      new Writable({
        write(chunk, _encoding, done) {
          sink.push(chunk);
          setImmediate(done);
        },
      }),
    ),
    pipeline(Readable.from([big, big, Buffer.from('end')]), client),
  ]);
  setImmediate(() => server.end());
  await both;
  t.equal(Buffer.concat(sink).length, 600_003);

  const listener = createServer(host, (socket) => {
    socket.write(Buffer.from([0xc3]));
    setTimeout(() => socket.end(Buffer.from([0xa4])), 10);
  }).listen(8);
  const text = connect(host, 8, '127.0.0.1').setEncoding('utf8');
  const parts: string[] = [];
  text.on('data', (part: string) => parts.push(part));
  await once(text, 'end');
  t.same(parts, ['ä']);
  listener.close();

  const bytes = createServer(host, (socket) => socket.end('0123456789')).listen(9);
  const shared = Buffer.alloc(4);
  const reads: string[] = [];
  const reader = connect(host, {
    host: '127.0.0.1',
    port: 9,
    onread: {
      buffer: shared,
      callback: (length: number, buffer: Uint8Array) => {
        reads.push(Buffer.from(buffer.subarray(0, length)).toString());
        return true;
      },
    },
  });
  await once(reader, 'end');
  t.same(reads, ['0123', '4567', '89']);
  bytes.close();
});

t.test('options, names and signals of connect', async (t) => {
  const host = new LoopbackHost();
  const listener = createServer(host).listen(7);
  const found: unknown[] = [];
  const socket = connect(host, {
    port: 7,
    host: 'service.test',
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 3000,
    lookup: (_name, _options, callback) => setImmediate(() => callback(null, '127.0.0.9', 4)),
  });
  socket.on('lookup', (...args: unknown[]) => found.push(...args));
  await once(socket, 'connect');
  t.same(found, [null, '127.0.0.9', 4, 'service.test']);
  t.equal(socket.remoteAddress, '127.0.0.9');
  t.equal(host.endpoints[0].noDelay, true);
  t.same(host.endpoints[0].keepAlive, [true, 3000]);
  socket.destroy();
  const failing = connect(host, {
    port: 7,
    host: 'nowhere.test',
    lookup: (_name, _options, callback) => callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), '', 0),
  });
  t.match((await once(failing, 'error'))[0], { code: 'ENOTFOUND' });
  t.throws(() => connect(host, { port: 70000 }), { code: 'ERR_SOCKET_BAD_PORT' });
  t.throws(() => connect(host, '/a/path' as unknown as number), { code: 'ERR_INVALID_ARG_VALUE' });
  const aborter = new AbortController();
  const aborted = new FtSocket(host, null, { signal: aborter.signal }).connect(7, '127.0.0.1');
  aborter.abort();
  t.match((await once(aborted, 'error'))[0], { name: 'AbortError' });
  // Data written before the connection stands is sent after it.
  const early = connect(host, 7, '127.0.0.1');
  early.write('early ');
  early.end('bird');
  t.equal(early.bytesWritten, 10);
  const [, peer] = await Promise.all([once(early, 'finish'), once(listener, 'connection')]);
  const chunks: string[] = [];
  for await (const chunk of peer[0]) chunks.push(String(chunk));
  t.equal(chunks.join(''), 'early bird');
  listener.close();
});

t.test('servers: listening, address, drop, close', async (t) => {
  const host = new LoopbackHost();
  const plain = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 2000, pauseOnConnect: true });
  t.equal(plain.listening, false);
  attachListener(plain, host, { address: '10.0.0.1', port: 0, backlog: 5 });
  t.equal(plain.listening, true);
  t.throws(() => attachListener(plain, host, { port: 1 }), { code: 'ERR_SERVER_ALREADY_LISTEN' });
  t.throws(() => plain.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' });
  await once(plain, 'listening');
  const { port, address, family } = plain.address() as net.AddressInfo;
  t.same([address, family], ['10.0.0.1', 'IPv4']);
  t.equal(plain.ref(), plain);
  t.equal(plain.unref(), plain);
  plain.maxConnections = 1;
  const sockets: net.Socket[] = [];
  plain.on('connection', (socket) => sockets.push(socket));
  const first = connect(host, port, '10.0.0.1');
  await once(plain, 'connection');
  t.equal(sockets[0].isPaused(), true);
  t.equal(host.endpoints[1].noDelay, true);
  t.same(host.endpoints[1].keepAlive, [true, 2000]);
  const second = connect(host, port, '10.0.0.1');
  second.on('error', () => {});
  const [dropped] = await once(plain, 'drop');
  t.match(dropped, { localAddress: '10.0.0.1', localPort: port, localFamily: 'IPv4', remoteFamily: 'IPv4' });
  second.destroy();
  const count = await new Promise((resolve) => plain.getConnections((_error, n) => resolve(n)));
  t.equal(count, 1);
  let closed = false;
  plain.close(() => {
    closed = true;
  });
  t.equal(plain.listening, false);
  t.equal(plain.address(), null);
  await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(closed, false, 'waits for the connection');
  const over = once(plain, 'close');
  sockets[0].destroy();
  await over;
  t.equal(closed, true);
  first.destroy();

  const busy = createServer(host).listen(99);
  await once(busy, 'listening');
  const late = createServer(host).listen(99);
  const [error] = await once(late, 'error');
  t.match(error, {
    code: 'EADDRINUSE',
    syscall: 'listen',
    port: 99,
    message: 'listen EADDRINUSE: address already in use :::99',
  });
  t.equal(late.listening, false);
  const elsewhere = createServer(host).listen({ port: 1, host: '203.0.113.1' });
  t.match((await once(elsewhere, 'error'))[0], { code: 'EADDRNOTAVAIL' });
  t.throws(() => createServer(host).listen(-1), { code: 'ERR_SOCKET_BAD_PORT' });
  t.equal(listenOn(net.createServer(), host, ['/tmp/a.sock']), false);
  t.equal(listenOn(net.createServer(), host, [{ fd: 3 }]), false);
  const again = createServer(host);
  for (const args of [
    [0],
    [],
    ['0', '127.0.0.1'],
    [{ port: 0, host: '127.0.0.1' }],
    [0, '127.0.0.1', 5],
    [null],
  ] as unknown[][]) {
    await new Promise<void>((resolve) => {
      again.listen(...([...args, () => resolve()] as unknown as [number]));
    });
    await new Promise((resolve) => again.close(resolve));
  }
  const aborter = new AbortController();
  const signalled = createServer(host).listen({ port: 0, signal: aborter.signal });
  aborter.abort();
  await once(signalled, 'close');
  busy.close();
});
