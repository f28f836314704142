/** What replicas must have in common: compared at the join and at a resume. In a lab. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { programDigest } from '../../failover/host/program-digest.js';
import { Client, inLab, KIT, STACK_ADDRESS, TAP, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(180_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

const app = join(directory, 'app');
const packageDirectory = join(app, 'node_modules/dependency');
mkdirSync(packageDirectory, { recursive: true });
const MAIN = `import net from 'node:net';
import { answer } from './lib/answer.mjs';
import dependency from 'dependency';
net.createServer((socket) => socket.on('data', (part) => socket.write(answer(part) + dependency))).listen(8);
`;
mkdirSync(join(app, 'lib'));
writeFileSync(join(app, 'main.mjs'), MAIN);
writeFileSync(join(app, 'lib/answer.mjs'), 'export const answer = (text) => String(text);\n');
writeFileSync(join(packageDirectory, 'package.json'), '{ "name": "dependency", "main": "index.cjs" }');
writeFileSync(join(packageDirectory, 'index.cjs'), "module.exports = '!';\n");

interface Other {
  options?: string[];
  program?: string[];
  cwd?: string;
  /** Commands of the shell before. */
  before?: string;
  env?: NodeJS.ProcessEnv;
}

/** A second process that differs in something. */
function second(group: TestGroup, { options = [], program = [join(app, 'main.mjs'), 'one'], ...other }: Other): string {
  const same = ['--group', group.name, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
  const words = [process.execPath, CLI, 'run', ...same, ...options, ...program];
  const command = `${other.before ?? ':'}; exec ${words.map((word) => `'${word}'`).join(' ')}`;
  const env = { ...process.env, ...other.env };
  const ran = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 20_000, cwd: other.cwd, env });
  t.equal(ran.status, 1, ran.stderr);
  return ran.stderr;
}

t.test('a backup that differs is refused, with both values and what to do', async (t) => {
  const group = new TestGroup(directory, [], [join(app, 'main.mjs'), 'one']);
  const primary = group.start();
  await primary.event('ready');
  const cases: [Other, RegExp][] = [
    [
      { options: ['--commit', 'acked'] },
      /--commit differs: the primary has written, this replica acked\. .*same options/,
    ],
    [{ options: ['--log-size', '32'] }, /--log-size differs: the primary has 64 MiB, this replica 32 MiB/],
    [
      { options: ['--ip', '10.77.0.9/24'] },
      /--ip differs: .*10\.77\.0\.2\/24, this replica 10\.77\.0\.2\/24 10\.77\.0\.9\/24/,
    ],
    [{ options: ['--no-offload'] }, /offload \(--no-offload\) differs: the primary has on, this replica off/],
    [{ options: ['--mac', '02:00:00:00:00:09'] }, /--mac differs: the primary has none, this replica 02:00/],
    [
      { program: [join(app, 'main.mjs'), 'two'] },
      /arguments differs: the primary has \["one"\], this replica \["two"\]/,
    ],
    [{ cwd: '/' }, /working directory differs: the primary has \/.*, this replica \/\. /],
    [{ before: 'umask 077' }, /umask differs: the primary has 0\d+, this replica 077/],
    [{ before: 'ulimit -n 512' }, /limits of the process.* differs: .*open files.*this replica .*open files 512/],
    [{ env: { NODE_OPTIONS: '--no-warnings' } }, /Node's own options differs/],
  ];
  for (const [other, says] of cases) {
    const text = second(group, other);
    t.match(text, /ERR_FT_MISMATCH/);
    t.match(text, says);
  }
  writeFileSync(join(app, 'lib/answer.mjs'), 'export const answer = (text) => String(text).trim();\n');
  t.match(
    second(group, {}),
    /ERR_FT_MISMATCH: program \(SHA-256\) differs: .*[0-9a-f]{64}.*[0-9a-f]{64}.*same program/,
  );
  writeFileSync(join(app, 'lib/answer.mjs'), 'export const answer = (text) => String(text);\n');
  const backup = group.start();
  await primary.event('protected');
  t.notOk(backup.hasExited, 'the same command follows');
  await group.close();
});

t.test('a group is resumed by what is equal to it, and says so', async (t) => {
  const group = new TestGroup(directory, [], [KIT]);
  process.env['SETTING'] = 'old';
  const first = group.start();
  await first.event('ready');
  const client = new Client(8);
  client.socket.write('before ');
  await client.waitFor(7);
  await first.close();
  process.env['SETTING'] = 'new';
  const resuming = group.start();
  t.match(await resuming.event('resumed'), { diedPid: first.pid, beginAnew: '--restart-window 0' });
  const differs = (await resuming.event('environment-differs')) as unknown as { variables: string[] };
  t.same(differs.variables, ['SETTING']);
  await resuming.event('takeover');
  client.socket.write('after');
  await client.waitFor(12);
  t.equal(client.text, 'before after');
  client.socket.destroy();
  await resuming.close();
  const other = group.start('--commit', 'acked');
  t.match(await other.event('resume-skipped'), { reason: /another --commit: written, and this process has acked/ });
  await other.event('ready');
  await group.close();
});

t.test('the digest of a program covers what it imports', async (t) => {
  const place = join(directory, 'digest');
  mkdirSync(join(place, 'node_modules/@scope/pure'), { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(place, name), text);
  write(
    'main.mjs',
    `import './a.mjs'; import b from "./b.cjs"; import('./c.mjs'); import '@scope/pure'; import 'none';`,
  );
  write('a.mjs', `export * from './deep.mjs'; import 'node:fs'; import './main.mjs';`);
  write('deep.mjs', 'export const deep = 1;');
  write('b.cjs', `require('./data.json'); require('./d');`);
  write('c.mjs', '');
  write('d.js', '');
  write('data.json', '{}');
  write('other.mjs', '');
  write('node_modules/@scope/pure/package.json', '{ "name": "pure", "exports": { "import": "./index.mjs" } }');
  const digest = (): string => programDigest(join(place, 'main.mjs'));
  const before = digest();
  t.match(before, /^[0-9a-f]{64}$/);
  t.equal(digest(), before, 'the same for the same');
  write('other.mjs', 'changed');
  t.equal(digest(), before, 'what is not imported does not count');
  symlinkSync(place, join(directory, 'digest-link'));
  t.equal(programDigest(join(directory, 'digest-link/main.mjs')), before, 'wherever it lies');
  for (const name of ['deep.mjs', 'c.mjs', 'd.js', 'data.json', 'node_modules/@scope/pure/package.json']) {
    const last = digest();
    write(name, '{ "changed": true }');
    t.not(digest(), last, name);
  }
  t.throws(() => programDigest(join(place, 'missing.mjs')), { code: 'ENOENT' });
});
