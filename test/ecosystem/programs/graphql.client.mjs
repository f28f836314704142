import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

await runClient({
  open: () => new HttpWorker(),
  step: async (worker, number, index) => {
    const body = `mutation { add(id: "${index}", by: 1) }`;
    const { text } = await worker.ask('/graphql', { method: 'POST', body, headers: { 'content-length': body.length } });
    expect(JSON.parse(text).data.add, number, 'count');
  },
});
