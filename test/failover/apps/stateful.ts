/**
 * Programs for state mode. argv: a word that answers begin with, and a file that each start of the
 * program is noted in.
 */
import { appendFileSync } from 'node:fs';
import net from 'node:net';
import { CHUNK, chunk } from '../../../failover/demo/content.js';
import type { FtSocket } from '../../../stack/sockets/socket.js';

const [word = 'v1', file] = process.argv.slice(2);
if (file !== undefined) appendFileSync(file, `${word}\n`);

// Counts lines, over its own death.
function counter(socket: net.Socket, from: number): void {
  let count = from;
  socket.setNoDelay(true);
  socket.on('data', (part) => {
    for (const line of part.toString().split('\n').slice(0, -1)) {
      if (line === 'boom') throw new Error('thrown by the program');
      socket.write(`${word} ${++count} ${line}\n`);
    }
    (socket as FtSocket).checkpoint({ count });
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => undefined);
}

net
  .createServer({ allowHalfOpen: true }, (socket) => counter(socket, 0))
  .on('restore', (socket: net.Socket, context?: { count: number }) => counter(socket, context?.count ?? 0))
  .listen(7);

// Sends a stream, and resumes it where it was.
const TOTAL = 300;
function stream(socket: net.Socket, from: number): void {
  let n = from;
  const send = (): void => {
    while (n < TOTAL) {
      const more = socket.write(chunk(n++, CHUNK));
      (socket as FtSocket).checkpoint(n);
      if (!more) {
        socket.once('drain', send);
        return;
      }
    }
    socket.end();
  };
  socket.resume();
  socket.on('error', () => undefined);
  send();
}

net
  .createServer((socket) => stream(socket, 0))
  .on('restore', (socket: net.Socket, n?: number) => stream(socket, n ?? 0))
  .listen(8);

// Does not want its connections back.
net.createServer((socket) => socket.on('error', () => undefined).resume()).listen(9);
