/**
 * A program for warm standbys, which takes long to load. argv: a word that answers begin with, and
 * milliseconds of loading. It has a net server at 7, and an http server at 80. Some words name a
 * fault that it then has.
 */
import { appendFileSync, existsSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import type { FtSocket } from '../../../stack/sockets/socket.js';

const [word = 'v1', loadMs = '0', file] = process.argv.slice(2);
const misbehaves = { throws: () => failing(), exits: () => process.exit(9), hangs: () => hang() }[word];
const note = (text: string): void => {
  if (file !== undefined && misbehaves === undefined) appendFileSync(file, `${text}\n`);
};
/** As a program that requires a thousand modules. */
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(loadMs));

// When the file is there.
function failing(): never {
  throw new Error('thrown while standing by');
}
function hang(): never {
  for (;;);
}
if (misbehaves !== undefined) setInterval(() => existsSync(file) && misbehaves(), 10);

let ticks = 0;
let ticksBefore = 0;
setInterval(() => ticks++, 10).unref();
let saved: unknown = 'never';
process.on('restore', (get: (name: string) => unknown) => {
  saved = get('count');
  ticksBefore = ticks;
  note(`${word} restore ${process.standby}`);
});
process.on('takeover', () => note(`${word} takeover ${process.standby}`));
process.checkpoint?.('count', `${word} at its start`);
if (word === 'crashes') throw new Error('thrown at load');
if (word === 'loads-for-ever') hang();
if (word === 'dies') process.on('restore', () => setTimeout(() => process.exit(3), 1000));

function serve(socket: net.Socket, from: number): void {
  let count = from;
  socket.setNoDelay(true);
  socket.on('data', (part) => {
    for (const line of part.toString().split('\n').slice(0, -1)) {
      if (line === 'saved') socket.write(`${word} saved ${saved}\n`);
      else if (line === 'ticks') socket.write(`${word} ticks ${ticksBefore > 5}\n`);
      else socket.write(`${word} ${++count} ${line}\n`);
      process.checkpoint?.('count', count);
    }
    (socket as FtSocket).checkpoint({ count });
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => undefined);
}

net
  .createServer({ allowHalfOpen: true }, (socket) => serve(socket, 0))
  .on('restore', (socket: net.Socket, context?: { count: number }) => {
    note(`${word} server ${process.standby}`);
    serve(socket, context?.count ?? 0);
  })
  .listen(7);

http
  .createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.url === '/health') {
      const isSick = word === 'sick' || (word === 'sickens' && saved !== 'never');
      response.writeHead(isSick ? 503 : 200).end(`${word} is ${isSick ? 'sick' : 'well'}`);
      return;
    }
    const answer = (): void => void response.end(`${word} ${request.url} ${process.pid}`);
    if (request.url === '/slow') setTimeout(answer, 400);
    else answer();
  })
  .listen(word === 'elsewhere' ? 81 : 80);
note(`${word} loaded ${process.standby}`);
