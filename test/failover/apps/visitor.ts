/** Tells each client its own address, and how often this connection has asked. */
import http from 'node:http';

const asked = new WeakMap<object, number>();

const server = http.createServer((request, response) => {
  const count = (asked.get(request.socket) ?? 0) + 1;
  asked.set(request.socket, count);
  response.end(`${request.socket.remoteAddress} ${count}\n`);
});
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2] ?? 80));
