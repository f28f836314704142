import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

await runClient({
  pauseMs: 10,
  open: () => new HttpWorker(),
  step: async (worker, number, index) => {
    const path = `/${index}/${number}`;
    const { text: authorization } = await worker.ask(path);
    const { text } = await worker.ask('/', { headers: { authorization } });
    expect(text, path, 'name');
  },
});
