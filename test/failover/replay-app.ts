/** Servers as people write them, for the tests of replay. They know nothing of ft-tcp. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { WebSocketServer } from 'ws';

const [file, cert, key] = process.argv.slice(2) as [string, string, string];

interface Item {
  id: string;
  at: string;
  rank: number;
}

const items = new Map<string, Item>();

/** A JSON API that thinks for a while. */
async function api(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  if (request.method === 'POST') {
    let body = '';
    for await (const part of request) body += String(part);
    await sleep(3);
    const item: Item = { id: randomUUID(), at: new Date().toISOString(), rank: Math.random() };
    items.set(item.id, item);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...item, ...(JSON.parse(body) as object), took: performance.now() }));
    return;
  }
  response.end(JSON.stringify([...items.values()]));
}

function files(_request: http.IncomingMessage, response: http.ServerResponse): void {
  createReadStream(file).pipe(response);
}

function compressed(_request: http.IncomingMessage, response: http.ServerResponse): void {
  response.setHeader('content-encoding', 'gzip');
  pipeline(createReadStream(file), createGzip(), response, () => undefined);
}

/** Promises that nobody handles, and errors that nobody catches, end up here. */
const mishaps: string[] = [];
process.on('unhandledRejection', (reason) => mishaps.push(`rejected ${String(reason)} ${Date.now()}`));
process.on('uncaughtException', (error) => mishaps.push(`${error.message} ${Date.now()}`));

function nothing(where: string): never {
  throw new Error(`nobody catches ${where}`);
}

function mishap(request: http.IncomingMessage, response: http.ServerResponse): void {
  if (request.url === '/reject') void Promise.reject(new Error('nobody cares'));
  setTimeout(() => response.end(mishaps.join('\n')), 5);
  if (request.url === '/immediate') setImmediate(nothing, 'immediate');
  if (request.url === '/tick') {
    // The second tick is left when the first one throws.
    process.nextTick(nothing, 'tick');
    process.nextTick(() => mishaps.push(`next tick ${Date.now()}`));
  }
  if (request.url === '/throw') {
    process.nextTick(() => mishaps.push(`tick ${Date.now()}`));
    nothing('request');
  }
}

function wrapped(request: http.IncomingMessage, response: http.ServerResponse): void {
  api(request, response).catch((error: Error) => response.destroy(error));
}

http.createServer(wrapped).listen(80);
http.createServer(files).listen(81);
http.createServer(compressed).listen(82);
const server = http.createServer(mishap).listen(84);
https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, wrapped).listen(443);

const sockets = new WebSocketServer({ port: 83, perMessageDeflate: { threshold: 1000 } });
sockets.on('connection', (socket) => {
  let n = 0;
  const timer = setInterval(() => socket.send(`${n++} ${Date.now()} ${randomUUID()} ${'again '.repeat(400)}`), 5);
  socket.on('message', (data) => socket.send(`you said ${String(data)}`));
  socket.on('close', () => clearInterval(timer));
  socket.on('error', () => undefined);
});

// Programs wait for things before they are ready.
if (!server.listening) await once(server, 'listening');
