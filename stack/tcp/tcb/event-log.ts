/**
 * The last events of one connection, to find out why it was slow or why it ended. Bounded; the
 * oldest give way.
 */

/** Events, each with two numbers. */
export type LoggedEvent =
  /** State before and after (TcpState). */
  | 'state'
  /** The retransmission timer ran out: backoff so far, bytes in flight. */
  | 'timeout'
  /** Fast recovery began: bytes in flight, congestion window. */
  | 'recovery'
  /** A recovery or timeout was spurious: congestion window before and after the undo. */
  | 'undo'
  /** A tail loss probe: SND.NXT, 1 if it was a retransmission. */
  | 'probe'
  /** The closed window was probed: backoff so far, bytes that wait. */
  | 'window-probe'
  /** The segment size changed: before and after. */
  | 'mss'
  /** The peer has seen a congestion mark: congestion window before and after. */
  | 'mark'
  /** The connection ended: 0 in order, 1 with an error. */
  | 'removed';

/** An event of a connection. */
export interface LogEntry {
  /** Monotonic time in microseconds. */
  atUs: number;
  event: LoggedEvent;
  a: number;
  b: number;
}

/** The event log of one connection. */
export class EventLog {
  readonly #size: number;
  readonly #entries: LogEntry[] = [];
  #next = 0;

  /** @param size entries that are kept, at least 1. */
  constructor(size: number) {
    this.#size = Math.max(1, size);
  }

  /** Adds an event. */
  add(atUs: number, event: LoggedEvent, a: number, b: number): void {
    this.#entries[this.#next % this.#size] = { atUs, event, a, b };
    this.#next++;
  }

  /** Events added so far. */
  get total(): number {
    return this.#next;
  }

  /** The events kept, oldest first. */
  get entries(): LogEntry[] {
    if (this.#next <= this.#size) return this.#entries.slice();
    const from = this.#next % this.#size;
    return [...this.#entries.slice(from), ...this.#entries.slice(0, from)];
  }
}
