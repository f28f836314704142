/**
 * All processes of a group die: the next one resumes the group from the log that they left behind.
 */
import { createHash } from 'node:crypto';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { contentSha256 } from '../../failover/demo/content.js';
import { Client, get, inLab, STACK_ADDRESS, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const STATEFUL = fileURLToPath(new URL('apps/stateful.js', import.meta.url));

t.test('one process without a backup, killed and started again: its connections survive', async (t) => {
  const group = new TestGroup(directory);
  const first = group.start();
  await first.event('ready');
  const client = new Client(8);
  client.socket.write('before ');
  await client.waitFor(7);
  const bytes = 96 * 1024 * 1024;
  const hash = createHash('sha256');
  let got = 0;
  const download = new Promise<string>((done) => {
    const socket = net.connect(80, STACK_ADDRESS, () => socket.write(`GET /bytes/${bytes} HTTP/1.0\r\n\r\n`));
    let body = false;
    socket.on('data', (part: Buffer) => {
      let rest = part;
      if (!body) {
        body = true;
        rest = part.subarray(part.indexOf('\r\n\r\n') + 4);
      }
      got += rest.length;
      hash.update(rest);
    });
    socket.on('end', () => done('ended'));
    socket.on('error', (error) => done(error.message));
  });
  while (got < bytes / 3) await sleep(1);
  first.kill('SIGKILL');
  await first.exited;
  const second = group.start();
  t.match(await second.event('role'), { role: 'primary', resumesPid: first.pid });
  await second.event('takeover');
  client.socket.write('after');
  await client.waitFor(12);
  t.equal(client.text, 'before after');
  t.equal(await download, 'ended');
  t.equal(got, bytes);
  t.equal(hash.digest('hex'), contentSha256(bytes));
  client.socket.destroy();
  await group.close();
});

t.test('primary and backup killed at once', async (t) => {
  const group = new TestGroup(directory, ['--mode', 'state'], [STATEFUL, 'v1']);
  const [primary, backup] = await group.pair();
  const client = new Client(7);
  client.socket.write('a\n');
  await client.waitFor(7);
  backup.kill('SIGSTOP');
  primary.kill('SIGKILL');
  backup.kill('SIGKILL');
  await Promise.all([primary.exited, backup.exited]);
  const third = group.start();
  await third.event('takeover');
  client.socket.write('b\n');
  await client.waitFor(14);
  t.equal(client.text, 'v1 1 a\nv1 2 b\n');
  client.socket.destroy();
  await group.close();
});

t.test('a primary that was ended by hand without a backup is not resumed', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const group = new TestGroup(directory);
    const first = group.start();
    await first.event('ready');
    first.kill(signal);
    await first.exited;
    const second = group.start();
    t.match(await second.event('resume-skipped'), { reason: /on purpose/ }, signal);
    await second.event('ready');
    await group.close();
  }
});

t.test('a group that cannot be resumed is tried once', async (t) => {
  const group = new TestGroup(directory);
  const first = group.start();
  await first.event('ready');
  // Different in every process: a replay finds out.
  await get('/different');
  await first.close();
  const second = group.start();
  t.match(await second.event('diverged'), { reason: /wrote/ });
  t.not((await second.exited).code, 0);
  const third = group.start();
  t.match(await third.event('resume-skipped'), { reason: /on purpose/ });
  await third.event('ready');
  t.equal(await get('/'), 'hello');
  await group.close();
});

t.test('another program, a drained group, or a restart window of 0 begins a new group', async (t) => {
  const group = new TestGroup(directory);
  const first = group.start();
  await first.event('ready');
  await first.close();
  const other = new TestGroup(directory, [], [STATEFUL]);
  Object.assign(other, { name: group.name });
  const fresh = other.start();
  await fresh.event('ready');
  t.match(await fresh.event('resume-skipped'), { reason: /another program/ });
  await fresh.close();
  const never = other.start('--restart-window', '0');
  await never.event('ready');
  t.notOk(never.events.some(({ event }) => event === 'takeover'));
  await Promise.all([group.close(), other.close()]);
});
