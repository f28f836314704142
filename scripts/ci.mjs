// What `.ci/run` runs after the install: the README's test command on this machine's Node, then the
// tests of sockets, runtime and failover on each other supported Node, which npx brings from the
// registry (once: it caches). The last line is "N passed, N failed" over all of them.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Majors that ft-tcp supports: "20 || 22 || ...". */
const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const SUPPORTED = engines.node.split('||').map(Number);
/**
 * Failover's tests of the command line, the kernel, the log, the gateway and the demo: Node makes
 * no difference.
 */
const ONCE = [
  'acked',
  'admin',
  'agreement',
  'capture',
  'demo',
  'deploy',
  'detection',
  'device',
  'ending',
  'error-codes',
  'explain',
  'gate',
  'gateway',
  'gateway-services',
  'gateway-units',
  'group',
  'history',
  'joining',
  'log-format',
  'metrics',
  'metrics-port',
  'options',
  'private-directory',
  'publish',
  'rejoin',
  'require',
  'resume',
  'ring',
  'status',
  'succession',
  'takeover',
  'trouble',
  'up',
];
/** What depends on Node's own modules. */
const NODE_TESTS = ['stack/sockets', 'lib/native', ...failoverTests()];
const own = Number(process.versions.node.split('.')[0]);

function failoverTests() {
  return readdirSync(new URL('../test/failover', import.meta.url))
    .filter((name) => name.endsWith('.test.ts') && !ONCE.includes(name.slice(0, -'.test.ts'.length)))
    .map((name) => `failover/${name.replace(/ts$/, 'js')}`);
}

/** Runs a command, shows its output, and adds up its closing line. */
function run(name, command, args) {
  return new Promise((done) => {
    const started = Date.now();
    console.log(`# ${name}: ${command} ${args.join(' ')}`);
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    let last;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const total = /^(\d+) passed, (\d+) failed$/.exec(line);
      if (total === null) console.log(line);
      else last = { passed: Number(total[1]), failed: Number(total[2]) };
    });
    child.on('error', (error) => console.log(`not ok - ${name}: ${error.message}`));
    child.on('close', (code) => {
      const result = last ?? { passed: 0, failed: 0 };
      // A run that ends without its closing line, or with an error that it did not count, has
      // failed.
      if ((last === undefined || code !== 0) && result.failed === 0) result.failed = 1;
      const seconds = Math.round((Date.now() - started) / 1000);
      console.log(`# ${name}: ${result.passed} passed and ${result.failed} failed in ${seconds} s`);
      done(result);
    });
  });
}

const results = [await run(`Node ${process.versions.node}`, 'npm', ['test'])];
for (const major of SUPPORTED) {
  if (major === own) continue;
  const args = ['-y', '-p', `node@${major}`, 'node', 'scripts/test.mjs', '--only-tests', ...NODE_TESTS];
  results.push(await run(`Node ${major}`, 'npx', args));
}
const sum = (name) => results.reduce((total, result) => total + result[name], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exit(sum('failed') === 0 ? 0 : 1);
