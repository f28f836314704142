/**
 * Many idle connections: memory, CPU, takeover, and the time until the group is protected again.
 */
import { readFileSync } from 'node:fs';
import { monotonicMs } from '../failover/demo/clients.js';
import { STACK_ADDRESS, TAP } from '../failover/lab/network.js';
import type { Breakdown, ReplicaProcess } from '../failover/lab/replica-process.js';
import { type Row, row } from './goals.js';
import { cpuSeconds, resident } from './measure.js';
import { startReplicas } from './server-setups.js';
import { IdleConnections, PORTS, runClient } from './traffic-client.js';

/** Source addresses of the client's connections: one address does not have enough ports. */
export const SOURCES = 8;
const ACTIVE = 1000;

/** Frames that the kernel has received from the stack. */
function framesFromStack(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((text) => text.trim().startsWith(`${TAP}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[1]);
}

/**
 * The primary is killed.
 * @returns until the first frame of its successor, and until there were as many as connections.
 */
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
 * Connections that the goals are for: memory per connection where there are at least as many, as a
 * process has some memory of its own; times of a takeover where there are at most as many.
 */
const MANY = 10_000;

/** One measurement with `count` idle connections. */
class IdleRun {
  readonly rows: Row[] = [];
  readonly #name: string;

  constructor(
    readonly client: string,
    readonly count: number,
  ) {
    this.#name = count.toLocaleString('en');
  }

  /** A row with a limit for `ours`, or with no goal. */
  #add(name: string, what: string, unit: string, ours: number, limit?: number): void {
    const label = name.replace('N', this.#name);
    // Memory has a goal for many connections, times have one for few.
    const applies = limit !== undefined && (unit === 'bytes' ? this.count >= MANY : this.count <= MANY);
    const against = limit === undefined ? 'nothing' : 'goal';
    const goal = applies ? `<= ${limit}` : '';
    this.rows.push(row({ name: label, what, unit, ours, against, other: limit ?? 0, goal, of: 'ours' }));
  }

  /** Round trip of 64 bytes, p50, microseconds. */
  async echo(seconds = 1): Promise<number> {
    const [p50] = await runClient(this.client, 'ping', STACK_ADDRESS, PORTS.echo, 64, seconds);
    return p50;
  }

  open(count: number): Promise<IdleConnections> {
    return IdleConnections.open(this.client, STACK_ADDRESS, PORTS.echo, count, SOURCES);
  }

  /** Memory of both replicas, since `before`. */
  memory(replicas: ReplicaProcess[], before: number[]): void {
    const [ours, theirs] = replicas.map(({ pid }, n) => (resident(pid) - before[n]) / this.count);
    const what = 'resident memory per connection, Node sockets included';
    this.#add('memory, N idle, primary', what, 'bytes', ours, 4096);
    this.#add('memory, N idle, backup', what, 'bytes', theirs, 4096);
  }

  /** What idle connections cost, and what another connection pays for them. */
  async idleCost(primary: ReplicaProcess, echoAlone: number): Promise<void> {
    const [busy, since] = [cpuSeconds(primary.pid), monotonicMs()];
    await new Promise((done) => setTimeout(done, 2000));
    const share = (100 * (cpuSeconds(primary.pid) - busy)) / ((monotonicMs() - since) / 1000);
    this.#add('CPU, N idle', 'of one core, while nothing happens', '%', share);
    const ours = await this.echo();
    const [name, what] = [`echo beside ${this.#name} idle`, '64 bytes there and back (p50)'];
    this.rows.push(row({ name, what, unit: 'us', ours, against: 'without them', other: echoAlone, goal: '<= 1.5' }));
  }

  /** A takeover while other connections exchange bytes all the time. */
  async busyTakeover(primary: ReplicaProcess, backup: ReplicaProcess): Promise<void> {
    const active = await this.open(ACTIVE);
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
    await takeover(primary, backup, this.count);
    // The idle connections are asked only after these have stopped: ten thousand answers take time
    // of their own.
    await new Promise((done) => setTimeout(done, 1000));
    stopping = true;
    await working;
    active.close();
    const what = `longest round trip of ${ACTIVE} busy connections; rounds that were not answered: ${lost}`;
    this.#add(`takeover, N idle and ${ACTIVE} active`, what, 'ms', longestMs);
  }

  /**
   * A takeover while nothing else happens.
   * @param echoed whether all connections answered after the one before
   */
  async idleTakeover(idle: IdleConnections, from: ReplicaProcess, to: ReplicaProcess, echoed: boolean): Promise<void> {
    const { firstMs, kickedMs } = await takeover(from, to, this.count);
    const all = echoed && (await idle.ping()) >= 0;
    this.#add('takeover, N, first byte', 'from SIGKILL to the first frame of the new primary', 'ms', firstMs, 20);
    const what = `from SIGKILL until every connection has heard of it; all echo again: ${all}`;
    this.#add('takeover, N, all', what, 'ms', kickedMs, 250);
  }

  /** Time from the start of a replica until it follows. */
  async join(start: () => ReplicaProcess): Promise<{ replica: ReplicaProcess; ms: number }> {
    const started = monotonicMs();
    const replica = start();
    await replica.event('ready', 60_000);
    return { replica, ms: monotonicMs() - started };
  }

  protectedAgain(ms: number): void {
    const what = 'from the start of a new replica until it follows, all connections known';
    this.#add('protected again, N', what, 'ms', ms, 3000);
  }
}

/**
 * Idle connections with a backup: memory, cost, and takeovers with other connections at work and
 * without.
 */
export async function measureIdleConnections(directory: string, client: string, count: number): Promise<Row[]> {
  const setup = await startReplicas(directory, ['--log-size', '256'], true);
  const [primary, backup] = setup.replicas;
  const run = new IdleRun(client, count);
  await run.echo(0.3);
  const echoAlone = await run.echo();
  const before = [resident(primary.pid), resident(backup.pid)];
  const idle = await run.open(count);
  await new Promise((done) => setTimeout(done, 1500));
  run.memory([primary, backup], before);
  await run.idleCost(primary, echoAlone);
  await run.busyTakeover(primary, backup);
  const echoed = (await idle.ping()) >= 0;
  const { replica: third, ms } = await run.join(setup.start);
  await run.idleTakeover(idle, backup, third, echoed);
  run.protectedAgain(ms);
  idle.close();
  await setup.close();
  return run.rows;
}
