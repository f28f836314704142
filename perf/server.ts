/** The benchmarks' program: the demo's pages on 80, a source on 9101, a sink on 9102, an echo on 9103. */
import net from 'node:net';
import '../failover/demo/app.js';

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

net
  .createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (part) => socket.write(part));
  })
  .listen(9103);
