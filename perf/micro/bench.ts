/**
 * Benchmark.js with one addition: bytes allocated per operation, measured in a run of their own.
 */
import Benchmark from 'benchmark';

export interface Row {
  name: string;
  /** Operations per second, and the relative margin of error in percent. */
  hz: number;
  rme: number;
  bytesPerOp: number;
}

const WARM_UP = 20_000;
const ROUND = 500;
const ROUNDS = 61;

function growth(fn: () => void, calls: number): number {
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < calls; i++) fn();
  return process.memoryUsage().heapUsed - before;
}

/**
 * Bytes of heap that a call takes: what twice as many calls take more, so that the measuring, which
 * allocates too, does not count. The median of short rounds, without those in which a garbage
 * collection made the heap smaller.
 */
export function allocated(fn: () => void): number {
  for (let i = 0; i < WARM_UP; i++) fn();
  const all: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const once = growth(fn, ROUND);
    const twice = growth(fn, 2 * ROUND);
    if (once >= 0 && twice >= once) all.push((twice - once) / ROUND);
  }
  all.sort((x, y) => x - y);
  // Never a clean 0 by mistake: a figure that could not be had is not a number.
  return all.length === 0 ? Number.NaN : all[all.length >> 1];
}

/** Runs the operations one after the other. */
export function run(operations: Record<string, () => void>, report: (row: Row) => void): Row[] {
  const rows: Row[] = [];
  for (const [name, fn] of Object.entries(operations)) {
    const bench = new Benchmark(name, fn, { maxTime: 1.5, minSamples: 20 });
    bench.run({ async: false });
    const row = { name, hz: bench.hz, rme: bench.stats.rme, bytesPerOp: allocated(fn) };
    rows.push(row);
    report(row);
  }
  return rows;
}
