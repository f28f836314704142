/**
 * The demo's server: an ordinary Node.js program that knows nothing of ft-tcp.
 *
 *   GET /bytes/N     N bytes
 *   GET /page        10 KB
 *   PUT /upload      the SHA-256 of the request's body
 *   ws://…/echo      echoes every message
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { WebSocketServer } from 'ws';
import { CHUNK, chunk } from './content.js';

const PAGE = chunk(0, 10_240);

function download(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
  let n = 0;
  let left = bytes;
  const send = (): void => {
    while (left > 0) {
      const length = Math.min(left, CHUNK);
      left -= length;
      if (!response.write(chunk(n++, length))) {
        response.once('drain', send);
        return;
      }
    }
    response.end();
  };
  send();
}

function upload(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  request.on('data', (part: Buffer) => hash.update(part));
  request.on('end', () => response.end(`${hash.digest('hex')}\n`));
}

const server = createServer((request, response) => {
  const url = request.url ?? '/';
  if (url === '/page') {
    response.writeHead(200, { 'content-type': 'text/html', 'content-length': PAGE.length });
    response.end(PAGE);
  } else if (url.startsWith('/bytes/')) download(response, Number(url.slice('/bytes/'.length)));
  else if (request.method === 'PUT') upload(request, response);
  else {
    response.statusCode = 404;
    response.end('not found\n');
  }
});

const sockets = new WebSocketServer({ server, path: '/echo' });
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

server.listen(Number(process.argv[2] ?? 80));
