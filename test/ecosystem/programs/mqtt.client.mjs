import { once } from 'node:events';
import mqtt from 'mqtt';
import { expect, HOST, runClient } from './client.mjs';

await runClient({
  open: async (index, fail) => {
    const client = await mqtt.connectAsync(`mqtt://${HOST}:80`, { clientId: `worker${index}`, reconnectPeriod: 0 });
    client.on('close', () => fail(new Error('the connection was closed')));
    await client.subscribeAsync(`to/${index}`, { qos: 2 });
    return client;
  },
  step: async (client, number, index) => {
    const arrival = once(client, 'message');
    await client.publishAsync(`to/${index}`, `message ${number}`, { qos: number % 3 });
    const [, payload] = await arrival;
    expect(String(payload), `message ${number}`, 'message');
  },
});
