import { once } from 'node:events';
import http from 'node:http';
import type net from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { attachListener, connect, FtSocket } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

const PORT = 80;

/** An http server on a loopback, and an agent that connects to it. */
async function serve(
  listener: http.RequestListener,
  options: http.ServerOptions = {},
): Promise<{ host: LoopbackHost; server: http.Server; agent: http.Agent }> {
  const host = new LoopbackHost({ sendBuffer: 1 << 18 });
  const server = http.createServer(options, listener);
  attachListener(server, host, { port: PORT });
  await once(server, 'listening');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  (agent as unknown as { createConnection: () => net.Socket }).createConnection = () =>
    connect(host, PORT, '127.0.0.1');
  return { host, server, agent };
}

/** One request; resolves with the answer and its whole body. */
async function ask(
  options: http.RequestOptions,
  body?: string | Buffer,
): Promise<{ response: http.IncomingMessage; text: string }> {
  const request = http.request({ host: 'test', port: PORT, ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { response, text: Buffer.concat(chunks).toString() };
}

/** Writes raw text, and collects what comes until `enough`. */
async function raw(host: LoopbackHost, text: string, enough: (got: string) => boolean): Promise<string> {
  const socket = connect(host, PORT, '127.0.0.1');
  socket.write(text);
  let got = '';
  socket.on('data', (chunk: Buffer) => {
    got += chunk.toString('latin1');
    if (enough(got)) socket.destroy();
  });
  await once(socket, 'close');
  return got;
}

t.test('keep-alive, chunked, upload, large bodies', async (t) => {
  const seen = new Set<net.Socket>();
  const { server, agent, host } = await serve(async (request, response) => {
    seen.add(request.socket);
    t.ok(request.socket instanceof FtSocket);
    t.equal(request.socket.remoteAddress, '127.0.0.1');
    if (request.url === '/upload') {
      let count = 0;
      for await (const chunk of request) count += (chunk as Buffer).length;
      response.end(String(count));
    } else if (request.url === '/chunked') {
      for (let i = 0; i < 50; i++) {
        response.write(`part ${i};`);
        if (i % 10 === 0) await new Promise(setImmediate);
      }
      response.end();
    } else if (request.url === '/large') {
      response.end(Buffer.alloc(5_000_000, 'L'));
    } else if (request.url === '/stream') {
      await pipeline(Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(30_000, 's'))), response);
    } else {
      response.end('x'.repeat(10_000));
    }
  });
  for (let i = 0; i < 20; i++) t.equal((await ask({ agent, path: '/' })).text.length, 10_000);
  t.equal(seen.size, 1, 'one connection for all');
  t.match((await ask({ agent, path: '/chunked' })).text, /^part 0;.*part 49;$/);
  t.equal((await ask({ agent, path: '/upload', method: 'POST' }, Buffer.alloc(3_000_000))).text, '3000000');
  t.equal((await ask({ agent, path: '/large' })).text.length, 5_000_000);
  t.equal((await ask({ agent, path: '/stream' })).text.length, 3_000_000);
  t.equal(seen.size, 1);
  t.ok(host.endpoints.every((endpoint) => endpoint.mostQueued < 5_100_000));
  agent.destroy();
  server.close();
  await once(server, 'close');
});

