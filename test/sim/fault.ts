/** One run of a scenario with a fault at one point, and what is wrong afterwards. */
import type { Client } from './clients.js';
import { Cluster } from './cluster.js';
import type { Scenario } from './scenarios.js';

/**
 * What goes wrong. `at` counts from the moment the clients start: calls of the process into its kernel, for a death; a hang or an
 * order comes at the end of the turn in which that call was.
 *   kill          the primary dies
 *   kill-backup   the backup dies; another one joins, and then the primary dies
 *   hang          the primary stands still and wakes much later, when somebody else is primary
 *   double        the primary dies; a third replica joins; the new primary dies too
 *   restart       both die; a process that is started later goes on with what the log has
 *   switchover    the primary hands over as it is told, and ends
 *   slow          the backup stands still for a while, and then the primary dies
 *   machine       the primary dies with all that was in its memory: of the log there is what the backup has processed
 */
export const FAULTS = [
  'kill',
  'kill-backup',
  'hang',
  'double',
  'slow',
  'switchover',
  'restart',
  'clock',
  'machine',
] as const;
export type FaultKind = (typeof FAULTS)[number];

export interface Fault {
  kind: FaultKind;
  at: number;
}

export interface Outcome {
  failures: string[];
  /** Calls of primary and backup, and turns, during the clients' time. */
  calls: number;
  backupCalls: number;
  /** Longest time that a client waited. */
  gapUs: number;
  takeovers: number;
  resentBytes: number;
  endedUs: number;
}

const START_US = 5e6;
const LIMIT_US = 60e6;
/** After its last client a replica holds nothing. */
const DRAIN_US = 10e6;
const HANG_US = 3e6;
const SLOW_US = 200_000;
const HOUR_MS = 3_600_000;
const CLOCK_US = 3000;
/** A supervisor's pause before it starts a process again. */
const RESTART_US = 100_000;
/** A client may wait for so long when a process dies; a retransmission timer of its own is 200 ms. */
const GAP_US = 450_000;
/** A hang is noticed after half a second. */
const HANG_GAP_US = 1_200_000;
/** While nobody is there, frames are lost; a SYN goes again after one second and two. */
const RESTART_GAP_US = 2_300_000;

export function runFault(scenario: Scenario, seed: string, fault: Fault | null): Outcome {
  const cluster = new Cluster(scenario, seed);
  cluster.machine.copies = fault?.kind !== 'machine';
  try {
    return play(cluster, fault);
  } finally {
    cluster.close();
  }
}

