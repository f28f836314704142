/**
 * How much of a connection's output may leave while the gate is only partially open: output that
 * depends on log records which are not stable yet waits, the rest leaves, and an acknowledgement
 * covers as much as it may.
 *
 * Two marks per connection suffice. The first says what may leave: how much sent, how much
 * acknowledged. The second is taken of everything there is, with the log's end of that moment; when
 * the log is stable to there, it becomes the first, and a new second one is taken. So a connection
 * whose program never rests advances by what happened between two marks, one round trip of the log,
 * however fast the log grows.
 *
 * Output that has left was free to leave: a connection without marks begins with what it has sent.
 */

import type { OutputGate } from '../../../lib/device/output-gate.js';
import { Fifo } from '../../../lib/fifo.js';
import { Pool } from '../../../lib/pool.js';
import type { TcpConnection } from '../connection.js';
import { TcpState } from '../state.js';
import { CommitLimit } from '../tcb/commit-limit.js';

/** Unused objects that the pool keeps at most. */
const MAX_POOLED = 256;
const pool = new Pool(MAX_POOLED, () => new CommitLimit());

/**
 * @returns what limits the output of a connection now; null: nothing does, or nothing at all may
 * leave.
 */
export function outputLimit(conn: TcpConnection): CommitLimit | null {
  const { gate } = conn.tcp.host;
  if (gate === null || !gate.partial || gate.isOpen() || !gate.isPartiallyOpen()) return null;
  let limit = conn.commitLimit;
  if (limit === null) {
    limit = pool.take();
    // A SYN counts as sent when it is made.
    limit.snd = conn.state < TcpState.Established && conn.segsOut === 0 ? 0 : conn.sndNxt;
    limit.rcv = conn.lastAckSent;
    limit.sackPosition = gate.end;
    limit.waiting = limit.queued = false;
    conn.commitLimit = limit;
    mark(limit, conn, gate);
  } else if (gate.reached(limit.position)) {
    limit.snd = Math.max(limit.snd, limit.nextSnd);
    limit.rcv = Math.max(limit.rcv, limit.nextRcv);
    mark(limit, conn, gate);
  }
  // What left while the gate was open.
  limit.rcv = Math.max(limit.rcv, conn.lastAckSent);
  limit.sacks = conn.reassembly.empty || gate.reached(limit.sackPosition);
  return limit;
}

function mark(limit: CommitLimit, conn: TcpConnection, gate: OutputGate): void {
  limit.nextSnd = conn.sndLimit;
  limit.nextRcv = conn.rcvNxt;
  limit.position = gate.end;
}

/** All output of the connection may leave: it needs no marks, unless it is still queued. */
export function releaseLimit(conn: TcpConnection): void {
  const limit = conn.commitLimit;
  if (limit === null || limit.queued) return;
  conn.commitLimit = null;
  pool.give(limit);
}

/** Connections whose output waits for the gate, in the order in which it will reach them. */
export class CommitQueue {
  readonly #conns = new Fifo<TcpConnection>();
  readonly #positions = new Fifo<number>();

  /** Connections that wait. */
  get size(): number {
    return this.#conns.size;
  }

  /** The position that the first connection waits for; null when none waits. */
  get position(): number | null {
    return this.#positions.first() ?? null;
  }

  /** Queues a connection that has a limit, unless it is queued already. */
  push(conn: TcpConnection, position: number): void {
    const limit = conn.commitLimit;
    if (limit === null || limit.queued) return;
    limit.queued = true;
    this.#conns.push(conn);
    this.#positions.push(position);
  }

  /** Takes the first connection out. */
  shift(): TcpConnection | undefined {
    this.#positions.shift();
    const conn = this.#conns.shift();
    if (conn !== undefined && conn.commitLimit !== null) conn.commitLimit.queued = false;
    return conn;
  }
}
