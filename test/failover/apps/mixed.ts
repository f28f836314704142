/**
 * One program with servers of both kinds, and with what it offers to a replica that joins in the
 * middle.
 */
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import '../../../failover/replica/program-types.js';

function lines(socket: net.Socket, answer: (line: string) => void): void {
  socket.setNoDelay(true);
  socket.on('data', (part) => {
    for (const line of part.toString().split('\n').slice(0, -1)) answer(line);
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => undefined);
}

const half = { allowHalfOpen: true };

// All that has been served, by every server that is repeated: a replica which does not know it says
// something else.
let served = 0;
(process as NodeJS.EventEmitter).on('restore', (saved: (name: string) => number) => {
  served = saved('served');
});

function serve(): number {
  process.checkpoint?.('served', ++served);
  return served;
}

// Counts on what it saves, and is repeated otherwise.
function counter(socket: net.Socket, from: number): void {
  let count = from;
  lines(socket, (line) => {
    socket.write(`${++count} of ${serve()} ${line}\n`);
    socket.checkpoint?.(count);
  });
}
net
  .createServer(half, (socket) => counter(socket, 0))
  .on('restore', (socket: net.Socket, count?: number) => counter(socket, count ?? 0))
  .listen(5);

// Takes what it gets.
net
  .createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    socket.on('end', serve);
  })
  .listen(6);

// In state mode: nothing of what it does could be repeated.
function free(socket: net.Socket, from: number): void {
  let count = from;
  lines(socket, (line) => {
    readFile('/proc/self/stat').then((stat) => {
      const wait = (Number(process.hrtime.bigint() % 3n) + stat.length + process.memoryUsage().rss) % 3;
      setTimeout(() => {
        socket.write(`${++count} ${line}\n`);
        socket.checkpoint?.(count);
      }, wait + Math.random());
    });
  });
}
net
  .createServer(half, (socket) => free(socket, 0))
  .on('restore', (socket: net.Socket, count?: number) => free(socket, count ?? 0))
  .listen({ port: 7, replication: 'state' });

// Is repeated, and wants nothing back.
net
  .createServer(half, (socket) => lines(socket, (line) => socket.write(`${serve()} ${Date.now()} ${line}\n`)))
  .listen(8);
