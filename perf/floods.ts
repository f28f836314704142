/**
 * `npm run floods`: how much of its throughput a connection keeps while a flood meets the same
 * stack, as a ratio. Both measurements are of one process and one core, one after the other, again
 * and again; the median of the ratios counts.
 */
import { performance } from 'node:perf_hooks';
import { positiveNumber, readCommandLine, wholeNumber } from '../test/command-line.js';
import { FLOODS } from '../test/hostile/floods.js';
import { Victim } from '../test/hostile/victim.js';

const USAGE = `Usage: npm run floods -- [options]

How much of its throughput a connection keeps while a flood meets the same stack.

  --rate N    frames per second of the flood (default: 50000)
  --ms N      milliseconds per measurement (default: 400)
  --rounds N  rounds, of which the medians are taken (default: 3)
`;

const values = readCommandLine(USAGE, {
  rate: { type: 'string', default: '50000' },
  ms: { type: 'string', default: '400' },
  rounds: { type: 'string', default: '3' },
});
const rate = positiveNumber('--rate', values.rate);
const ms = positiveNumber('--ms', values.ms);
const rounds = wholeNumber('--rounds', values.rounds, 1, 100);

/** Bytes per millisecond that the transfer makes while `flood` arrives at its rate. */
function measure(flood: (typeof FLOODS)[string] | null): {
  speed: number;
  frames: number;
  sizes: Record<string, number>;
} {
  const victim = new Victim({ bandwidth: 100e9 });
  victim.pass(20_000);
  const frames = Array.from({ length: 4096 }, () => flood?.(victim.random, victim.target) ?? new Uint8Array(0));
  const before = victim.received;
  const start = performance.now();
  let sent = 0;
  let now = start;
  for (; now - start < ms; now = performance.now()) {
    if (flood !== null) {
      for (const due = ((now - start) / 1000) * rate; sent < due; sent++) victim.inject(frames[sent & 4095]);
    }
    victim.pass(200);
  }
  return { speed: (victim.received - before) / (now - start), frames: sent, sizes: victim.sizes() };
}

measure(null);
let worst = 1;
console.log(`${rate} frames a second, ${ms} ms a measurement, median of ${rounds}`);
for (const [name, flood] of Object.entries(FLOODS)) {
  const ratios: number[] = [];
  let last = measure(null);
  for (let round = 0; round < rounds; round++) {
    const alone = measure(null).speed;
    last = measure(flood);
    ratios.push(last.speed / alone);
  }
  ratios.sort((a, b) => a - b);
  const ratio = ratios[ratios.length >> 1];
  worst = Math.min(worst, ratio);
  const { connections, neighbours, neighbours6, fragments, fragments6, fragmentBytes, addresses } = last.sizes;
  const held = `connections ${connections}, neighbours ${neighbours + neighbours6}, fragments ${fragments + fragments6} (${fragmentBytes} bytes), addresses ${addresses}`;
  console.log(`${name.padEnd(40)} ${ratio.toFixed(2)} of its throughput kept; held: ${held}`);
}
console.log(`worst ${worst.toFixed(2)}`);
process.exitCode = worst >= 0.5 ? 0 : 1;
