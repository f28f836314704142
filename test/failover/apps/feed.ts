/**
 * Hands a feed on: one connection that it opens itself (to argv[2] on the client's side), and
 * each client of port 7 gets each line of it, numbered.
 */
import net from 'node:net';

const port = Number(process.argv[2]);
const listeners = new Set<net.Socket>();
let open = false;

function follow(feed: net.Socket, lines: number, rest: string): void {
  let count = lines;
  let text = rest;
  open = true;
  feed.on('data', (part) => {
    const parts = (text + part).split('\n');
    text = parts.pop()!;
    for (const line of parts) {
      count++;
      for (const listener of listeners) listener.write(`${count} ${line}\n`);
    }
    feed.checkpoint?.({ count, text });
  });
}

function serve(socket: net.Socket): void {
  listeners.add(socket);
  socket.on('close', () => listeners.delete(socket));
  socket.on('data', () => undefined);
}

process.on('restoreSocket', (socket, context) => {
  const { count, text } = context as { count: number; text: string };
  follow(socket, count, text);
});
net.createServer(serve).on('restore', serve).listen(7);
// What is given back comes before that.
setImmediate(() => {
  if (open) return;
  const feed = net.connect({ host: '10.77.0.1', port }, () => feed.checkpoint?.({ count: 0, text: '' }));
  follow(feed, 0, '');
});
