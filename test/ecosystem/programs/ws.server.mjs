import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: 80, perMessageDeflate: true });
server.on('connection', (socket) => {
  let count = 0;
  socket.on('message', (message, isBinary) => {
    count++;
    socket.send(isBinary ? message : `${count}:${message}`);
  });
});
