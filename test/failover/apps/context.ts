/** A program that tells which async context each of its callbacks sees. */
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import http from 'node:http';
import net from 'node:net';

const storage = new AsyncLocalStorage<string>();
const log: string[] = [];
const seen = (what: string): void => void log.push(`${what} ${storage.getStore()}`);

/** Resources of timers, immediates and sockets that have begun, and that have ended. */
const hooks = { begun: 0, ended: 0 };
const open = new Set<number>();
createHook({
  init: (id, type) => {
    if (!/^(?:Timeout|Immediate|TCPWRAP|FTASYNC)$/.test(type)) return;
    hooks.begun++;
    open.add(id);
  },
  destroy: (id) => {
    if (open.delete(id)) hooks.ended++;
  },
}).enable();

let count = 0;
const server = net.createServer((socket) => {
  const id = ++count;
  seen(`connection ${id}`);
  storage.enterWith(`accepted ${id}`);
  socket.setTimeout(60_000);
  socket.on('data', (data) => {
    seen(`data ${id}`);
    storage.enterWith(`read ${id}`);
    socket.write(data);
  });
  socket.on('end', () => seen(`end ${id}`));
});
storage.run('the server', () => server.listen(8));

/** Opens a connection in a context of its own. */
function outgoing(port: number, response: http.ServerResponse): void {
  storage.run('outgoing', () => {
    const socket = net.connect({ host: '10.77.0.1', port }, () => {
      seen('connect');
      socket.write('x');
    });
    socket.on('data', () => {
      seen('outgoing data');
      socket.end();
    });
    socket.on('close', () => {
      seen('outgoing close');
      response.end();
    });
  });
}

/** Timers of each kind: fired, cleared, repeated. */
function timers(response: http.ServerResponse): void {
  for (let i = 0; i < 20; i++) clearTimeout(setTimeout(() => undefined, 1000));
  for (let i = 0; i < 20; i++) setTimeout(() => undefined, 1);
  clearImmediate(setImmediate(() => undefined));
  let left = 3;
  const interval = setInterval(() => {
    if (--left > 0) return;
    clearInterval(interval);
    setImmediate(() => response.end());
  }, 2);
}

http
  .createServer((request, response) => {
    const [, what, argument] = (request.url ?? '').split('/');
    seen(`request ${request.url}`);
    storage.enterWith(`request ${request.url}`);
    if (what === 'outgoing') outgoing(Number(argument), response);
    else if (what === 'timers') timers(response);
    else if (what === 'hooks') response.end(JSON.stringify({ ...hooks, open: open.size }));
    else response.end(log.join('\n'));
  })
  .listen(80);
