// `npm run coverage [-- PART…]`: the tests (or those whose names contain PART) with V8's coverage
// of every process that ends by itself; those that a test kills leave none. Prints lines, functions
// and branches by room, the ten files with the most lines that no test reached, and a summary as
// one line of JSON.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'ft-tcp-coverage-'));
const data = join(work, 'data');
const run = (args, env = {}) =>
  spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;

try {
  const status = run(['scripts/test.mjs', ...process.argv.slice(2)], { NODE_V8_COVERAGE: data });
  const c8 = [
    'node_modules/c8/bin/c8.js',
    'report',
    `--temp-directory=${data}`,
    `--reports-dir=${work}`,
    '--reporter=json-summary',
    '--include=lib/**',
    '--include=stack/**',
    '--include=failover/**',
    '--extension=.ts',
  ];
  if (run(c8) !== 0) process.exit(1);
  const { total, ...files } = JSON.parse(readFileSync(join(work, 'coverage-summary.json'), 'utf8'));
  const rooms = new Map();
  const missed = [];
  for (const [path, { lines, functions, branches }] of Object.entries(files)) {
    const file = relative(root, path);
    const room = file
      .split('/')
      .slice(0, 2)
      .join('/')
      .replace(/\/[^/]*\.ts$/, '');
    const sum = rooms.get(room) ?? { lines: [0, 0], functions: [0, 0], branches: [0, 0] };
    for (const [name, part] of Object.entries({ lines, functions, branches })) {
      sum[name][0] += part.covered;
      sum[name][1] += part.total;
    }
    rooms.set(room, sum);
    missed.push({ file, lines: lines.total - lines.covered });
  }
  const percent = ([covered, all]) => (all === 0 ? '-' : ((100 * covered) / all).toFixed(1)).padStart(9);
  console.log(`${'room'.padEnd(24)}    lines functions  branches`);
  for (const [room, { lines, functions, branches }] of [...rooms].sort(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`${room.padEnd(24)}${percent(lines)}${percent(functions)} ${percent(branches)}`);
  console.log('lines that no test reached:');
  for (const { file, lines } of missed.sort((a, b) => b.lines - a.lines).slice(0, 10))
    console.log(`${String(lines).padStart(6)}  ${file}`);
  const figures = Object.fromEntries(['lines', 'functions', 'branches'].map((name) => [name, total[name].pct]));
  console.log(JSON.stringify(figures));
  process.exit(status);
} finally {
  rmSync(work, { recursive: true, force: true });
}
