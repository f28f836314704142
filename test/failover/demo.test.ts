/** The demo as a user runs it: every scenario, real clients; nothing is left behind. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { demoOptions } from '../../failover/cli/demo-options.js';
import { parseSize } from '../../failover/cli/value-types.js';
import { Arrivals, median } from '../../failover/demo/arrivals.js';
import { chunk, contentSha256 } from '../../failover/demo/content.js';
import type { DemoReport } from '../../failover/demo/report.js';
import { missingTools } from '../../failover/lab/required-tools.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

function demo(...args: string[]): Promise<{ code: number | null; report: DemoReport; text: string }> {
  const child = spawn(process.execPath, [CLI, 'demo', '--json', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let text = '';
  child.stdout.on('data', (part) => {
    out += part;
  });
  child.stderr.on('data', (part) => {
    text += part;
  });
  return new Promise((done, fail) => {
    child.on('close', (code) => {
      const last = out.trim().split('\n').at(-1) ?? '';
      try {
        done({ code, report: JSON.parse(last) as DemoReport, text });
      } catch {
        fail(new Error(`exit ${code}: ${out}${text}`));
      }
    });
  });
}

/** A takeover of a demo on a busy machine, the time to detect a hang included. */
const MAX_TAKEOVER_MS = 10_000;

const good = (report: DemoReport, runs: number): void => {
  t.match(report, { runs, ok: runs, failedRequests: 0, clientExit: Array(runs).fill(0), problems: [] });
  t.ok(report.primaryExit.every((end) => end === 'SIGKILL'));
  const { detect, fence, drain, attach, firstByte } = report.breakdownMs;
  t.ok((fence ?? 0) > 0 && (attach ?? 0) > 0, `a death awaited, a device opened: ${fence}, ${attach} ms`);
  // Medians of the phases; the client's silence has all of them, less what it had in its buffers.
  const phases = [detect, fence, drain, attach, firstByte].map((ms) => ms ?? Number.NaN);
  const sum = phases.reduce((total, ms) => total + ms, 0);
  t.ok(phases.every((ms) => ms >= 0) && sum > 0 && sum < MAX_TAKEOVER_MS, `phases: ${phases.join(', ')} ms`);
};

t.test('wget survives kill -9 in one connection, also in the capture', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ft-demo-'));
  const file = join(directory, 'wget.pcap');
  const { code, report, text } = await demo('--bytes', '200M', '--runs', '2', '--pcap', file);
  t.equal(code, 0, text);
  good(report, 2);
  t.match(report, { scenario: 'wget', sha256Equal: true, connections: 1, capture: { file, connections: 2 } });
  t.ok(report.gapMs.max! > 0 && report.mbps.before! > 0 && report.mbps.after! > 0);
  t.ok(statSync(file).size > 10_000);
  t.match(text, /\^ killed/, 'the plot marks the kill');
  rmSync(directory, { recursive: true });
});

t.test('a hang', async (t) => {
  const { code, report, text } = await demo('--bytes', '300M', '--signal', 'STOP', '--hang-timeout', '300');
  t.equal(code, 0, text);
  good(report, 1);
  t.ok(report.breakdownMs.detect! >= 290, 'not before the timeout');
});

