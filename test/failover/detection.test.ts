/**
 * How the loss of a primary is detected and proven: with real processes, whose memory takes the
 * kernel longer than the takeover.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Breakdown, ReplicaEvent, ReplicaProcess } from '../../failover/lab/replica-process.js';
import { native } from '../../lib/native/native.js';
import { Client, inLab, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

const addon = native();
const FAULT = join(directory, 'fault');
process.env['FT_TCP_LAB_FAULT'] = FAULT;
process.env['NODE_OPTIONS'] = `--import ${new URL('../lab/fault-hook.js', import.meta.url).href}`;
/** Its memory takes the kernel tens of milliseconds. */
const MEGABYTES = 600;
/** Filling memory on a busy machine is no hang. */
const PATIENT = ['--hang-timeout', '20000'];
/** A measurement that a busy machine can spoil is repeated at most this often. */
const MAX_TRIES = 4;

/** Makes a replica large, outside of its program. */
async function grow(replica: ReplicaProcess): Promise<void> {
  writeFileSync(FAULT, `ballast ${MEGABYTES}`);
  replica.kill('SIGUSR2');
  await sleep(1500);
}

/** When the process has ended altogether: CLOCK_MONOTONIC, microseconds. */
function endOf(replica: ReplicaProcess): Promise<number> {
  return new Promise((done) => {
    const watch = addon.watchOpen(addon.pidfdOpen(replica.pid), false, () => {
      done(addon.monotonicUs());
      addon.watchClose(watch, true);
    });
  });
}

const breakdown = (event: ReplicaEvent): Breakdown & { detectedBy: string; fencedBy: string } =>
  event['breakdown'] as Breakdown & { detectedBy: string; fencedBy: string };

/** One takeover with a client before, in and after it. */
async function takeOver(
  group: TestGroup,
  [primary, backup]: [ReplicaProcess, ReplicaProcess],
  signal: NodeJS.Signals,
): Promise<{ report: ReturnType<typeof breakdown>; aheadUs: number; text: string }> {
  const client = new Client(8);
  client.socket.write('before;');
  await client.waitFor(7);
  const ended = endOf(primary);
  primary.kill(signal);
  client.socket.write('after;');
  const report = breakdown(await backup.event('takeover'));
  await client.waitFor(13);
  client.socket.destroy();
  const aheadUs = (await ended) - report.firstByteAtUs;
  await group.close();
  return { report, aheadUs, text: client.text };
}

for (const [signal, detectedBy] of [
  ['SIGKILL', 'futex'],
  ['SIGSTOP', 'heartbeat'],
] as const)
  t.test(`${signal}: the successor sends before the kernel has freed the memory of the dead`, async (t) => {
    let early = false;
    for (let n = 0; n < MAX_TRIES && !early; n++) {
      const group = new TestGroup(directory, signal === 'SIGSTOP' ? ['--hang-timeout', '3000'] : PATIENT);
      t.teardown(() => group.close());
      const pair = await group.pair();
      await grow(pair[0]);
      const { report, aheadUs, text } = await takeOver(group, pair, signal);
      t.equal(text, 'before;after;');
      t.match(report, { detectedBy, fencedBy: 'threads' });
      early = aheadUs > 0;
    }
    t.ok(early);
  });

t.test('a process that waits never gets the lock in between', async (t) => {
  const group = new TestGroup(directory, PATIENT);
  t.teardown(() => group.close());
  const pair = await group.pair();
  const [primary, backup] = pair;
  const spare = group.start();
  await spare.event('role');
  await grow(primary);
  const client = new Client(8);
  client.socket.write('before;');
  await client.waitFor(7);
  primary.kill('SIGKILL');
  t.match(breakdown(await backup.event('takeover')), { fencedBy: 'threads' });
  await backup.event('protected', 20_000);
  t.match(await spare.event('ready'), { role: 'backup' });
  t.notOk(backup.events.some(({ event }) => event === 'failed'));
  // The next successor has copies of its own, of the same open files.
  backup.kill('SIGKILL');
  t.match(breakdown(await spare.event('takeover')), { detectedBy: 'futex', fencedBy: 'threads' });
  client.socket.write('after;');
  await client.waitFor(13);
  t.equal(client.text, 'before;after;');
  client.socket.destroy();
  const last = group.start();
  await last.event('ready', 20_000);
  t.match(await last.event('role'), { role: 'backup' });
  await group.close();
});

t.test('in acked mode nobody waits for the memory of a dead backup', async (t) => {
  let waits = Number.POSITIVE_INFINITY;
  for (let n = 0; n < MAX_TRIES && waits > 0; n++) {
    const group = new TestGroup(directory, ['--commit', 'acked', ...PATIENT]);
    t.teardown(() => group.close());
    const [primary, backup] = await group.pair();
    await grow(backup);
    const client = new Client(8);
    client.socket.write('before;');
    await client.waitFor(7);
    const ended = endOf(backup);
    backup.kill('SIGKILL');
    client.socket.write('after;');
    await until('the answer has come', () => client.text === 'before;after;');
    const answered = addon.monotonicUs();
    await primary.event('unprotected');
    waits = answered - (await ended);
    client.socket.destroy();
    await group.close();
  }
  t.ok(waits < 0, `answered ${-waits / 1000} ms before the backup had ended`);
});

t.test('a program that starts after the takeover finds nothing of the dead one', async (t) => {
  const stateful = new URL('./apps/stateful.js', import.meta.url).pathname;
  const group = new TestGroup(directory, ['--mode', 'state', ...PATIENT], [stateful]);
  t.teardown(() => group.close());
  const [primary, backup] = await group.pair();
  await grow(primary);
  primary.kill('SIGKILL');
  t.match(breakdown(await backup.event('takeover', 20_000)), { fencedBy: 'process' });
  await group.close();
});
