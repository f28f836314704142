/**
 * The status of a replica. Its status socket, a Unix socket in the group's directory, answers every
 * connection with one JSON object. The fields are described in docs/reference/status.md.
 */
import net from 'node:net';
import { Drop, type DropName } from '../../lib/packet/drop.js';
import { askAt, listenAt, onlySameUser } from '../host/unix-socket.js';
import { Word } from '../log/ring-header.js';
import type { Replica, TakeoverReport } from '../replica/replica.js';
import { Observation, type ProcessUse, type Protection } from './observation.js';
import { VERSION } from './version.js';

/**
 * Version of the status. It grows when a field changes its meaning or goes; new fields do not
 * change it.
 */
export const STATUS_SCHEMA = 1;

/** The status of one replica. */
export interface ReplicaStatus {
  pid: number;
  role: 'primary' | 'backup';
  /** The other replica's process, 0 for none. */
  peerPid: number;
  /**
   * Whether a backup has caught up, and could take over at once (on a backup: whether it
   * follows).
   */
  protected: boolean;
  /**
   * Primary: a backup follows, and has not caught up yet; `lagBytes` is what it still has to
   * apply.
   */
  joining: boolean;
  /** Primary: its program is being loaded, and serves nothing yet. */
  loading: boolean;
  epoch: number;
  connections: { total: number; protected: number };
  /** Log bytes that the backup has not processed. */
  lagBytes: number;
  logBytes: number;
  /**
   * Whether the log still has the program's start, so that a new backup can protect all
   * connections.
   */
  logComplete: boolean;
  counters: Record<string, Record<string, number>>;
  takeover: TakeoverReport | null;
  /** The versions of ft-tcp and of Node. */
  version: string;
  node: string;
  /** When the process became a replica, milliseconds since 1970. */
  startedMs: number;
  /** Primary: how the group was protected; a backup knows nothing of it. */
  protection: Protection;
  process: ProcessUse;
  /** Round-trip times that were measured: how many in each bucket of RTT_BOUNDS_US. */
  roundTrips: { sumUs: number; counts: number[] };
}

/** Frames that were dropped on input, by reason, over all interfaces. */
function dropsOf({ stack }: Replica): Record<DropName, number> {
  const drops: Partial<Record<DropName, number>> = {};
  for (const [name, reason] of Object.entries(Drop) as [DropName, number][]) {
    if (reason === Drop.None) continue;
    let count = 0;
    for (const net of stack.interfaces) count += net.drops[reason];
    drops[name] = count;
  }
  return drops as Record<DropName, number>;
}

/** The status of a replica now. */
export function statusOf(replica: Replica): ReplicaStatus {
  const { stack, ring } = replica;
  const seen = Observation.of(replica);
  const backup = replica.role === 'backup';
  const total = stack.tcp.table.size;
  return {
    pid: replica.pid,
    role: replica.role,
    peerPid: ring === null ? 0 : ring.load(backup ? Word.writerPid : Word.readerPid),
    protected: backup ? replica.reader !== null : replica.writer?.readerReady === true && !replica.joining,
    joining: replica.joining,
    loading: !backup && !replica.programLoaded,
    epoch: ring === null ? 0 : ring.load(Word.epoch),
    connections: { total, protected: backup ? total : total - replica.unprotected },
    lagBytes: backup ? (replica.reader?.lag ?? 0) : (replica.writer?.lag ?? 0),
    logBytes: ring === null ? 0 : ring.size,
    logComplete: ring !== null && ring.load(Word.truncated) === 0,
    counters: {
      tcp: { ...stack.tcp.counters },
      stack: { ...stack.counters, timeWaits: stack.tcp.timeWaits.size },
      udp: { ...stack.udp.counters },
      icmp: { ...stack.icmp.counters },
      device: { ...(replica.tap?.counters ?? {}) },
      loop: replica.busyPolls,
      drops: dropsOf(replica),
      relays: { ...stack.relays.counters },
      gateway: { ...replica.connections.resident?.counters },
      gate: { ...replica.gate.counters },
      log: { ...(replica.writer?.counters ?? {}) },
      connectionHistories: { connections: replica.histories.size, ...replica.histories.counters },
      replay: { ...(replica.replayer?.counters ?? {}), replayFailures: replica.replayer?.historyReplay.failures ?? 0 },
      runtime: { ...replica.runtime.counters, ...replica.counters },
    },
    takeover: replica.lastTakeover === null ? null : { ...replica.lastTakeover },
    version: VERSION,
    node: process.versions.node,
    startedMs: seen.startedMs,
    protection: seen.protection,
    process: seen.use,
    roundTrips: { sumUs: Math.round(stack.tcp.rtts.sumUs), counts: [...stack.tcp.rtts.counts] },
  };
}

/** Serves the status until closed. */
export function serveStatus(replica: Replica): Promise<{ close(): void }> {
  Observation.of(replica);
  const path = replica.options.group.file(`${replica.pid}.sock`);
  const server = net.createServer(
    onlySameUser((socket) => {
      socket.on('error', () => undefined);
      socket.end(JSON.stringify(statusOf(replica)));
    }),
  );
  return listenAt(server, path);
}

/** A longer answer is not a replica's. */
const MAX_ANSWER_BYTES = 256 * 1024;
const TIMEOUT_MS = 2000;

/** A replica's answer, or why there is none: its process is gone, or it did not answer in time. */
export type Answer = ReplicaStatus | 'gone' | 'unresponsive';

/** Asks one replica. Null when it does not answer. */
export async function askStatus(path: string): Promise<ReplicaStatus | null> {
  const answer = await askReplica(path);
  return typeof answer === 'string' ? null : answer;
}

/** Asks one replica. Without an answer in time, returns why. @param timeoutMs 2 seconds */
export async function askReplica(path: string, timeoutMs = TIMEOUT_MS): Promise<Answer> {
  const reply = await askAt(path, timeoutMs, MAX_ANSWER_BYTES);
  return typeof reply === 'string' ? reply : (reply.json as ReplicaStatus);
}
