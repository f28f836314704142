/**
 * A day of virtual time: a connection that lives all day, others that come and go each minute, and
 * datagrams. In replay mode the primary dies in the evening, when the log has gone round many
 * times; in state mode somebody dies every six hours, and another process takes his place. What
 * replicas hold afterwards is what they held in the morning.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ReplicationMode } from '../../failover/replica/replica.js';
import { Cluster } from './cluster.js';
import { Adder, adding } from './datagrams.js';
import { Echoer, echo, PORT } from './programs.js';
import type { Scenario } from './scenarios.js';
import { stateEcho } from './state-programs.js';

const HOUR_US = 3_600_000_000;
const MINUTE_US = 60_000_000;
/** Hours between two deaths. */
const DEATH = 6;
/** The connection that lives all day says something so often. */
const PAUSE_MS = 20_000;
/** So small that it goes round within hours. */
const LOG_BYTES = 256 << 10;

export interface Day {
  failures: string[];
  /** Connections, answers to datagrams, deaths; times that the log went round. */
  connections: number;
  datagrams: number;
  deaths: number;
  rounds: number;
  /** MB of heap, everything included, after the first hour and at the end. */
  heapMb: [number, number];
}

function heapMb(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed / 1e6;
}

function scenarioOf(mode: ReplicationMode): Scenario {
  return {
    name: 'day',
    program: (replica) => {
      if (mode === 'state') stateEcho(replica);
      else {
        echo(replica);
        adding(replica);
      }
    },
    clients: () => [],
    mode,
    logBytes: LOG_BYTES,
  };
}

/** Replicas hold the connection of all day, and what a minute leaves. */
function judgeHeld(cluster: Cluster, day: Day): void {
  for (const { process, replica } of cluster.members) {
    if (process.dead) continue;
    const { stack } = replica;
    const held = {
      endpoints: replica.endpoints.size,
      connections: stack.tcp.byId.size,
      'connections in TIME-WAIT': stack.tcp.timeWaits.size,
      operations: replica.runtime.operations.size,
      timers: replica.runtime.timers.refs,
    };
    for (const [what, count] of Object.entries(held))
      if (count > 4) day.failures.push(`${replica.role}: ${count} ${what} are held`);
  }
}

/** Runs a day of virtual time. */
export function runDay(hours: number, mode: ReplicationMode, seed: string): Day {
  const state = mode === 'state';
  const cluster = new Cluster(scenarioOf(mode), seed);
  const day: Day = { failures: cluster.failures, connections: 0, datagrams: 0, deaths: 0, rounds: 0, heapMb: [0, 0] };
  try {
    cluster.start('0');
    cluster.run(() => false, 10_000);
    cluster.start('1');
    if (!cluster.run(() => cluster.protected, 5e6)) day.failures.push('no backup has joined');
    const all = new Echoer(cluster.host, 1, (hours * HOUR_US) / (PAUSE_MS * 1000) - 2, PAUSE_MS);
    all.open(cluster.address, PORT);
    let number = 0;
    let last = 0;
    const minute = (n: number): void => {
      const short = new Echoer(cluster.host, n & 7, 5, 100);
      short.open(cluster.address, PORT);
      // Datagram sockets of the clients', so that each has a name of its own.
      const adder = state ? null : new Adder(cluster.host, number++, 5);
      adder?.open(cluster.address);
      cluster.run(() => false, MINUTE_US);
      if (short.done) day.connections++;
      else day.failures.push(`minute ${n}: a connection was not served: ${short.seen.wrong} ${short.seen.closed}`);
      if (adder?.done === true && adder.seen.wrong === '') day.datagrams++;
      else if (adder !== null) day.failures.push(`minute ${n}: datagrams were not answered: ${adder.seen.wrong}`);
      // The observer of the wire remembers every connection; it has judged this one.
      day.failures.push(...cluster.wire.violations.splice(0));
      cluster.wire.forget();
    };
    for (let hour = 0; hour < hours && day.failures.length === 0; hour++) {
      if (state && hour > 0 && hour % DEATH === 0) {
        cluster.primary!.process.kill();
        day.deaths++;
        cluster.run(() => cluster.primary !== undefined, 5e6);
        // Its place is taken; what it was is forgotten.
        cluster.members.splice(0, cluster.members.length, ...cluster.members.filter(({ process }) => !process.dead));
        cluster.start(`${day.deaths + 1}`);
        if (!cluster.run(() => cluster.protected, 5e6)) day.failures.push(`hour ${hour}: no backup has joined`);
      }
      for (let n = 0; n < 60 && day.failures.length === 0; n++) minute(hour * 60 + n);
      const published = cluster.primary?.replica.writer?.published ?? 0;
      // A successor counts anew.
      day.rounds += (published >= last ? published - last : published) / LOG_BYTES;
      last = published;
      if (hour === 0) day.heapMb[0] = heapMb();
    }
    day.heapMb[1] = heapMb();
    if (!state) {
      cluster.primary!.process.kill();
      day.deaths++;
      for (let n = 0; n < 3; n++) minute(hours * 60 + n);
    }
    if (all.seen.wrong !== '' || all.seen.closed !== undefined)
      day.failures.push(`the connection that lives all day: ${all.seen.wrong} ${all.seen.closed}`);
    judgeHeld(cluster, day);
  } finally {
    cluster.close();
  }
  return day;
}
