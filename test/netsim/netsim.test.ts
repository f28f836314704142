import { readFileSync } from 'node:fs';
import t from 'tap';
import { FAIR_CASES, runFair } from './fairness.js';
import { cellProblem, goldenLine } from './golden.js';
import { CONGESTION, cells, runCell } from './grid.js';
import { MSS, Network } from './network.js';

const known = readFileSync(new URL('../../../test/netsim/golden.txt', import.meta.url), 'utf8').split('\n');

for (const mbit of [1, 10, 100, 1000]) {
  t.test(`goodput over paths of ${mbit} Mbit/s`, async (t) => {
    for (const cell of cells(true).filter((cell) => cell.mbit === mbit)) {
      const result = runCell(cell);
      const line = goldenLine(cell, result);
      t.equal(cellProblem(cell, result), '', line);
      t.ok(known.includes(line), `${line} is in the golden file (npm run netsim -- --update writes it anew)`);
    }
  });
}

t.test('two flows share a bottleneck', async (t) => {
  for (const item of [FAIR_CASES[0], FAIR_CASES[4]]) {
    const { jain, used } = runFair(item);
    t.ok(jain >= 0.9, `${item.name}: Jain ${jain.toFixed(3)}`);
    t.ok(used >= 0.9, `${item.name}: ${used.toFixed(3)} of the bottleneck`);
  }
});

t.test('pacing: a short queue holds what bursts would overflow', async (t) => {
  const run = (pacing: boolean): { seconds: number; resent: number } => {
    const network = new Network({
      seed: 'pacing',
      rate: 100e6,
      // Twenty frames, a fortieth of the path.
      queueBytes: 30_000,
      flows: [{ rttMs: 100, congestion: CONGESTION.newreno, pacing }],
    });
    const flow = network.flows[0];
    const start = network.clock.now();
    t.ok(network.run(() => flow.received >= 20_000 * MSS, 600e6));
    return { seconds: (network.clock.now() - start) / 1e6, resent: flow.retransmissions };
  };
  const bursts = run(false);
  const paced = run(true);
  t.ok(paced.seconds < 0.8 * bursts.seconds, `${paced.seconds.toFixed(1)} s, in bursts ${bursts.seconds.toFixed(1)} s`);
});
