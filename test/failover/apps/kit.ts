/**
 * A program with something of everything, for the tests of takeovers. It knows nothing of ft-tcp.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import { createHistogram } from 'node:perf_hooks';
import { CHUNK, chunk } from '../../../failover/demo/content.js';

const connections = { open: 0 };

/** All lines that this replica has made for `/ticks`: a backup makes them by replay. */
let made = '';

/** n lines, one every 5 ms, each with what replay has to repeat: time and randomness. */
function ticks(response: http.ServerResponse, count: number): void {
  let n = 0;
  const timer = setInterval(() => {
    const line = `${n} ${Date.now()} ${Math.random()}\n`;
    made += line;
    response.write(line);
    if (++n === count) {
      clearInterval(timer);
      response.end();
    }
  }, 5);
}

function download(response: http.ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-length': bytes });
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

/** Fetches from the client's side, over a connection that this program opens. */
function outgoing(response: http.ServerResponse, port: number): void {
  const socket = net.connect({ host: '10.77.0.1', port });
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (part: Buffer) => {
    bytes += part.length;
    hash.update(part);
  });
  socket.on('error', (error) => response.end(`error ${error.message}`));
  socket.on('end', () => {
    socket.end();
    response.end(`${bytes} ${hash.digest('hex')}`);
  });
}

/** Time of the real clock, which differs between any two replicas. */
function durationNs(): number {
  const histogram = createHistogram();
  performance.timerify(() => 'x'.repeat(100_000).split(''), { histogram })();
  return histogram.max;
}

const handler: http.RequestListener = (request, response) => {
  const [, what, argument] = (request.url ?? '/').split('/');
  if (what === 'ticks') ticks(response, Number(argument));
  else if (what === 'made') response.end(made);
  else if (what === 'bytes') download(response, Number(argument));
  else if (what === 'outgoing') outgoing(response, Number(argument));
  // Different on every replica, so that a backup diverges.
  else if (what === 'different') response.end(`it took ${String(durationNs()).padStart(12)} ns`);
  // One of two replicas asks for more than the other.
  else if (what === 'sometimes') {
    if (Math.floor(durationNs() / 10_000) % 2 === 0) os.freemem();
    response.end('done');
  } else if (what === 'throw') throw new Error('thrown by the program');
  else if (what === 'count') response.end(String(connections.open));
  else response.end('hello');
};

http.createServer(handler).listen(80);
const [cert, key] = process.argv.slice(2);
if (cert !== undefined && key !== undefined) {
  https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, handler).listen(443);
}

// Says everything back in capitals once the other side has ended.
net
  .createServer({ allowHalfOpen: true }, (socket) => {
    connections.open++;
    let text = '';
    socket.on('data', (part) => {
      text += part;
    });
    socket.on('end', () => setTimeout(() => socket.end(text.toUpperCase()), 1500));
    socket.on('close', () => connections.open--);
    socket.on('error', () => undefined);
  })
  .listen(7);

// Says everything back at once.
net
  .createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  })
  .listen(8);
