/**
 * How far a connection may speak while the gate is not open for everything: what depends on records of the log that are not stable yet
 * waits, the rest leaves, and an acknowledgement covers as much as it may.
 *
 * Two marks per connection suffice. The first is what may leave: so much sent, so much acknowledged. The second is taken of all that there is, with the log's
 * end of that moment; when the log is stable to there, it becomes the first, and another one is taken. So a connection whose program never rests
 * gets on by what happened between two marks, which takes one round trip of the log, however long the log goes on growing.
 *
 * What has left was free to leave: so a connection without marks begins with what it has sent.
 */
import { Fifo } from '../../../lib/fifo.js';
import { Pool } from '../../../lib/pool.js';
import type { OutputGate } from '../../output-gate.js';
import type { TcpConnection } from '../connection.js';
import { TcpState } from '../state.js';

/** Offsets from ISS and IRS, as in the connection. */
export class CommitLimit {
  /** May be sent, and acknowledged. */
  snd = 0;
  rcv = 0;
  /** May be sent, and acknowledged, when the gate has reached `position`. */
  nextSnd = 0;
  nextRcv = 0;
  position = 0;
  /** May be acknowledged selectively when the gate has reached that. */
  sackPosition = 0;
  sacks = false;
  /** Something had to stay behind. */
  waiting = false;
  queued = false;
}

/** Objects that nobody uses at most. */
const MOST_SPARE = 256;

/** Connections that wait for the gate, in the order in which it will reach them. */
export class CommitLimitQueue {
  readonly #spare = new Pool(MOST_SPARE, () => new CommitLimit());
  readonly #conns = new Fifo<TcpConnection>();
  readonly #positions = new Fifo<number>();

  get size(): number {
    return this.#conns.size;
  }

  /** Where the gate is waited for first. */
  get position(): number {
    return this.#positions.first()!;
  }

  take(): CommitLimit {
    return this.#spare.take();
  }

  /** A connection may say everything: it has no marks any more. */
  free(conn: TcpConnection): void {
    const { held } = conn;
    if (held === null || held.queued) return;
    conn.held = null;
    this.#spare.give(held);
  }

  push(conn: TcpConnection, position: number): void {
    const held = conn.held!;
    if (held.queued) return;
    held.queued = true;
    this.#conns.push(conn);
    this.#positions.push(position);
  }

  shift(): TcpConnection {
    this.#positions.shift();
    const conn = this.#conns.shift()!;
    conn.held!.queued = false;
    return conn;
  }
}

/** @returns what limits a connection now; null when nothing does, or when not even a limited one may speak. */
export function limits(conn: TcpConnection): CommitLimit | null {
  const { gate } = conn.tcp.host;
  if (gate === null || !gate.partial || gate.isOpen() || !gate.isPartiallyOpen()) return null;
  let { held } = conn;
  if (held === null) {
    held = conn.tcp.held.take();
    // A SYN counts as sent when it is made.
    held.snd = conn.state < TcpState.Established && conn.segsOut === 0 ? 0 : conn.sndNxt;
    held.rcv = conn.lastAckSent;
    held.sackPosition = gate.end;
    held.waiting = held.queued = false;
    conn.held = held;
    mark(held, conn, gate);
  } else if (gate.reached(held.position)) {
    held.snd = Math.max(held.snd, held.nextSnd);
    held.rcv = Math.max(held.rcv, held.nextRcv);
    mark(held, conn, gate);
  }
  // What left while the gate was open.
  held.rcv = Math.max(held.rcv, conn.lastAckSent);
  held.sacks = conn.reassembly.empty || gate.reached(held.sackPosition);
  return held;
}

function mark(held: CommitLimit, conn: TcpConnection, gate: OutputGate): void {
  held.nextSnd = conn.sndLimit;
  held.nextRcv = conn.rcvNxt;
  held.position = gate.end;
}
