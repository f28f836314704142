/**
 * The two interfaces by which something outside (failover) takes part in the stack. The stack knows nothing else of it.
 */
import type { AppEvent } from './app-event.js';
import type { TcpConnection } from './tcp/connection.js';
import type { TimeWaitEntry } from './tcp/time-wait.js';

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