function play(cluster: Cluster, fault: Fault | null): Outcome {
  const { machine, wire, failures } = cluster;
  const first = cluster.start('first')!;
  cluster.run(() => false, 10_000);
  const second = cluster.start('second')!;
  if (!cluster.run(() => cluster.protected, START_US)) failures.push('no backup has joined');
  const clients = cluster.clients();
  const before = first.process.calls;
  const backupBefore = second.process.calls;
  const began = machine.clock.now();
  let third = false;
  let backupGone = false;
  let killedUs = 0;
  if (fault?.kind === 'kill' || fault?.kind === 'double' || fault?.kind === 'restart' || fault?.kind === 'machine')
    first.process.dieAt = before + fault.at;
  if (fault?.kind === 'machine') first.process.onDeath = () => cluster.loseMemory(first);
  if (fault?.kind === 'kill-backup') second.process.dieAt = backupBefore + fault.at;
  let stopped = false;
  const watch = (): boolean => {
    const now = machine.clock.now();
    if ((fault?.kind === 'hang' || fault?.kind === 'slow') && !stopped) {
      const process = fault.kind === 'hang' ? first.process : second.process;
      const since = fault.kind === 'hang' ? before : backupBefore;
      if (process.calls - since >= fault.at) {
        stopped = true;
        killedUs = now;
        process.stoppedUntilUs = now + (fault.kind === 'hang' ? HANG_US : SLOW_US);
      }
    }
    if (fault?.kind === 'switchover' && !stopped && first.process.calls - before >= fault.at) {
      stopped = true;
      first.replica.once('switchedOver', () => first.process.kill());
      first.process.as(() => {
        first.replica.switchover().catch((error: Error) => failures.push(error.message));
      });
    }
    if (fault?.kind === 'clock' && !stopped && first.process.calls - before >= fault.at) {
      // An hour back, or forth; and in the middle of what follows the primary dies.
      stopped = true;
      killedUs = now;
      machine.clock.setWall(fault.at % 2 === 0 ? -HOUR_MS : HOUR_MS);
      cluster.alarmUs = now + CLOCK_US;
    }
    if (fault?.kind === 'clock' && stopped && now >= killedUs + CLOCK_US && !first.process.dead) first.process.kill();
    if (fault?.kind === 'slow' && stopped && now >= killedUs + SLOW_US / 2 && !first.process.dead) first.process.kill();
    if (fault?.kind === 'double' && first.process.dead && !third && cluster.primary === second) {
      third = cluster.start('third') !== null;
    }
    if (fault?.kind === 'double' && third && cluster.protected && !second.process.dead) second.process.kill();
    if (fault?.kind === 'restart' && first.process.dead) {
      // Before it can take over.
      if (!second.process.dead) {
        second.process.kill();
        killedUs = now;
        cluster.alarmUs = now + RESTART_US;
      }
      if (!third && now >= killedUs + RESTART_US) third = cluster.start('third') !== null;
    }
    if (fault?.kind === 'kill-backup' && second.process.dead && !third) {
      third = cluster.start('third') !== null;
      backupGone = true;
    }
    if (backupGone && third && cluster.protected && !first.process.dead) first.process.kill();
    return clients.every(finished) && cluster.host.stack.tcp.table.size === 0;
  };
  const complete = cluster.run(watch, LIMIT_US);
  // It died when its clients were done.
  if (fault?.kind === 'restart' && first.process.dead) cluster.run(() => watch() && third, RESTART_US * 2);
  const endedUs = machine.clock.now() - began;
  if (!complete) failures.push(`not over after ${LIMIT_US / 1e6} s`);
  let gapUs = 0;
  for (const [n, client] of clients.entries()) {
    const { seen } = client;
    if (seen.wrong !== '') failures.push(`client ${n}: ${seen.wrong}`);
    else if (!client.done) failures.push(`client ${n}: ended early, with ${seen.closed}, after ${seen.received} bytes`);
    if (seen.closed !== null && seen.closed !== undefined && cluster.scenario.resets === undefined)
      failures.push(`client ${n}: the connection ended with ${seen.closed}`);
    gapUs = Math.max(gapUs, client.longestGapUs);
  }
  const usual = { hang: HANG_GAP_US, restart: RESTART_GAP_US, machine: RESTART_GAP_US } as Partial<
    Record<FaultKind, number>
  >;
  const bound = Math.max(cluster.scenario.patienceUs ?? 0, (fault && usual[fault.kind]) ?? GAP_US);
  if (cluster.scenario.link === undefined && gapUs > bound) failures.push(`a client waited for ${gapUs / 1000} ms`);
  if (fault?.kind === 'switchover') {
    cluster.run(() => !stopped || first.process.dead, DRAIN_US);
    if (stopped && !first.process.dead) failures.push('it was not handed over');
    if (cluster.scenario.link === undefined && wire.resentBytes > 0)
      failures.push(`${wire.resentBytes} bytes were sent again`);
  }
  const calls = first.process.calls - before;
  const backupCalls = second.process.calls - backupBefore;
  if (stopped && fault?.kind === 'hang') cluster.run(() => false, HANG_US);
  cluster.run(() => cluster.primary?.replica.stack.tcp.table.size === 0, DRAIN_US);
  const left = cluster.primary?.replica.stack.tcp.table.size ?? -1;
  if (left > 0) failures.push(`${left} connections are left`);
  if (left < 0) failures.push('nobody is primary');
  if (left === 0) {
    cluster.run(() => cluster.kept === 0, DRAIN_US);
    if (cluster.kept > 0) failures.push(`${cluster.kept} connections that have ended are kept`);
  }
  // What was heard from the peers is lost with the machine, and nothing has waited for it.
  if (cluster.scenario.link === undefined && fault?.kind !== 'machine') wire.judgeResent();
  failures.push(...wire.violations, ...cluster.disk.violations);
  return {
    failures,
    calls,
    backupCalls,
    gapUs,
    takeovers: cluster.takeovers,
    resentBytes: wire.resentBytes,
    endedUs,
  };
}

/** It has what it came for, or never will. */
function finished(client: Client): boolean {
  return client.done || client.seen.closed !== undefined || client.seen.wrong !== '';
}
