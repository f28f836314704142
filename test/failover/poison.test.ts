/**
 * Input that kills or stops the primary: its successor resets that connection, and all others go
 * on. In a lab.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Client, get, inLab, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(240_000);

/** A new primary does not answer segments of unknown connections for 3 s: the reset is its own. */
const RESET_MS = 2500;

/** What a path makes the program do; `PROGRAM` has the code. */
const POISONS: Record<string, RegExp> = {
  exit: /process\.exit\(1\)/,
  'exit-later': /process\.exit\(1\)/,
  'exit-caught': /process\.exit\(1\)/,
  abort: /process\.abort\(\)/,
  kill: /process\.kill\(process\.pid, SIGKILL\)/,
  stop: /process\.kill\(process\.pid, 19\)/,
  loop: /did not end within 1000 ms/,
  'loop-later': /did not end within 1000 ms/,
  'loop-ticks': /did not end within 1000 ms/,
  'loop-outside': /did not end within 1000 ms/,
  regexp: /did not end within 1000 ms/,
  heap: /exhausted the memory/,
  'heap-later': /exhausted the memory/,
  throw: /a bug/,
  'throw-tick': /a bug/,
  reject: /a bug/,
};

const PROGRAM = `
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
const { exit } = process;
const poisons = {
  exit: () => process.exit(1),
  'exit-later': async () => { await null; process.exitCode = 1; process.exit(); },
  'exit-caught': () => { try { exit(1); } catch { } },
  abort: () => process.abort(),
  kill: () => process.kill(process.pid, 'SIGKILL'),
  stop: () => process.kill(process.pid, 19),
  loop: () => { for (;;); },
  'loop-later': async () => { await null; for (;;) await null; },
  'loop-ticks': () => process.nextTick(function again() { process.nextTick(again); }),
  'loop-outside': () => { for (;;) fs.readFileSync('/proc/self/stat'); },
  regexp: () => /^(a+)+$/.test('a'.repeat(60) + 'b'),
  heap: () => { for (const kept = []; ; ) kept.push(Array.from({ length: 1000 }, (_, i) => i / 2)); },
  'heap-later': async () => { await null; poisons.heap(); },
  throw: () => { throw new Error('a bug'); },
  'throw-tick': () => process.nextTick(() => poisons.throw()),
  reject: async () => { await null; throw new Error('a bug'); },
};
let requests = 0;
http.createServer(async (request, response) => {
  requests++;
  const poison = poisons[(request.url ?? '').slice(1)];
  if (poison !== undefined) return await poison();
  response.end('hello ' + requests);
}).listen(80);
net.createServer((socket) => socket.pipe(socket)).listen(8);
`;

const EXIT_HANDLER = `
process.on('uncaughtException', (error) => { console.error(error.message); process.exit(1); });
`;

async function poison(t: Test, path: string, says: RegExp, program: string): Promise<void> {
  // V8's own limit is to be met before the limit of time.
  const isHeap = path.startsWith('heap');
  const group = new TestGroup(directory, isHeap ? ['--hang-timeout', '4000'] : [], [program]);
  if (isHeap) process.env['NODE_OPTIONS'] = '--max-old-space-size=96';
  const [primary, backup] = await group.pair();
  delete process.env['NODE_OPTIONS'];
  const bystander = new Client(8);
  // After a failure, too: what is left would keep this process alive.
  const leave = (): Promise<void> => {
    bystander.socket.destroy();
    return group.close();
  };
  t.teardown(leave);
  bystander.socket.write('before ');
  await bystander.waitFor(7);
  const poisoned = get(`/${path}`, 20_000).then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
  await primary.exited;
  t.match(await backup.event('quarantined', 10_000), { error: says }, path);
  const quarantinedAt = Date.now();
  t.equal(await poisoned, 'ECONNRESET', `${path}: its connection is reset`);
  t.ok(Date.now() - quarantinedAt < RESET_MS, `${path}: at the takeover`);
  bystander.socket.write('after');
  await bystander.waitFor(12);
  t.equal(bystander.text, 'before after', `${path}: the others go on`);
  t.equal(bystander.error, null);
  t.equal(await get('/'), 'hello 2');
  await sleep(50);
  t.equal(backup.hasExited, false, `${path}: not two deaths`);
  await leave();
}

const plain = join(directory, 'poisons.mjs');
writeFileSync(plain, PROGRAM);
const handled = join(directory, 'poisons-exit.mjs');
writeFileSync(handled, EXIT_HANDLER + PROGRAM);

for (const [path, says] of Object.entries(POISONS)) t.test(path, (t) => poison(t, path, says, plain));

t.test('a handler of uncaught exceptions that ends the process', async (t) => {
  for (const path of ['throw', 'reject']) await poison(t, path, /process\.exit\(1\)/, handled);
});

t.test('a program that ends without an error ends on both', async (t) => {
  const file = join(directory, 'ends.mjs');
  writeFileSync(file, `import http from 'node:http'; http.createServer(() => process.exit(0)).listen(80);`);
  const group = new TestGroup(directory, [], [file]);
  const [primary, backup] = await group.pair();
  void get('/', 1000).catch(() => undefined);
  t.same(await primary.exited, { code: 0, signal: null });
  t.same(await backup.exited, { code: 0, signal: null });
  await group.close();
});
