/** `npm run netsim`: the grid and the fairness cases, against the golden file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { readCommandLine } from '../command-line.js';
import { chart } from './chart.js';
import { FAIR_CASES, runFair } from './fairness.js';
import { cellProblem, goldenLine } from './golden.js';
import { cells, runCell } from './grid.js';

const GOLDEN = new URL('../../../test/netsim/golden.txt', import.meta.url);
const KERNEL = new URL('../../../test/netsim/kernel.txt', import.meta.url);
const PICTURE = new URL('../../../docs/internals/netsim.svg', import.meta.url);

const USAGE = `Usage: npm run netsim -- [options]

Runs flows over a grid of paths in virtual time and compares with test/netsim/golden.txt.

  --full    all 960 cells, minutes; without it those 100 or so that show most
  --update  writes the golden file and docs/internals/netsim.svg
`;

const values = readCommandLine(USAGE, {
  full: { type: 'boolean', default: false },
  update: { type: 'boolean', default: false },
});

/** "key: goodput" in each line, as kernel.ts measured it. */
function kernelFigures(): Map<string, number> {
  const lines = readFileSync(KERNEL, 'utf8').trim().split('\n');
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(':')), Number(line.slice(line.lastIndexOf(':') + 1))]),
  );
}

const known = new Set(values.update ? [] : readFileSync(GOLDEN, 'utf8').split('\n'));
const rows = [];
const lines: string[] = [];
let problems = 0;
const complain = (line: string, problem: string): void => {
  problems++;
  console.log(`${line}\n  ${problem}`);
};
for (const cell of cells(!values.full)) {
  const result = runCell(cell);
  const line = goldenLine(cell, result);
  rows.push({ cell, result });
  lines.push(line);
  const problem = cellProblem(cell, result);
  if (problem !== '') complain(line, problem);
  else if (!values.update && !values.full && !known.has(line)) complain(line, 'differs from the golden file');
}
for (const item of FAIR_CASES) {
  const { jain, used } = runFair(item);
  const line = `${item.name}: Jain ${jain.toFixed(3)} used ${used.toFixed(3)}`;
  lines.push(line);
  if (jain < 0.9) complain(line, 'not fair: below 0.9');
  else if (!values.update && !known.has(line)) complain(line, 'differs from the golden file');
}
if (values.update) {
  if (!values.full) writeFileSync(GOLDEN, `${lines.join('\n')}\n`);
  writeFileSync(PICTURE, chart(rows, kernelFigures()));
}
console.log(`${lines.length - problems} passed, ${problems} failed`);
process.exitCode = problems > 0 ? 1 : 0;
