/**
 * Who becomes the primary, and who does not: spares, double deaths, pauses, lost directories. In
 * a lab.
 */
import { spawnSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, get, inLab, KIT, sleep, TAP, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(180_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

const roles = (replica: ReplicaProcess): unknown[] =>
  replica.events.filter(({ event }) => event === 'role').map(({ role }) => role);

async function connected(): Promise<Client> {
  const client = new Client(8);
  client.socket.write('before ');
  await client.waitFor(7);
  return client;
}

async function goesOn(client: Client): Promise<string> {
  const length = client.text.length + 6;
  client.socket.write('after ');
  await client.waitFor(length);
  return client.error ?? client.text;
}

t.test('a spare never takes the group from the backup, and follows it afterwards', async (t) => {
  const group = new TestGroup(directory);
  let [primary, backup] = await group.pair();
  const client = await connected();
  let expected = 'before ';
  for (let n = 0; n < 4; n++) {
    const spare = group.start();
    await spare.event('role');
    // Exactly when the spare looks for a place is left to chance.
    await sleep(30 * n);
    primary.kill('SIGKILL');
    await backup.event('takeover');
    expected += 'after ';
    t.equal(await goesOn(client), expected);
    await backup.event('protected');
    t.same(roles(spare), ['backup'], `death ${n}: the spare is the backup`);
    [primary, backup] = [backup, spare];
  }
  client.socket.destroy();
  await group.close();
});

t.test('primary and backup die at once: the spare resumes the group', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const spare = group.start();
  await spare.event('role');
  const client = await connected();
  primary.kill('SIGKILL');
  backup.kill('SIGKILL');
  await spare.event('takeover');
  t.equal(await goesOn(client), 'before after ');
  client.socket.destroy();
  await group.close();
});

t.test('a process that starts while a group is resumed becomes its backup', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = await connected();
  primary.kill('SIGKILL');
  backup.kill('SIGKILL');
  await Promise.all([primary.exited, backup.exited]);
  const both = [group.start(), group.start()];
  const resumed = await Promise.race(both.map((replica) => replica.event('resumed').then(() => replica)));
  await resumed.event('protected', 20_000);
  t.equal(await goesOn(client), 'before after ');
  t.equal(both.filter(({ hasExited }) => hasExited).length, 0, 'nobody has died of it');
  client.socket.destroy();
  await group.close();
});

t.test('a spare of a group that is drained ends with it', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const spare = group.start();
  await spare.event('role');
  const drained = spawnSync(process.execPath, [CLI, 'drain', '--dir', directory, '--group', group.name], {
    timeout: 20_000,
  });
  t.equal(drained.status, 0);
  for (const replica of [primary, backup, spare]) t.same(await replica.exited, { code: 0, signal: null });
  const fresh = group.start();
  await fresh.event('ready');
  await group.close();
});

t.test('a pause of both is no hang: the primary lives', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = await connected();
  let expected = 'before ';
  for (let n = 0; n < 6; n++) {
    for (const replica of [primary, backup]) replica.kill('SIGSTOP');
    await sleep(700);
    // The backup runs first, and sees an old heartbeat.
    backup.kill('SIGCONT');
    await sleep(20 * n);
    primary.kill('SIGCONT');
    expected += 'after ';
    t.equal(await goesOn(client), expected);
  }
  t.equal(primary.hasExited, false);
  t.notOk(backup.events.some(({ event }) => event === 'takeover'));
  // A hang is still detected.
  primary.kill('SIGSTOP');
  await backup.event('takeover', 5000);
  t.equal(await goesOn(client), `${expected}after `);
  client.socket.destroy();
  await group.close();
});

t.test('a directory that is removed or replaced: it is said, and no second primary starts', async (t) => {
  for (const how of ['rm', 'mv'] as const) {
    const group = new TestGroup(directory);
    const [primary, backup] = await group.pair();
    const path = join(directory, group.name);
    if (how === 'rm') rmSync(path, { recursive: true });
    else renameSync(path, `${path}.moved`);
    t.match(await primary.event('directory-removed', 2000), { directory: path });
    t.match(await primary.event('unprotected', 2000), { reason: /directory/ });
    await backup.exited;
    const second = spawnSync(
      process.execPath,
      [CLI, 'run', '--dir', directory, '--group', group.name, '--tap', TAP, KIT],
      { encoding: 'utf8', timeout: 20_000 },
    );
    t.match(second.stderr, /EBUSY.*this one in another directory/);
    t.equal(await get('/'), 'hello');
    await group.close();
  }
});

t.test('two pid namespaces with one directory are refused', async (t) => {
  const group = new TestGroup(directory);
  const primary = group.start();
  await primary.event('ready');
  const inside = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath];
  const words = [CLI, 'run', '--dir', directory, '--group', group.name, '--tap', TAP, KIT];
  const other = spawnSync('unshare', [...inside, ...words], { encoding: 'utf8', timeout: 20_000 });
  t.equal(other.status, 3, other.stderr);
  t.match(
    other.stderr,
    /ERR_FT_NAMESPACE: The primary \(process \d+\) runs in the pid namespace \d+, this process in \d+/,
  );
  t.equal(await get('/'), 'hello');
  await group.close();
});
