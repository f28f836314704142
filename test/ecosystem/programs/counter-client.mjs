// The client of servers that count: POST /count/ID {"add":1} answers {"id":ID,"count":N}. The count
// is in the program's memory; it must grow by one with each request.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

/** Lines of the program's log: each is a JSON object with `id` and `count`; none comes twice. */
function linesNow() {
  // The last one may not be whole yet.
  const lines = readFileSync(`${process.argv[3]}/lines.log`, 'utf8').split('\n').slice(0, -1);
  return new Set(lines.map((line) => [JSON.parse(line).id, JSON.parse(line).count].join())).size === lines.length
    ? lines.length
    : -1;
}

/** A program may write its log later than its answers. */
async function loggedLines(wanted) {
  for (const end = Date.now() + 5000; ; await delay(50)) {
    const lines = linesNow();
    if (lines >= wanted || Date.now() > end) return lines;
  }
}

/** @param logs whether the program writes a line of `lines.log` for each request */
export function countingClient({ logs = false, pauseMs = 2 } = {}) {
  return runClient({
    pauseMs,
    effects: logs ? loggedLines : undefined,
    open: () => new HttpWorker(),
    step: async (worker, number, index) => {
      const body = JSON.stringify({ add: 1 });
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const { status, text } = await worker.ask(`/count/${index}`, { method: 'POST', body, headers });
      if (status !== 200 && status !== 201) throw new Error(`${status}: ${text}`);
      const answer = JSON.parse(text);
      expect(answer.id, String(index), 'id');
      expect(answer.count, number, 'count');
    },
  });
}
