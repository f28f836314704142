/**
 * While the device has more frames at hand than were looked at, acknowledgements that are only due by the rule of two (RFC 9293 section
 * 3.8.6.3) may wait a little: each wakes its peer, and an interrupt to another CPU can cost more than the frames that it answers; with
 * many streams that was a third of the receiver's time. They go when the device is dry, when a good part of the window is
 * unacknowledged, and after two milliseconds in any case. What the peer would have sent upon them lies behind what is at hand.
 */
import type { TcpConnection } from '../connection.js';

/** So many bytes of a connection wait at most, and no more than half of its window. */
const MOST_BYTES = 4 * 1024 * 1024;
/** After that they go in any case. */
const MOST_US = 2000;

/** What comes from the devices. */
export interface Arrivals {
  /** Time, in microseconds. */
  now(): number;
  /** Batches so far. */
  readonly batches: number;
  /** The device of the latest one had more at hand. */
  readonly more: boolean;
}

export class AckModeration {
  readonly #arrivals: Arrivals;
  readonly #waiting: TcpConnection[] = [];
  #sinceUs = 0;
  #batches = -1;

  constructor(arrivals: Arrivals) {
    this.#arrivals = arrivals;
  }

  /** Something waits: the next flush is to come at once. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether an acknowledgement of so many bytes may wait. It is seen to then. */
  takes(conn: TcpConnection, bytes: number): boolean {
    if (!this.#arrivals.more || bytes >= Math.min(MOST_BYTES, conn.receiveLimit / 2)) return false;
    if (conn.ackWaits) return true;
    conn.ackWaits = true;
    if (this.#waiting.length === 0) this.#sinceUs = this.#arrivals.now();
    this.#waiting.push(conn);
    return true;
  }

  /** Before output, once a round: what has waited long enough becomes due. */
  look(): void {
    if (this.#waiting.length === 0) return;
    const arrivals = this.#arrivals;
    const { more, batches } = arrivals;
    const fresh = batches !== this.#batches;
    this.#batches = batches;
    if (more && fresh && arrivals.now() - this.#sinceUs < MOST_US) return;
    for (const conn of this.#waiting) {
      conn.ackWaits = false;
      if (conn.removed || conn.rcvNxt <= conn.lastAckSent) continue;
      conn.ackNow = true;
      conn.tcp.markDirty(conn);
    }
    this.#waiting.length = 0;
  }
}
