import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

async function post(worker, path, value) {
  const body = JSON.stringify(value);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const { status, text } = await worker.ask(path, { method: 'POST', body, headers });
  expect(status, 200, path);
  return JSON.parse(text).token;
}

// A late joiner computes all hashes again: it catches up only with a primary that rests sometimes.
await runClient({
  workers: 2,
  pauseMs: 20,
  open: () => new HttpWorker(),
  step: async (worker, number, index) => {
    const user = { name: `user ${index}`, password: `secret ${index}` };
    const token = await post(worker, number === 1 ? '/register' : '/login', user);
    const { text } = await worker.ask('/me', { headers: { authorization: token } });
    expect(JSON.parse(text).name, user.name, 'name');
  },
});
