// The client of servers that count: POST /count/ID {"add":1} answers {"id":ID,"count":N}. The count
// is in the program's memory; it must grow by one with each request.
import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

export function countingClient() {
  return runClient({
    open: () => new HttpWorker(),
    step: async (worker, number, index) => {
      const body = JSON.stringify({ add: 1 });
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const { status, text } = await worker.ask(`/count/${index}`, { method: 'POST', body, headers });
      expect(status, 200, 'status');
      const answer = JSON.parse(text);
      expect(answer.id, String(index), 'id');
      expect(answer.count, number, 'count');
    },
  });
}
