// The client of servers that ask a service on loopback once per request. A request during a death
// may fail with 502: the service's connection died with the primary. It is then asked again, under
// another id, as a client would. No id may reach the service twice.
import { expect, runClient } from './client.mjs';
import { countEffects } from './effects.mjs';
import { HttpWorker } from './http-worker.mjs';

/** Answers that may be refused in all: two deaths, each with one request per worker. */
const MAX_REFUSED = 8;

export function effectsClient() {
  const { times, repeated } = countEffects();
  const answered = [];
  let refused = 0;
  return runClient({
    effects: () => answered.reduce((sum, path) => sum + times(path), 0),
    open: () => new HttpWorker(),
    step: async (worker, number, index) => {
      for (let attempt = 0; ; attempt++) {
        const path = `/ask/${index}/${number}/${attempt}`;
        const { status, text } = await worker.ask(path);
        expect(repeated().length, 0, 'requests that came twice');
        if (status === 200) {
          expect(text, JSON.stringify({ path, times: 1 }), 'answer');
          answered.push(path);
          return;
        }
        expect(status, 502, 'status');
        if (++refused > MAX_REFUSED) throw new Error(`${refused} requests were refused: ${text}`);
      }
    },
  });
}
