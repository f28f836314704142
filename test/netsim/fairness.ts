/** Two flows through one bottleneck. */
import { CONGESTION, type Congestion } from './grid.js';
import { FRAME, Network } from './network.js';

export interface FairCase {
  name: string;
  first: Congestion;
  second: Congestion;
  mbit: number;
  rttMs: [number, number];
  buffer: number;
}

export const FAIR_CASES: FairCase[] = (['cubic', 'newreno'] as const).flatMap((congestion) =>
  [
    { mbit: 10, rtt: 20, buffer: 1 },
    { mbit: 50, rtt: 20, buffer: 1 },
    { mbit: 50, rtt: 50, buffer: 0.5 },
    { mbit: 20, rtt: 100, buffer: 1 },
  ].map(({ mbit, rtt, buffer }) => ({
    name: `${congestion} twice, ${mbit} Mbit/s, ${rtt} ms, buffer ${buffer}`,
    first: congestion,
    second: congestion,
    mbit,
    rttMs: [rtt, rtt] as [number, number],
    buffer,
  })),
);

/**
 * Jain's index of the two flows' goodput over the last three quarters, and how much of the
 * bottleneck they used together.
 */
export function runFair(item: FairCase): { jain: number; used: number } {
  const rate = item.mbit * 1e6;
  const queueBytes = Math.max(6 * FRAME, Math.round((rate * Math.max(...item.rttMs) * item.buffer) / 8000));
  const network = new Network({
    seed: item.name,
    rate,
    queueBytes,
    flows: [
      { rttMs: item.rttMs[0], congestion: CONGESTION[item.first] },
      // The second begins when the first has the whole line.
      { rttMs: item.rttMs[1], congestion: CONGESTION[item.second], startMs: 2000 },
    ],
  });
  const { flows } = network;
  const seconds = 240;
  network.run(() => false, (seconds / 4) * 1e6);
  const before = flows.map((flow) => flow.arrived);
  network.run(() => false, (seconds * 3 * 1e6) / 4);
  const shares = flows.map((flow, index) => flow.arrived - before[index]);
  const sum = shares.reduce((a, b) => a + b, 0);
  const squares = shares.reduce((a, b) => a + b * b, 0);
  return { jain: (sum * sum) / (shares.length * squares), used: (sum * 8) / (seconds * 0.75 * rate * (1448 / FRAME)) };
}
