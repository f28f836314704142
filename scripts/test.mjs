// `npm test`: tools, type check and build, lint, then all tests under tap. The last line is "N
// passed, N failed". Words after `--` are test files or parts of their names: npm test -- sockets
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules/.bin');
/** With --only-tests nothing is built or linted: the same checkout is tried on another Node. */
const onlyTests = process.argv.includes('--only-tests');
const wanted = process.argv.slice(2).filter((word) => word !== '--only-tests');
/** Two at once: the tests start processes of their own. */
const JOBS = 2;
const FILE_TIMEOUT_S = 420;
/** These take minutes, and begin first, so that none of them runs alone at the end. */
const LONG = [
  'sim/sim.test',
  'failover/demo.test',
  'failover/runtime.test',
  'cluster/cluster.test',
  'docs/pages.test',
  'ecosystem/ecosystem.test',
  'failover/deploy.test',
];

let passed = 0;
let failed = 0;

/** A step that passes or fails as a whole. */
function step(name, command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', timeout: 300_000 });
  if (result.status === 0) {
    passed++;
    console.log(`ok - ${name}`);
    return true;
  }
  failed++;
  console.log(`not ok - ${name}\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`);
  return false;
}

function rank(name) {
  const at = LONG.findIndex((part) => name.includes(part));
  return at < 0 ? LONG.length : at;
}

function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

/** Runs the files under tap; shows one line a file, and all of a failure. */
function tap(files) {
  const args = [
    'run',
    '--disable-coverage',
    `--jobs=${JOBS}`,
    `--timeout=${FILE_TIMEOUT_S}`,
    '--reporter=tap',
    ...files,
  ];
  const child = spawn(join(bin, 'tap'), args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let shown = 0;
  let failing = false;
  let counted = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const total = /^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?/.exec(line);
    if (total !== null) {
      counted = true;
      passed += Number(total[2] ?? 0);
      failed += Number(total[3] ?? 0);
    }
    if (/^(ok|not ok) /.test(line)) {
      failing = line.startsWith('not');
      console.log(line.replace(/ \{$/, ''));
    } else if (/^\s+not ok /.test(line)) {
      failing = true;
      shown = 0;
      console.log(line);
    } else if (/^\s+(ok |# Subtest)/.test(line)) failing = false;
    else if (failing && shown++ < 60) console.log(line);
  });
  return new Promise((done) => {
    child.on('close', (code) => {
      if (code !== 0 && failed === 0) {
        failed++;
        console.log(`not ok - tap ended with ${code}${counted ? '' : ' before it had run the tests'}`);
      }
      done();
    });
  });
}

if (!onlyTests) {
  const addon = step('native addon', process.execPath, ['scripts/build-native.mjs']);
  const built = step('type check and build', join(bin, 'tsc'), ['-p', '.']);
  step('lint and format', join(bin, 'biome'), ['check', '.']);
  step('structure', process.execPath, ['scripts/structure.mjs']);
  step('lint and format of C', process.execPath, ['scripts/lint-native.mjs']);
  step('documentation', process.execPath, ['scripts/check-docs.mjs']);
  if (!addon || !built) finish();
}

const { requireTools } = await import('../dist/failover/lab/required-tools.js');
try {
  requireTools(['ip', 'nft', 'unshare', 'mount', 'wget', 'curl', 'ab', 'tcpdump'], true);
} catch (error) {
  console.log(`not ok - tools: ${error.message}`);
  failed++;
}
const files = readdirSync(join(root, 'dist/test'), { recursive: true })
  // What is left of a test that is no more is not run.
  .filter((name) => name.endsWith('.test.js') && existsSync(join(root, 'test', name.replace(/js$/, 'ts'))))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => join('dist/test', name))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
if (files.length === 0) {
  console.log('not ok - there is no such test');
  failed++;
} else await tap(files);
finish();
