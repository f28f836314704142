/**
 * `npm run fuzz -- [--minutes 1] [--seed N]`: frames of a live session and of all floods, changed
 * at random, against a stack that carries a transfer. A throw, a table out of bounds or a transfer
 * that stops is a failure; its seed repeats it.
 */
import { performance } from 'node:perf_hooks';
import { SeededRandom } from '../../lib/random.js';
import { positiveNumber, readCommandLine, wholeNumber } from '../command-line.js';
import { mutate, repair } from '../stack/support/mutate.js';
import { FLOODS } from './floods.js';
import { Victim } from './victim.js';

export const FRAMES_PER_SEED = 20_000;

/** One seed. @returns what went wrong, '' for nothing. */
export function fuzzSeed(seed: number): string {
  const random = new SeededRandom(`hostile ${seed}`);
  const victim = new Victim();
  const live: Uint8Array[] = [];
  const carry = victim.link.carry.bind(victim.link);
  victim.link.carry = (from, frame, flags, gso): void => {
    if (from === victim.link.a && live.length < 256) live.push(frame.slice());
    carry(from, frame, flags, gso);
  };
  victim.pass(20_000);
  const floods = Object.values(FLOODS);
  let at = 0;
  try {
    for (; at < FRAMES_PER_SEED; at++) {
      const base =
        random.u32() % 2 === 0
          ? live[random.u32() % live.length]
          : floods[random.u32() % floods.length](random, victim.target);
      const frame = mutate(base, random);
      if (random.u32() % 4 !== 0) repair(frame);
      victim.inject(frame);
      if (random.u32() % 64 === 0) victim.pass(random.u32() % 2000);
    }
    victim.pass(100_000);
    const { connections, neighbours, neighbours6, fragments, fragments6, fragmentBytes } = victim.sizes();
    if (connections > 600 || neighbours > 1024 || neighbours6 > 1024) return `seed ${seed}: tables out of bounds`;
    if (fragments > 256 || fragments6 > 256 || fragmentBytes > 8 << 20) return `seed ${seed}: too many fragments`;
    victim.stop();
    victim.pass(1000e6);
    const left = victim.sizes();
    // Frames of the session with other data may have put the transfer's ends out of step: then one
    // of them stays, as TCP has it.
    if (left.connections > 1 || left.fragments !== 0 || left.fragments6 !== 0)
      return `seed ${seed}: left over: ${JSON.stringify(left)}`;
  } catch (error) {
    return `seed ${seed}, frame ${at}: ${error instanceof Error ? error.stack : String(error)}`;
  }
  return '';
}

const USAGE = `Usage: npm run fuzz -- [options]

Frames of a live session and of all floods, changed at random, against a stack with a transfer.

  --minutes M  how long (default: 1)
  --seed N     the first seed (default: 1); the same seed sends the same frames
  --once       one seed
`;

/** Only when it is the program, not when a test imports it. */
if (process.argv[1]?.endsWith('fuzz.js') === true) {
  const values = readCommandLine(USAGE, {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    once: { type: 'boolean', default: false },
  });
  const end = performance.now() + positiveNumber('--minutes', values.minutes) * 60_000;
  let seed = wholeNumber('--seed', values.seed, 0, 2 ** 32);
  let runs = 0;
  const failures: string[] = [];
  do {
    const problem = fuzzSeed(seed++);
    runs++;
    if (problem !== '') {
      failures.push(problem);
      console.log(problem);
    }
  } while (!values.once && performance.now() < end && failures.length < 20);
  console.log(`${runs * FRAMES_PER_SEED} frames, seeds ${values.seed} to ${seed - 1}, ${failures.length} failures`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}