t.test('pipelining', async (t) => {
  let running = 0;
  const { host, server } = await serve((request, response) => {
    running++;
    setTimeout(() => response.end(`<${request.url}>`), 20 - 4 * running);
  });
  const got = await raw(
    host,
    ['/1', '/2', '/3'].map((path) => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`).join(''),
    (text) => text.includes('</3>'),
  );
  t.same(got.match(/<\/\d>/g), ['</1>', '</2>', '</3>'], 'in order');
  server.close();
  await once(server, 'close');
});

t.test('connection: close, bad requests, HTTP/1.0', async (t) => {
  const { host, server } = await serve((_request, response) => response.end(Buffer.alloc(200_000, 'c')));
  const full = await raw(host, 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n', () => false);
  t.equal(full.length - full.indexOf('\r\n\r\n') - 4, 200_000, 'all of it, then the end');
  t.match(await raw(host, 'NONSENSE\r\n\r\n', () => false), /^HTTP\/1\.1 400/);
  t.match(await raw(host, 'GET / HTTP/1.0\r\n\r\n', () => false), /^HTTP\/1\.1 200/);
  server.close();
  await once(server, 'close');
});

t.test('Expect: 100-continue', async (t) => {
  const { server, agent } = await serve(() => t.fail('not a plain request'));
  server.on('checkContinue', (request, response) => {
    response.writeContinue();
    request.resume();
    request.on('end', () => response.end('got it'));
  });
  const request = http.request({ agent, host: 'test', port: PORT, method: 'PUT', headers: { expect: '100-continue' } });
  request.flushHeaders();
  await once(request, 'continue');
  request.end('body');
  const [response] = await once(request, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  t.equal(Buffer.concat(chunks).toString(), 'got it');
  agent.destroy();
  server.close();
});

t.test('timeouts of requests and of idle connections', async (t) => {
  const { host, server, agent } = await serve((_request, response) => response.end('ok'), { keepAliveTimeout: 20 });
  t.equal((await ask({ agent })).text, 'ok');
  agent.destroy();
  const idle = connect(host, PORT, '127.0.0.1');
  idle.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
  idle.resume();
  await once(idle, 'end');
  t.pass('closed by keepAliveTimeout');
  server.setTimeout(40);
  const silent = connect(host, PORT, '127.0.0.1');
  silent.resume();
  await once(silent, 'end');
  t.pass('closed by server.timeout');
  let released = 0;
  server.on('timeout', (socket: net.Socket) => {
    released++;
    socket.destroy();
  });
  const held = connect(host, PORT, '127.0.0.1');
  held.resume();
  await once(held, 'close');
  t.equal(released, 1);
  server.close();
  await once(server, 'close');
  const slow = await serve(() => {});
  const request = http.get({ agent: slow.agent, host: 'test', port: PORT, timeout: 30 });
  request.on('error', () => {});
  await once(request, 'timeout');
  request.destroy();
  slow.server.closeAllConnections();
  slow.server.close();
});

t.test('a client that goes away', async (t) => {
  const aborted = new Promise<void>((resolve) => {
    void serve((request, response) => {
      response.write('begin');
      request.on('close', () => resolve());
    }).then(({ host, server }) => {
      const socket = connect(host, PORT, '127.0.0.1');
      socket.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
      socket.once('data', () => {
        socket.resetAndDestroy();
        server.close();
      });
    });
  });
  await aborted;
  t.pass('the request was told');
});

t.test('upgrade: WebSocket', async (t) => {
  const { host, server } = await serve((_request, response) => response.end('plain'));
  const sockets = new WebSocketServer({ server, path: '/ws' });
  sockets.on('connection', (socket, request) => {
    t.equal(request.socket.remoteAddress, '127.0.0.1');
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  const client = new WebSocket('ws://127.0.0.1/ws', {
    createConnection: (() => connect(host, PORT, '127.0.0.1')) as never,
  });
  await once(client, 'open');
  client.send('hello');
  t.equal(String((await once(client, 'message'))[0]), 'hello');
  const payload = Buffer.alloc(2_000_000, 7);
  client.send(payload);
  t.ok(payload.equals((await once(client, 'message'))[0]));
  client.ping();
  await once(client, 'pong');
  client.close(1000, 'bye');
  const [code, reason] = await once(client, 'close');
  t.same([code, String(reason)], [1000, 'bye']);
  sockets.close();

  const own = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    own.handleUpgrade(request, socket, head, (connection) => connection.send('from noServer'));
  });
  const second = new WebSocket('ws://127.0.0.1/own', {
    createConnection: (() => connect(host, PORT, '127.0.0.1')) as never,
  });
  t.equal(String((await once(second, 'message'))[0]), 'from noServer');
  second.terminate();
  await once(second, 'close');
  server.close();
  await once(server, 'close');
});

t.test('CONNECT and a tunnel', async (t) => {
  const { host, server } = await serve(() => {});
  server.on('connect', (_request, socket, head) => {
    socket.unshift(head);
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.pipe(socket);
  });
  const got = await raw(host, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\necho me', (text) => text.endsWith('echo me'));
  t.match(got, /200 Connection Established\r\n\r\necho me$/);
  server.close();
});

t.test('maxConnections and closeIdleConnections', async (t) => {
  const { host, server } = await serve((_request, response) => response.end('ok'));
  server.maxConnections = 1;
  const first = connect(host, PORT, '127.0.0.1');
  await once(server, 'connection');
  const second = connect(host, PORT, '127.0.0.1');
  second.on('error', () => {});
  await once(server, 'drop');
  await once(second.resume(), 'close');
  first.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
  first.resume();
  await once(first, 'data');
  server.close();
  await once(server, 'close');
  if (!first.closed) await once(first, 'close');
  t.pass('the idle connection was closed');
});
