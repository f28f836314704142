import { once } from 'node:events';
import WebSocket from 'ws';
import { expect, HOST, runClient } from './client.mjs';

await runClient({
  open: async (_index, fail) => {
    const socket = new WebSocket(`ws://${HOST}`);
    await once(socket, 'open');
    socket.on('close', (code) => fail(new Error(`the WebSocket was closed: ${code}`)));
    return socket;
  },
  step: async (socket, number) => {
    const text = `message ${number} ${'x'.repeat(number % 3000)}`;
    socket.send(text);
    const [answer] = await once(socket, 'message');
    expect(String(answer), `${number}:${text}`, 'echo');
  },
});
