import { once } from 'node:events';
import grpc from '@grpc/grpc-js';
import { expect, HOST, runClient } from './client.mjs';
import { SERVICE } from './grpc-service.mjs';

const Client = grpc.makeGenericClientConstructor(SERVICE, 'Counter');
await runClient({
  open: (index, fail) => {
    const client = new Client(`${HOST}:80`, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    const talk = client.talk();
    talk.on('error', fail);
    return { client, talk, id: String(index) };
  },
  step: async ({ client, talk, id }, number) => {
    const { count } = await new Promise((done, fail) =>
      client.add({ id, add: 1 }, (error, answer) => (error ? fail(error) : done(answer))),
    );
    expect(count, number, 'unary');
    talk.write({ add: 1 });
    const [answer] = await once(talk, 'data');
    expect(answer.count, number, 'stream');
  },
});
