import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import t from 'tap';
import { attachListener, connect, createServer, type FtSocket } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

const folder = mkdtempSync(join(tmpdir(), 'ft-tcp-tls-'));
execFileSync(
  'openssl',
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -keyout key.pem -out cert.pem'.split(
    ' ',
  ),
  { cwd: folder, stdio: 'ignore' },
);
const key = readFileSync(join(folder, 'key.pem'));
const cert = readFileSync(join(folder, 'cert.pem'));
rmSync(folder, { recursive: true });

const PORT = 443;

async function listening<S extends net.Server>(server: S, host: LoopbackHost): Promise<S> {
  attachListener(server, host, { port: PORT });
  await once(server, 'listening');
  return server;
}

function secure(host: LoopbackHost): tls.TLSSocket {
  return tls.connect({ socket: connect(host, PORT, '127.0.0.1'), ca: cert, servername: 'test' });
}

t.test('https', async (t) => {
  const host = new LoopbackHost({ sendBuffer: 1 << 18 });
  const server = await listening(
    https.createServer({ key, cert }, async (request, response) => {
      const socket = request.socket as tls.TLSSocket;
      t.equal(socket.encrypted, true);
      t.equal(socket.connecting, false);
      t.equal(socket.remoteAddress, '127.0.0.1');
      t.equal(socket.remoteFamily, 'IPv4');
      t.equal(socket.localPort, PORT);
      t.type(socket.remotePort, 'number');
      let count = 0;
      for await (const chunk of request) count += (chunk as Buffer).length;
      response.end(request.method === 'POST' ? String(count) : Buffer.alloc(3_000_000, 'T'));
    }),
    host,
  );
  const agent = new https.Agent({ keepAlive: true, ca: cert });
  (agent as unknown as { createConnection: () => tls.TLSSocket }).createConnection = () => secure(host);
  for (const method of ['GET', 'POST', 'GET']) {
    const request = https.request({ agent, host: 'test', port: PORT, method });
    request.end(method === 'POST' ? Buffer.alloc(2_000_000) : undefined);
    const [response] = await once(request, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (method === 'POST') t.equal(body.toString(), '2000000');
    else t.ok(body.length === 3_000_000 && body.every((byte) => byte === 84));
  }
  t.equal(host.endpoints.length, 2, 'one connection for all');
  agent.destroy();
  server.close();
  await once(server, 'close');
});

t.test('emit("connection") with a socket of ours', async (t) => {
  const host = new LoopbackHost();
  const server = https.createServer({ key, cert }, (request, response) => response.end(request.socket.remoteAddress));
  createServer(host, (socket) => server.emit('connection', socket)).listen(PORT);
  const client = secure(host);
  client.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
  const chunks: string[] = [];
  for await (const chunk of client) chunks.push(String(chunk));
  t.match(chunks.join(''), /\r\n\r\n127\.0\.0\.1$/);
});

t.test('tls: echo, addresses, certificates, half-close', async (t) => {
  const host = new LoopbackHost();
  const server = await listening(
    tls.createServer({ key, cert }, (socket) => {
      t.equal(socket.remoteAddress, '127.0.0.1');
      t.same(socket.address(), { address: '127.0.0.1', family: 'IPv4', port: PORT });
      socket.pipe(socket);
    }),
    host,
  );
  const client = secure(host);
  t.equal(client.connecting, true);
  await once(client, 'secureConnect');
  t.equal(client.connecting, false);
  t.equal(client.authorized, true);
  t.equal(client.getPeerCertificate().subject.CN, 'test');
  t.equal(client.remotePort, PORT);
  t.equal(client.remoteAddress, '127.0.0.1');
  t.equal(client.readyState, 'open');
  const payload = Buffer.alloc(1_000_000, 'e');
  client.end(payload);
  const chunks: Buffer[] = [];
  for await (const chunk of client) chunks.push(chunk as Buffer);
  t.ok(payload.equals(Buffer.concat(chunks)));
  server.close();
  await once(server, 'close');
});

t.test('tls over a socket that is connected already', async (t) => {
  const host = new LoopbackHost();
  const server = await listening(
    tls.createServer({ key, cert }, (socket) => socket.end('hi')),
    host,
  );
  const below = connect(host, PORT, '127.0.0.1');
  await once(below, 'connect');
  const client = tls.connect({ socket: below, ca: cert, servername: 'test' });
  t.equal(client.connecting, false);
  const chunks: string[] = [];
  for await (const chunk of client) chunks.push(String(chunk));
  t.equal(chunks.join(''), 'hi');
  server.close();
});

t.test('timers of a TLSSocket run on the host', async (t) => {
  const host = new LoopbackHost();
  const server = await listening(
    tls.createServer({ key, cert, handshakeTimeout: 40 }, (socket) => socket.resume()),
    host,
  );
  const silent = connect(host, PORT, '127.0.0.1');
  const [error] = await once(server, 'tlsClientError');
  t.equal(error.code, 'ERR_TLS_HANDSHAKE_TIMEOUT');
  silent.destroy();
  const client = secure(host);
  await once(client, 'secureConnect');
  const before = host.timers.live;
  let calls = 0;
  client.setTimeout(400, () => calls++);
  t.equal(host.timers.live, before + 1);
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.write('.');
  }
  t.equal(calls, 0, 'each write begins the time anew');
  await once(client, 'timeout');
  t.equal(calls, 1);
  client.destroy();
  await once(client, 'close');
  server.close();
  await once(server, 'close');
  t.equal(host.timers.live, 0);
});

t.test('errors: plain text to a tls server, and a reset', async (t) => {
  const host = new LoopbackHost();
  const server = await listening(tls.createServer({ key, cert }), host);
  const plain = connect(host, PORT, '127.0.0.1');
  plain.on('error', () => {});
  plain.write('GET / HTTP/1.0\r\n\r\n');
  const [error, socket] = await once(server, 'tlsClientError');
  t.match(error.code, /^ERR_SSL_/);
  t.equal(socket.remoteAddress, '127.0.0.1', 'known also for a failed handshake');
  plain.destroy();

  const client = secure(host);
  const [[peer]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
  const failed = once(client, 'error');
  peer.on('error', () => {});
  host.endpoints.at(-1)!.abort();
  t.match((await failed)[0], { code: 'ECONNRESET' });
  peer.destroy();
  server.close();
  await once(server, 'close');
});

t.test('plain tls sockets of Node still work', async (t) => {
  const server = tls.createServer({ key, cert }, (socket) => socket.end('kernel')).listen(0);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const client = tls.connect({ port, ca: cert, servername: 'test' });
  const chunks: string[] = [];
  for await (const chunk of client) chunks.push(String(chunk));
  t.equal(chunks.join(''), 'kernel');
  server.close();
});

t.test('large writes through tls are not held until they are acknowledged', async (t) => {
  const host = new LoopbackHost({ sendBuffer: 1 << 30, window: 1 << 30 });
  const server = await listening(
    tls.createServer({ key, cert }, (socket) => socket.resume()),
    host,
  );
  const below: FtSocket = connect(host, PORT, '127.0.0.1');
  const client = tls.connect({ socket: below, ca: cert, servername: 'test' });
  await once(client, 'secureConnect');
  host.stalled = true;
  await new Promise<void>((resolve) => {
    client.write(Buffer.alloc(1_000_000), () => resolve());
  });
  t.ok(below.bytesWritten > 1_000_000);
  host.stalled = false;
  client.end();
  await once(client, 'close');
  server.close();
});
