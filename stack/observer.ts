/**
 * The two interfaces by which something outside (failover) takes part in the stack. The stack knows nothing else of it.
 */
import type { TcpConnection } from './tcp/connection.js';
import type { TimeWaitEntry } from './tcp/time-wait.js';

/** Kinds of events that a socket is told of; their order on the primary is the order on a backup. */
export const AppEvent = {
  Accept: 1,
  Connect: 2,
  Data: 3,
  End: 4,
  Space: 5,
  Close: 6,
  /** A program gets a connection back that another one had. */
  Restore: 7,
} as const;
export type AppEvent = (typeof AppEvent)[keyof typeof AppEvent];

/**
 * Told of each change of a connection's logical state, before anything that depends on it can leave. Calls must not
 * re-enter the stack. Bytes handed over are not modified later.
 */
export interface StackObserver {
  /** A connection exists (SYN_RCVD or SYN_SENT); its first segment has not left yet. */
  opened(conn: TcpConnection): void;
  established(conn: TcpConnection): void;
  /** In-order bytes [from, from + length) were put into the receive queue. */
  received(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void;
  /** Bytes from `start` on (an offset from IRS) wait for those before them; the peer will hear that it need not send them again. */
  outOfOrder(conn: TcpConnection, start: number, bytes: Uint8Array): void;
  peerFin(conn: TcpConnection): void;
  /** SND.UNA or the peer's window moved; at most once per connection and batch. A hint: losing it costs a retransmission. */
  acked(conn: TcpConnection): void;
  /** The connection is gone; `code` is null after an orderly close. */
  removed(conn: TcpConnection, code: string | null): void;
  timeWait(entry: TimeWaitEntry): void;
  /** `event` is about to be delivered to the connection's socket; `n` is its amount (bytes, total acknowledged). */
  deliver(conn: TcpConnection, event: AppEvent, n: number): void;
}

/**
 * What every outgoing frame passes. Output may depend on what an observer has been told; the gate knows how far that is safe with others, by
 * positions that only it understands.
 */
export interface OutputGate {
  /** True: everything may leave. Else the stack keeps its work and is flushed again when there is hope. */
  isOpen(): boolean;
  /** Whether it can be open for some output only. */
  readonly partial: boolean;
  /** Not open for everything, but for what depends on nothing behind a position that has been reached. */
  isAjar(): boolean;
  /** The position that all depends on which happens now. */
  readonly end: number;
  reached(position: number): boolean;
  /** Flush again when a position has been reached. Who asks looks once more afterwards: it may have been reached meanwhile. */
  wait(position: number): void;
  /** While true: what is sent has been found free to leave. */
  vouched: boolean;
}

/** Sends what has been found free to leave, whether the gate is open for everything or not. */
export function vouching(gate: OutputGate | null, send: () => boolean): boolean {
  if (gate === null) return send();
  const before = gate.vouched;
  gate.vouched = true;
  try {
    return send();
  } finally {
    gate.vouched = before;
  }
}

/** The earlier of two positions of a gate. */
export function earlier(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return ((one - other) | 0) < 0 ? one : other;
}
