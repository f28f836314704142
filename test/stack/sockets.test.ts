/** Sockets: methods, backpressure, callbacks, timeouts, streams and options. */
import { once } from 'node:events';
import net from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { connect, createServer, FtSocket } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';
import { pair } from './support/socket-pair.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

const big = Buffer.alloc(300_000, 'x');

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