const missing = missingTools(['nginx', 'redis-server', 'redis-benchmark']);
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`;

t.test('a gateway and its successor die: nginx and redis behind it notice nothing', { skip }, async (t) => {
  for (const [backend, more] of [
    ['nginx', ['--bytes', '60M']],
    ['redis', ['--requests', '6000', '--connections', '20']],
  ] as const) {
    const { code, report, text } = await demo('--scenario', 'gateway', '--backend', backend, ...more);
    t.equal(code, 0, text);
    good(report, 1);
    t.equal(report.backend, backend);
  }
});

t.test('upload, and two demos at once', async (t) => {
  const both = await Promise.all([
    demo('--scenario', 'upload', '--bytes', '200M'),
    demo('--scenario', 'upload', '--bytes', '150M', '--at', '0.2', '--no-offload'),
  ]);
  for (const { code, report, text } of both) {
    t.equal(code, 0, text);
    good(report, 1);
    t.equal(report.sha256Equal, true);
  }
});

t.test('ab without and with keep-alive', async (t) => {
  const without = await demo('--scenario', 'ab', '--requests', '4000', '--connections', '50');
  t.equal(without.code, 0, without.text);
  good(without.report, 1);
  t.ok(without.report.connections >= 4000);
  const keep = await demo('--scenario', 'ab', '--requests', '6000', '--connections', '50', '--keep-alive');
  t.equal(keep.code, 0, keep.text);
  good(keep.report, 1);
  t.ok(keep.report.connections < 200);
});

t.test('acked: output waits for the backup, and the client notices only a pause', async (t) => {
  for (const words of [
    ['--bytes', '200M'],
    ['--scenario', 'ab', '--requests', '3000', '--connections', '50'],
  ]) {
    const { code, report, text } = await demo('--commit', 'acked', ...words);
    t.equal(code, 0, text);
    good(report, 1);
  }
});

t.test('WebSocket echo', async (t) => {
  const { code, report, text } = await demo('--scenario', 'ws-echo', '--requests', '4000');
  t.equal(code, 0, text);
  good(report, 1);
  t.equal(report.connections, 1);
});

t.test('a demo that could not kill the primary fails', async (t) => {
  const { code, report } = await demo('--bytes', '1K');
  t.equal(code, 1);
  t.equal(report.ok, 0);
  t.match(report.problems.join(), /finished before the primary could be killed/);
  const never = await demo('--bytes', '1M', '--at', 'never');
  t.equal(never.code, 0);
  t.equal(never.report.ok, 1);
});

t.test('a demo that is killed leaves nothing behind', async (t) => {
  // Other tests have labs, too: this one has its own temporary directory.
  const place = mkdtempSync(join(tmpdir(), 'ft-tcp-place-'));
  t.teardown(() => rmSync(place, { recursive: true, force: true }));
  const child = spawn(process.execPath, [CLI, 'demo', '--bytes', '100G'], {
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: place },
  });
  // Its namespace, when it has been made.
  let inside = '';
  for (let tries = 0; inside === '' && tries < 100; tries++) {
    await new Promise((done) => setTimeout(done, 200));
    inside = spawnSync('ps', ['-o', 'pid=', '--ppid', String(child.pid)], { encoding: 'utf8' }).stdout.trim();
  }
  t.not(inside, '', 'it runs');
  child.kill('SIGTERM');
  await new Promise((done) => child.once('exit', done));
  t.throws(() => process.kill(Number(inside), 0), { code: 'ESRCH' }, 'the lab has ended');
  t.same(readdirSync(place), []);
});

t.test('doctor', async (t) => {
  const result = spawnSync(process.execPath, [CLI, 'doctor', '--json'], { encoding: 'utf8' });
  const { ok, checks } = JSON.parse(result.stdout) as { ok: boolean; checks: { name: string; ok: boolean }[] };
  t.equal(result.status, ok ? 0 : 3);
  t.ok(ok, result.stdout);
  t.ok(checks.some((check) => check.name === 'wget' && check.ok));
  const bare = spawnSync(process.execPath, [CLI, 'doctor'], { encoding: 'utf8', env: { PATH: '/nowhere' } });
  t.match(bare.stdout, /absent {3}wget: not found\n +apt-get install -y wget/);
  const demo = spawnSync(process.execPath, [CLI, 'demo'], { encoding: 'utf8', env: { PATH: '/nowhere' } });
  t.equal(demo.status, 3);
  t.match(demo.stderr, /ERR_FT_TOOLS.*wget.*apt-get install/);
});

t.test('parts', async (t) => {
  t.equal(parseSize('1.5K'), 1536);
  t.equal(parseSize('2GiB'), 2 ** 31);
  t.ok(Number.isNaN(parseSize('2X')));
  t.match(demoOptions(['--signal', 'SIGSTOP', '--at', 'never']), { signal: 'SIGSTOP', at: null });
  t.notOk(chunk(1, 100).equals(chunk(2, 100)), 'content differs between positions');
  t.equal(contentSha256(0), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  const arrivals = new Arrivals();
  for (const at of [0, 1, 2, 30, 31]) arrivals.add(1000, at);
  t.same([arrivals.gapMs, arrivals.gapAtMs, arrivals.total], [28, 2, 5000]);
  t.equal(Math.round(arrivals.rate(0, 35)), Math.round(5000 / 0.035));
  t.ok(Number.isNaN(arrivals.rate(5, 5)));
  t.equal(median([3, 1, Number.NaN, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
});
