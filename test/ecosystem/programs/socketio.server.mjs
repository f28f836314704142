import http from 'node:http';
import { Server } from 'socket.io';

const server = http.createServer();
const io = new Server(server, { pingInterval: 1000, pingTimeout: 4000 });
io.on('connection', (socket) => {
  let count = 0;
  socket.join('all');
  socket.on('add', (value, done) => {
    count += value;
    done(count);
    if (count % 10 === 0) io.to('all').emit('round', count);
  });
});
server.listen(80);
