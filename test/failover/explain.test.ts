/**
 * `ft-tcp explain` and `ft-tcp history`, and the totals that outlive a primary. Inside of a lab.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExplainAnswer } from '../../failover/admin/explain.js';
import type { ReplicaStatus } from '../../failover/admin/status.js';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, inLab, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
const FILE = join(directory, 'events.jsonl');

function cli(
  group: TestGroup,
  command: string,
  ...words: string[]
): { status: number | null; stdout: string; stderr: string } {
  const args = [CLI, command, ...words, '--group', group.name, '--dir', directory];
  return spawnSync(process.execPath, args, { encoding: 'utf8' });
}

async function connected(text: string): Promise<[Client, string]> {
  const client = new Client(8);
  client.socket.write(text);
  await client.waitFor(text.length);
  const { localAddress, localPort } = client.socket;
  return [client, `${localAddress}:${localPort}`];
}

function explain(group: TestGroup, peer: string): { status: number | null; answer: ExplainAnswer } {
  const { status, stdout } = cli(group, 'explain', peer, '--json');
  return { status, answer: JSON.parse(stdout) as ExplainAnswer };
}

t.test('one connection over the life of a group', async (t) => {
  const group = new TestGroup(directory, ['--log-size', '16', '--events', FILE]);
  const primary = group.start();
  await status(group, primary, ({ loading }) => !loading);
  const [client, peer] = await connected('hello');
  t.match(explain(group, peer), { status: 1, answer: { connections: [{ reason: 'no-backup', isProtected: false }] } });
  const backup = group.start();
  await status(group, primary, (one) => one.peerPid === backup.pid && one.protected);
  const found = explain(group, peer);
  t.match(found, {
    status: 0,
    answer: {
      connections: [{ remote: peer, local: '10.77.0.2:8', reason: 'replayed', state: /ESTAB/i, openedBy: 'client' }],
      total: 1,
    },
  });
  t.match(cli(group, 'explain', peer).stdout, /\n {2}protected \(replayed\): The backup's program repeats/);
  t.match(cli(group, 'explain', '10.77.0.1:1').stdout, /^No connection with 10\.77\.0\.1:1; 1 others are open/);
  t.match(cli(group, 'explain', 'nonsense'), { status: 2, stderr: /ERR_FT_USAGE: nonsense: expected ADDRESS:PORT/ });
  primary.kill('SIGKILL');
  await status(group, backup, ({ protection }) => protection.takeovers.death === 1);
  t.match(explain(group, peer).answer.connections, [{ reason: 'no-backup' }]);
  t.match(
    cli(group, 'explain', peer).stdout,
    /NOT PROTECTED \(no-backup\): No backup follows the log\.\n {2}Start one/,
  );
  backup.kill('SIGTERM');
  await backup.exited;
  client.socket.destroy();

  const shown = cli(group, 'history').stdout;
  t.match(shown, /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} test\d+ \d+: role {2}role primary\n/);
  t.match(shown, /: takeover {2}reason death .*fenceUs \d+ {2}drainUs \d+ {2}attachUs \d+ {2}firstByteUs \d+/);
  t.match(shown, /: ending {2}signal SIGTERM/);
  const { events } = JSON.parse(cli(group, 'history', '--json').stdout) as {
    events: { event: string; totals?: object }[];
  };
  t.match(
    events.find(({ event }) => event === 'takeover'),
    { totals: { takeovers: { death: 1 } } },
  );
  t.equal(cli(group, 'history', '--last', '1').stdout.trim().split('\n').length, 1);
  t.match(cli(new TestGroup(directory), 'history'), { status: 1, stderr: /ERR_FT_GROUP: There is no group/ });

  const events2 = readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { pid: number });
  t.same(new Set(events2.map(({ pid }) => pid)), new Set([primary.pid, backup.pid]), 'both replicas add to one file');
  t.same([primary.events, backup.events], [[], []], 'standard error has none of it');
  await group.close();
});

t.test('totals go on with the next primary; a late backup leaves older connections out', async (t) => {
  const group = new TestGroup(directory, ['--log-size', '16']);
  const [primary, backup] = await group.pair();
  primary.kill('SIGKILL');
  await backup.event('takeover');
  const [old, peer] = await connected('old');
  const third = group.start();
  await third.event('ready');
  await status(group, backup, (one) => one.peerPid === third.pid && one.protected);
  t.match(explain(group, peer).answer.connections[0]?.reason, /^(replayed|older)$/);
  backup.kill('SIGKILL');
  await third.event('takeover');
  t.match(await group.status(third), { protection: { takeovers: { death: 2, hang: 0 } } });
  old.socket.destroy();
  await group.close();
});

t.test('--solo: nothing is kept, and explain says why', async (t) => {
  const group = new TestGroup(directory, ['--solo']);
  const replica = group.start();
  await replica.event('ready');
  const [client, peer] = await connected('hello');
  t.match(explain(group, peer).answer.connections, [{ reason: 'solo' }]);
  t.notOk(existsSync(join(directory, group.name, 'history.jsonl')));
  client.socket.destroy();
  await group.close();
});

/** Waits until a replica's status is so. */
async function status(group: TestGroup, replica: ReplicaProcess, is: (one: ReplicaStatus) => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const one = await group.status(replica);
    if (one !== null && is(one)) return;
    await sleep(50);
  }
  throw new Error(JSON.stringify(await group.status(replica)));
}
