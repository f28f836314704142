/** Servers: listening, address, drop, close. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { attachListener, connect, createServer, listenOn } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

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
});

t.test('servers: ports in use, forms of listen, abort', async (t) => {
  const host = new LoopbackHost();
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
