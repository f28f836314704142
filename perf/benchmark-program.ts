/**
 * The benchmarks' program: the demo's pages on 80, a source on 9101, a sink on 9102, an echo on
 * 9103, work on 9104, a listener on 9105.
 */
import http from 'node:http';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import '../failover/demo/app.js';
import { chunk } from '../failover/demo/content.js';

const CHUNK = Buffer.alloc(256 * 1024);

net
  .createServer((socket) => {
    const fill = (): void => {
      while (!socket.destroyed && socket.write(CHUNK));
    };
    socket.on('error', () => undefined);
    socket.on('drain', fill);
    socket.resume();
    fill();
  })
  .listen(9101);

net
  .createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
  })
  .listen(9102);

// A sink with a data listener.
net
  .createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
  })
  .listen(9105);

net
  .createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (part) => socket.write(part));
  })
  .listen(9103);

const PAGE = Buffer.alloc(10_240, 'x');
const CONTENT = chunk(0, 64 * 1024);

/** A loop that the compiler cannot remove. */
function spin(times: number): number {
  let x = 1;
  for (let n = 0; n < times; n++) x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
  return x;
}

// /work/N: a page of 10 KB after N rounds of a loop; /zip/BYTES: that many bytes, compressed.
http
  .createServer((request, response) => {
    const [, what, argument] = (request.url ?? '').split('/');
    const n = Number(argument);
    if (what === 'work') {
      response.setHeader('x-sum', spin(n));
      response.end(PAGE);
    } else if (what === 'zip' && n > 0)
      response.end(gzipSync(n <= CONTENT.length ? CONTENT.subarray(0, n) : Buffer.alloc(n, CONTENT)));
    else response.writeHead(404).end();
  })
  .listen(9104);
