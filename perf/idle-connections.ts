/** Many connections that are held open: memory, takeover, protection again, and what they cost while they do nothing. */
import { readFileSync } from 'node:fs';
import { monotonicMs } from '../failover/demo/clients.js';
import { STACK_ADDRESS, TAP } from '../failover/lab/network.js';
import type { Breakdown, ReplicaProcess } from '../failover/lab/replica-process.js';
import { type Row, row } from './goals.js';
import { cpuSeconds, resident } from './measure.js';
import { replicas } from './server-setups.js';
import { IdleConnections, PORTS, runClient } from './traffic-client.js';

/** Sources that the client's connections come from, when one has not ports enough. */
export const SOURCES = 8;
const ACTIVE = 1000;

/** Frames that the kernel has got from the stack. */
function framesFromStack(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((text) => text.trim().startsWith(`${TAP}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[1]);
}

/** The primary is killed. @returns until the first frame of its successor, and until there were as many as connections. */
async function takeover(
  primary: ReplicaProcess,
  backup: ReplicaProcess,
  count: number,
): Promise<{ firstMs: number; kickedMs: number }> {
  const frames = framesFromStack();
  const killed = monotonicMs();
  primary.kill('SIGKILL');
  let kickedMs = Number.NaN;
  while (monotonicMs() - killed < 10_000) {
    await new Promise((done) => setTimeout(done, 1));
    if (framesFromStack() - frames < count) continue;
    kickedMs = monotonicMs() - killed;
    break;
  }
  const { breakdown } = (await backup.event('takeover')) as unknown as { breakdown: Breakdown };
  return { firstMs: breakdown.firstByteAtUs / 1000 - killed, kickedMs };
}

/**
 * The goals are for so many connections: less memory each where there are more (they are for 100,000), as a process has some of its
 * own, and a takeover within a time where there are no more.
 */
const MANY = 10_000;

/** Idle connections with a backup: memory, and takeovers: with others at work, and without. */
export async function measureIdleConnections(directory: string, client: string, count: number): Promise<Row[]> {
  const served = await replicas(directory, ['--log-size', '256'], true);
  const [primary, backup] = served.startReplicas as [ReplicaProcess, ReplicaProcess];
  await runClient(client, 'ping', STACK_ADDRESS, PORTS.echo, 64, 0.3);
  const [alone] = await runClient(client, 'ping', STACK_ADDRESS, PORTS.echo, 64, 1);
  const before = [resident(primary.pid), resident(backup.pid)];
  const idle = await IdleConnections.open(client, STACK_ADDRESS, PORTS.echo, count, SOURCES);
  await new Promise((done) => setTimeout(done, 1500));
  const [ours, theirs] = [primary, backup].map(({ pid }, n) => (resident(pid) - before[n]) / count) as [number, number];
  const name = count.toLocaleString('en');
  const rows = [
    row({
      name: `memory, ${name} idle, primary`,
      what: 'resident memory per connection, Node sockets included',
      unit: 'bytes',
      ours,
      against: 'goal',
      other: 4096,
      goal: count < MANY ? '' : '<= 4096',
      of: 'ours',
    }),
    row({
      name: `memory, ${name} idle, backup`,
      what: 'resident memory per connection, Node sockets included',
      unit: 'bytes',
      ours: theirs,
      against: 'goal',
      other: 4096,
      goal: count < MANY ? '' : '<= 4096',
      of: 'ours',
    }),
  ];
  // What they cost while nothing happens, and what another one pays for them.
  const [busy, since] = [cpuSeconds(primary.pid), monotonicMs()];
  await new Promise((done) => setTimeout(done, 2000));
  const share = (100 * (cpuSeconds(primary.pid) - busy)) / ((monotonicMs() - since) / 1000);
  const [beside] = await runClient(client, 'ping', STACK_ADDRESS, PORTS.echo, 64, 1);
  rows.push(
    row({
      name: `CPU, ${name} idle`,
      what: 'of one core, while nothing happens',
      unit: '%',
      ours: share,
      against: 'nothing',
      other: 0,
      goal: '',
      of: 'ours',
    }),
    row({
      name: `echo beside ${name} idle`,
      what: '64 bytes there and back (p50)',
      unit: 'us',
      ours: beside!,
      against: 'without them',
      other: alone!,
      goal: '<= 1.5',
    }),
  );
  // Some that are at work all the time: one byte there and back on each, round after round.
  const active = await IdleConnections.open(client, STACK_ADDRESS, PORTS.echo, ACTIVE, SOURCES);
  let longestMs = 0;
  let lost = 0;
  let stopping = false;
  const working = (async () => {
    while (!stopping) {
      const us = await active.ping();
      if (us < 0) lost++;
      longestMs = Math.max(longestMs, us / 1000);
    }
  })();
  await takeover(primary, backup, count);
  // Only when these have stopped are the others asked: ten thousand answers at once are a wait of their own.
  await new Promise((done) => setTimeout(done, 1000));
  stopping = true;
  await working;
  active.close();
  const echoed = await idle.ping();
  const restarted = monotonicMs();
  const third = served.start();
  await third.event('ready', 60_000);
  const protectedMs = monotonicMs() - restarted;
  // And once more, where nobody else is at work.
  const { firstMs, kickedMs } = await takeover(backup, third, count);
  const again = await idle.ping();
  rows.push(
    row({
      name: `takeover, ${name} idle and ${ACTIVE} active`,
      what: `longest round trip of ${ACTIVE} busy connections; rounds that were not answered: ${lost}`,
      unit: 'ms',
      ours: longestMs,
      against: 'nothing',
      other: 0,
      goal: '',
      of: 'ours',
    }),
    row({
      name: `takeover, ${name}, first byte`,
      what: 'from SIGKILL to the first frame of the new primary',
      unit: 'ms',
      ours: firstMs,
      against: 'goal',
      other: 20,
      goal: count > MANY ? '' : '<= 20',
      of: 'ours',
    }),
    row({
      name: `takeover, ${name}, all`,
      what: `from SIGKILL until every connection has heard of it; all echo again: ${echoed >= 0 && again >= 0}`,
      unit: 'ms',
      ours: kickedMs,
      against: 'goal',
      other: 250,
      goal: count > MANY ? '' : '<= 250',
      of: 'ours',
    }),
  );
  rows.push(
    row({
      name: `protected again, ${name}`,
      what: 'from the start of a new replica until it follows, all connections known',
      unit: 'ms',
      ours: protectedMs,
      against: 'goal',
      other: 3000,
      goal: count > MANY ? '' : '<= 3000',
      of: 'ours',
    }),
  );
  idle.close();
  await served.close();
  return rows;
}
