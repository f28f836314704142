/** What works with each way of making a socket. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import WebSocket, { WebSocketServer } from 'ws';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import { LoopbackHost } from '../../test/stack/support/loopback-endpoint.js';

import type { Way } from './ways.js';

/** Tries one feature. @returns whether it works */
export type Check = (way: Way) => Promise<boolean> | boolean;

/** Two connected sockets of one way. */
async function pairOf(way: Way): Promise<{ host: LoopbackHost; client: Duplex; server: Duplex }> {
  const host = new LoopbackHost();
  const accepted = new Promise<StreamEndpoint>((resolve) => {
    host.listen({ port: 80 }, { onConnection: resolve });
  });
  const endpoint = host.connect({ address: '127.0.0.1', port: 80 });
  const connected = new Promise<void>((resolve) => {
    endpoint.events = { onConnect: resolve, onData() {}, onEnd() {}, onSpace() {}, onClose() {} };
  });
  await connected;
  const serverEndpoint = await accepted;
  const client = way(host, endpoint);
  const server = way(host, serverEndpoint);
  for (const socket of [client, server]) socket.on('error', () => {});
  return { host, client, server };
}

const asSocket = (stream: Duplex): net.Socket => stream as net.Socket;

async function body(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

async function overHttp(way: Way, server: http.Server, wrap?: (socket: Duplex) => Duplex): Promise<string> {
  const { client, server: accepted } = await pairOf(way);
  server.emit('connection', accepted);
  const through = wrap ? wrap(client) : client;
  through.write('GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n');
  return (await body(through)).split('\r\n\r\n')[1] ?? '';
}

function makeCertificate(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'ft-tcp-probe-'));
  const args =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=probe -keyout key -out cert';
  execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'ignore' });
  const made = { key: readFileSync(join(folder, 'key')), cert: readFileSync(join(folder, 'cert')) };
  rmSync(folder, { recursive: true });
  return made;
}

const { key, cert } = makeCertificate();
const inTls = (socket: Duplex) => tls.connect({ socket, ca: cert, servername: 'probe' });

/** The features, by title. */
export const checks: Record<string, Check> = {
  'instanceof net.Socket': async (way) => (await pairOf(way)).server instanceof net.Socket,
  addresses: async (way) => {
    const socket = asSocket((await pairOf(way)).server);
    return socket.remoteAddress === '127.0.0.1' && socket.localPort === 80 && socket.remoteFamily === 'IPv4';
  },
  'addresses after destroy': async (way) => {
    const socket = asSocket((await pairOf(way)).server);
    // A genuine socket remembers the peer once it was asked for.
    void socket.remoteAddress;
    socket.destroy();
    return socket.remoteAddress === '127.0.0.1';
  },
  'bytesRead, bytesWritten': async (way) => {
    const { client, server } = await pairOf(way);
    client.write('hello');
    await once(server, 'data');
    return asSocket(client).bytesWritten === 5 && asSocket(server).bytesRead === 5;
  },
  'connecting, pending, readyState': async (way) => {
    const socket = asSocket((await pairOf(way)).client);
    return socket.connecting === false && socket.pending === false && socket.readyState === 'open';
  },
  'setNoDelay, setKeepAlive, ref, unref': async (way) => {
    const socket = asSocket((await pairOf(way)).client);
    return socket.setNoDelay().setKeepAlive(true, 1000).ref().unref() === socket;
  },
  'setNoDelay reaches the connection': async (way) => {
    const { host, client } = await pairOf(way);
    asSocket(client).setNoDelay(true);
    return host.endpoints[0].noDelay;
  },
  setTimeout: async (way) => {
    const { client } = await pairOf(way);
    asSocket(client).setTimeout(20);
    await once(client, 'timeout');
    return true;
  },
  "setTimeout on the host's timers": async (way) => {
    const { host, client } = await pairOf(way);
    asSocket(client).setTimeout(20);
    return host.timers.live === 1;
  },
  destroySoon: async (way) => {
    const { client, server } = await pairOf(way);
    client.write('all of it');
    asSocket(client).destroySoon();
    return (await body(server)) === 'all of it';
  },
  resetAndDestroy: async (way) => {
    const { client, server } = await pairOf(way);
    const closed = new Promise((resolve) => server.on('close', resolve));
    server.resume();
    asSocket(client).resetAndDestroy();
    await closed;
    return (server as unknown as { errored: NodeJS.ErrnoException | null }).errored?.code === 'ECONNRESET';
  },
  'ends by itself after the peer (allowHalfOpen false)': async (way) => {
    const { client, server } = await pairOf(way);
    server.resume();
    client.resume();
    client.end();
    await once(server, 'close');
    return true;
  },
  'backpressure to the writer': async (way) => {
    const { host, client } = await pairOf(way);
    host.stalled = true;
    let drains = 0;
    client.on('drain', () => drains++);
    for (let i = 0; i < 100; i++) {
      client.write(Buffer.alloc(100_000));
      await new Promise(setImmediate);
    }
    return host.endpoints[0].written <= 2 * host.sendBuffer;
  },
  'a buffer may be reused after its callback': async (way) => {
    const { host, client, server } = await pairOf(way);
    host.stalled = true;
    const buffer = Buffer.alloc(100_000, 'b');
    client.write(buffer, () => buffer.fill('a'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    host.stalled = false;
    client.end();
    return !(await body(server)).includes('a');
  },
  http: async (way) =>
    (await overHttp(
      way,
      http.createServer((_request, response) => response.end('ok')),
    )) === 'ok',
  'http: req.socket.remoteAddress': async (way) =>
    (await overHttp(
      way,
      http.createServer((request, response) => response.end(String(request.socket.remoteAddress))),
    )) === '127.0.0.1',
  'http: server.setTimeout, keepAliveTimeout': async (way) => {
    const { client, server: accepted } = await pairOf(way);
    const server = http.createServer();
    server.setTimeout(20);
    server.emit('connection', accepted);
    client.resume();
    await once(client, 'end');
    return true;
  },
  https: async (way) =>
    (await overHttp(
      way,
      https.createServer({ key, cert }, (_request, response) => response.end('ok')),
      inTls,
    )) === 'ok',
  'https: req.socket.remoteAddress': async (way) =>
    (await overHttp(
      way,
      https.createServer({ key, cert }, (request, response) => response.end(String(request.socket.remoteAddress))),
      inTls,
    )) === '127.0.0.1',
  ws: async (way) => {
    const { client, server: accepted } = await pairOf(way);
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    server.emit('connection', accepted);
    const web = new WebSocket('ws://probe/', { createConnection: (() => client) as never });
    web.on('error', () => {});
    await once(web, 'open');
    web.send('hello');
    const [message] = await once(web, 'message');
    web.terminate();
    return String(message) === 'hello';
  },
};
