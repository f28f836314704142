import { once } from 'node:events';
import { io } from 'socket.io-client';
import { expect, HOST, runClient } from './client.mjs';

await runClient({
  open: async (index, fail) => {
    const transports = index % 2 === 0 ? ['websocket'] : ['polling'];
    const socket = io(`http://${HOST}`, { transports, forceNew: true, reconnection: false });
    await Promise.race([
      once(socket, 'connect'),
      once(socket, 'connect_error').then(([error]) => Promise.reject(error)),
    ]);
    socket.on('disconnect', (reason) => fail(new Error(`disconnected: ${reason}`)));
    return socket;
  },
  step: async (socket, number) => expect(await socket.emitWithAck('add', 1), number, 'count'),
});
