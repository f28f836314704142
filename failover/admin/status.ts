/** What a replica says of itself: a Unix socket in the group's directory that answers every connection with one JSON object. */
import net from 'node:net';
import { askAt, listenAt } from '../host/unix-socket.js';
import { type RingWriter, Word } from '../log/ring.js';
import type { Replica } from '../replica/replica.js';

export interface ReplicaStatus {
  pid: number;
  role: 'primary' | 'backup';
  /** The other replica's process, 0 for none. */
  peer: number;
  /** Whether a backup follows (on a backup: whether it follows). */
  protected: boolean;
  epoch: number;
  connections: { total: number; protected: number };
  /** Log bytes that the backup has not processed. */
  lagBytes: number;
  logBytes: number;
  /** Whether the log still has the program's beginning, so that a new backup can protect connections that exist. */
  wholeHistory: boolean;
  counters: Record<string, Record<string, number>>;
  takeover: object | null;
}

/** Whether somebody has the log: on another machine only once the group's state says so. */
function holds(writer: RingWriter | null): boolean {
  return writer !== null && (writer.clustered ? writer.readerReady : writer.readerAttached);
}

export function statusOf(replica: Replica): ReplicaStatus {
  const { stack, ring } = replica;
  const backup = replica.role === 'backup';
  const total = stack.tcp.table.size;
  return {
    pid: replica.pid,
    role: replica.role,
    peer: ring === null ? 0 : ring.words[backup ? Word.writerPid : Word.readerPid]!,
    protected: backup ? replica.reader !== null : holds(replica.writer),
    epoch: ring === null ? 0 : ring.words[Word.epoch]!,
    connections: { total, protected: backup ? total : total - replica.unprotected },
    lagBytes: backup ? (replica.reader?.lag ?? 0) : (replica.writer?.lag ?? 0),
    logBytes: ring === null ? 0 : ring.size,
    wholeHistory: ring !== null && ring.words[Word.truncated] === 0,
    counters: {
      tcp: { ...stack.tcp.counters },
      stack: { ...stack.counters, timeWaits: stack.tcp.timeWaits.size },
      udp: { ...stack.udp.counters },
      icmp: { ...stack.icmp.counters },
      device: { ...(replica.tap?.counters ?? {}) },
      loop: replica.busyPolls,
      gate: { ...replica.gate.counters },
      log: { ...(replica.writer?.counters ?? {}) },
      histories: { connections: replica.histories.size, ...replica.histories.counters },
      replay: { ...(replica.replayer?.counters ?? {}), unrepeated: replica.replayer?.past.lost ?? 0 },
      runtime: { ...replica.runtime.counters, ...replica.counters },
    },
    takeover: replica.lastTakeover === null ? null : { ...replica.lastTakeover },
  };
}

/** Serves the status until closed. */
export function serveStatus(replica: Replica): Promise<{ close(): void }> {
  const path = replica.options.group.file(`${replica.pid}.sock`);
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(JSON.stringify(statusOf(replica)));
  });
  return listenAt(server, path);
}

/** An answer longer than this is not one of ours. */
const MAX_ANSWER = 256 * 1024;
const PATIENCE_MS = 2000;

/** A replica's answer, or why there is none: `gone` when its process is, `silent` when it does not answer. */
export type Answer = ReplicaStatus | 'gone' | 'silent';

/** Asks one replica. Null when nobody answers there. */
export async function askStatus(path: string): Promise<ReplicaStatus | null> {
  const answer = await askReplica(path);
  return typeof answer === 'string' ? null : answer;
}

/** Asks one replica, and says why when it gets no answer. Takes 2 seconds at most. */
export async function askReplica(path: string): Promise<Answer> {
  const reply = await askAt(path, PATIENCE_MS, MAX_ANSWER);
  return typeof reply === 'string' ? reply : (reply.json as ReplicaStatus);
}
