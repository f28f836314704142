/**
 * ACK moderation: while the device has more frames at hand than were processed, an acknowledgement
 * that is due only by the rule of two (RFC 9293 section 3.8.6.3) may wait a little. Each one wakes
 * its peer, and an interrupt to another CPU can cost more than the frames that it answers; with
 * many streams that took a third of the receiver's time.
 *
 * The acknowledgements go when the device has no more frames, when a good part of the window is
 * unacknowledged, and after two milliseconds in any case. What the peer would have sent upon them
 * lies behind the frames at hand.
 */
import type { TcpConnection } from '../connection.js';

/** A connection may leave this many bytes unacknowledged, and no more than half of its window. */
const MAX_BYTES = 4 * 1024 * 1024;
/** An acknowledgement waits no longer than this. */
const MAX_WAIT_US = 2000;

/** What comes from the devices. */
export interface Arrivals {
  /** Time, in microseconds. */
  now(): number;
  /** Batches so far. */
  readonly batches: number;
  /** The device of the latest batch had more frames at hand. */
  readonly more: boolean;
}

/** The connections whose acknowledgements wait; one per stack. */
export class AckModeration {
  readonly #arrivals: Arrivals;
  readonly #waiting: TcpConnection[] = [];
  #sinceUs = 0;
  #batches = -1;

  constructor(arrivals: Arrivals) {
    this.#arrivals = arrivals;
  }

  /** Whether an acknowledgement waits, so that the next flush must come at once. */
  get pending(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether an acknowledgement of `bytes` may wait; if so, `look` makes it due later. */
  defer(conn: TcpConnection, bytes: number): boolean {
    if (!this.#arrivals.more || bytes >= Math.min(MAX_BYTES, conn.receiveLimit / 2)) return false;
    if (conn.ackModerated) return true;
    conn.ackModerated = true;
    if (this.#waiting.length === 0) this.#sinceUs = this.#arrivals.now();
    this.#waiting.push(conn);
    return true;
  }

  /** Called once before each flush: makes due what has waited long enough. */
  release(): void {
    if (this.#waiting.length === 0) return;
    const arrivals = this.#arrivals;
    const { more, batches } = arrivals;
    const fresh = batches !== this.#batches;
    this.#batches = batches;
    if (more && fresh && arrivals.now() - this.#sinceUs < MAX_WAIT_US) return;
    for (const conn of this.#waiting) {
      conn.ackModerated = false;
      if (conn.removed || conn.rcvNxt <= conn.lastAckSent) continue;
      conn.ackNow = true;
      conn.tcp.markDirty(conn);
    }
    this.#waiting.length = 0;
  }
}
