/** Benchmark.js with one addition: bytes allocated per operation, measured in a run of their own. */
import Benchmark from 'benchmark';

export interface Row {
  name: string;
  /** Operations per second, and the relative margin of error in percent. */
  hz: number;
  rme: number;
  bytesPerOp: number;
}

const ALLOCATION_RUNS = 20_000;

/** Heap growth per call; garbage collections in between make it too small, so the largest of some rounds counts. */
function allocated(fn: () => void): number {
  for (let i = 0; i < ALLOCATION_RUNS; i++) fn();
  let most = 0;
  for (let round = 0; round < 5; round++) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < ALLOCATION_RUNS; i++) fn();
    most = Math.max(most, (process.memoryUsage().heapUsed - before) / ALLOCATION_RUNS);
  }
  return most;
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
