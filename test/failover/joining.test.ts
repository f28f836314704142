/** A backup that joins late protects when it has caught up, and not before. In a lab. */
import t from 'tap';
import type { Breakdown } from '../../failover/lab/replica-process.js';
import { Client, inLab, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(120_000);

const PART = 'x'.repeat(500);
const PARTS = 24_000;

t.test('a kill right after `protected` waits for no replay of what was before', async (t) => {
  const group = new TestGroup(directory);
  const primary = group.start();
  await primary.event('ready');
  const client = new Client(8);
  // A history that takes a backup much longer to replay than a takeover may last.
  for (let sent = 0; sent < PARTS; sent += 200) {
    for (let i = 0; i < 200; i++) client.socket.write(PART);
    await client.waitFor((sent + 200) * PART.length, 30_000);
  }
  const backup = group.start();
  const joining = await primary.event('backup-joining', 20_000);
  const before = await group.status(primary);
  t.match(joining, { joinerPid: backup.pid });
  t.ok((joining['lagBytes'] as number) > 5_000_000, `${joining['lagBytes']} bytes to apply`);
  t.same([before?.joining, before?.protected], [true, false], 'the status says so, too');
  await primary.event('protected', 30_000);
  primary.kill('SIGKILL');
  const { breakdown } = (await backup.event('takeover')) as unknown as { breakdown: Breakdown };
  t.ok(breakdown.drainUs < 100_000, `${breakdown.drainUs} µs until the rest of the log was applied`);
  client.socket.write('after');
  await client.waitFor(PARTS * PART.length + 5);
  t.equal(client.text.slice(-5), 'after');
  client.socket.destroy();
  await group.close();
});
