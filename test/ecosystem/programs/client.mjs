// What all clients share: workers that call `step` without a pause until the suite closes standard
// input. A worker's step throws when an answer is wrong. The last line of standard output is a JSON
// object with what they have seen.
import { setTimeout as delay } from 'node:timers/promises';

export const HOST = process.argv[2];
/** The client's own service, which counts what programs ask of it: effects. */
export const EFFECTS_PORT = 8099;
const MAX_ERRORS = 5;

/**
 * @param open makes the connection of worker `index`
 * @param step asks one question; `number` counts from 1 for each worker
 * @param effects effects that were seen from outside, if the program has any; gets the steps done
 */
export async function runClient({ open, step, workers = 4, pauseMs = 2, effects }) {
  const report = { steps: 0, errors: [], longestGapMs: 0, effects: undefined };
  let isStopped = false;
  process.stdin.on('end', () => {
    isStopped = true;
  });
  process.stdin.resume();
  const fail = (error) => {
    isStopped = true;
    if (report.errors.length < MAX_ERRORS) report.errors.push(String(error?.stack ?? error).slice(0, 400));
  };
  process.on('uncaughtException', fail);
  const work = async (index) => {
    const connection = await open(index, fail);
    for (let number = 1; !isStopped; number++) {
      const from = performance.now();
      await step(connection, number, index);
      report.longestGapMs = Math.max(report.longestGapMs, performance.now() - from);
      report.steps++;
      if (report.steps % 50 === 0) process.stdout.write(`${JSON.stringify({ steps: report.steps })}\n`);
      await delay(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, index) => work(index).catch(fail)));
  if (effects !== undefined) report.effects = { asked: report.steps, seen: await effects(report.steps) };
  process.stdout.write(`${JSON.stringify({ ended: true, ...report })}\n`);
  process.exit(report.errors.length === 0 ? 0 : 1);
}

/** Throws unless both are equal. */
export function expect(actual, expected, what) {
  if (actual !== expected)
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}
