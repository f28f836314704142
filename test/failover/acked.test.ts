/**
 * Commit mode `acked`: output waits for the backup, but never for one that hangs or has not caught
 * up yet. In a lab.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, inLab, KIT, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(60_000);

t.test('a backup that hangs is given up, and output goes on', async (t) => {
  const group = new TestGroup(directory, ['--commit', 'acked', '--hang-timeout', '400']);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('one;');
  await client.waitFor(4);
  backup.kill('SIGSTOP');
  const start = Date.now();
  client.socket.write('two;');
  await client.waitFor(8);
  const waited = Date.now() - start;
  t.equal(client.text, 'one;two;');
  t.ok(waited >= 750, `waited ${waited} ms for the backup`);
  t.match(await primary.event('unprotected'), { reason: /no progress/ });
  t.match(await group.status(primary), { protected: false });
  backup.kill('SIGCONT');
  t.same((await backup.exited).code, 1);
  t.match(backup.stderrLines.join('\n'), /ERR_FT_DROPPED/);
  client.socket.destroy();
  await group.close();
});

t.test('nobody waits while a backup loads its program', async (t) => {
  const slow = join(directory, 'slow.mjs');
  writeFileSync(
    slow,
    `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
     await import(${JSON.stringify(KIT)});`,
  );
  const group = new TestGroup(directory, ['--commit', 'acked'], [slow]);
  const primary = group.start();
  await primary.event('ready');
  const client = new Client(8);
  client.socket.write('0;');
  await client.waitFor(2);
  const backup = group.start();
  await primary.event('protected');
  let longest = 0;
  for (let i = 1; i <= 20; i++) {
    const at = Date.now();
    client.socket.write(`${i % 10};`);
    await client.waitFor(2 + 2 * i);
    longest = Math.max(longest, Date.now() - at);
    await sleep(20);
  }
  t.ok(longest < 1200, `longest answer ${longest} ms`);
  await backup.event('ready');
  client.socket.write('x;');
  await client.waitFor(44);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  client.socket.write('y;');
  await client.waitFor(46);
  t.equal(client.text, `0;${Array.from({ length: 20 }, (_, i) => `${(i + 1) % 10};`).join('')}x;y;`);
  client.socket.destroy();
  await group.close();
});
