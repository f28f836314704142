/**
 * A chat that knows nothing of takeovers: what one client says, all get, with the word of argv. A
 * subprotocol may follow the word.
 */
import http from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';

const [word = 'v1', protocol] = process.argv.slice(2);
const server = http.createServer((_request, response) => response.end(word));
const chat = new WebSocketServer({
  server,
  ...(protocol === undefined ? {} : { handleProtocols: () => protocol }),
  perMessageDeflate: word === 'deflate',
});
const all = new Set<WebSocket>();

chat.on('connection', (socket, request) => {
  const name = request.url?.slice(1) ?? '';
  const isRestored = (request as http.IncomingMessage & { restored?: boolean }).restored === true;
  all.add(socket);
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? `${(data as Buffer).length} bytes` : String(data);
    for (const one of all)
      one.send(`${word} ${name}${isRestored ? ' again' : ''}: ${text.length > 100 ? text.length : text}`);
  });
  socket.on('close', () => all.delete(socket));
  socket.on('error', () => undefined);
});
server.listen(80);
