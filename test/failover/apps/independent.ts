/**
 * WebSockets, with TLS (443) and without (80), each with what only it knows: a token, a count, and
 * what it reads and waits for. argv: certificate and key.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { fileURLToPath } from 'node:url';
import { type WebSocket, WebSocketServer } from 'ws';

const own = fileURLToPath(import.meta.url);
const [cert, key] = process.argv.slice(2) as [string, string];

function converse(socket: WebSocket): void {
  const token = randomBytes(8).toString('hex');
  let count = 0;
  socket.on('message', (message) => {
    const n = ++count;
    const say = (more: string): void => socket.send(`${token} ${n} ${message} ${Date.now()} ${Math.random()} ${more}`);
    if (n % 5 === 0) fs.readFile(own, 'utf8', (_error, text) => say(text.slice(0, 10)));
    else if (n % 3 === 0) setTimeout(say, n % 4, 'later');
    else say('now');
  });
}

const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
  request.resume();
  request.on('end', () => response.end('done'));
};

for (const [server, port] of [
  [http.createServer(answer), 80],
  [https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, answer), 443],
] as const) {
  new WebSocketServer({ server }).on('connection', converse);
  server.listen({ port, independent: true });
}
