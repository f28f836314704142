import http from 'node:http';
import { expect, HOST, runClient } from './client.mjs';

async function* eventsOf(response) {
  let text = '';
  response.setEncoding('utf8');
  for await (const part of response) {
    text += part;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 2);
    }
  }
  throw new Error('the stream has ended');
}

await runClient({
  open: () =>
    new Promise((done, fail) => {
      http.get({ host: HOST, agent: false }, (response) => done(eventsOf(response))).on('error', fail);
    }),
  step: async (events, number) => {
    const { value } = await events.next();
    expect(value, `id: ${number}\ndata: event ${number} true`, 'event');
  },
});
