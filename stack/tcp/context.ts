/**
 * What the parts of TCP see of the whole, and what the whole sees of the stack around it.
 *
 * `Context` takes the type of a connection as a parameter, because a connection (connection.ts)
 * refers to its context, and the context has operations on connections. connection.ts names the
 * pair: `TcpContext`.
 */
import type { TxFrame } from '../../lib/device/device.js';
import type { OutputGate } from '../../lib/device/output-gate.js';
import type { TcpView } from '../../lib/packet/tcp.js';
import type { SipHash } from '../../lib/random.js';
import type { TimerWheel } from '../../lib/timer-wheel.js';
import type { AddressBook } from '../core/address-book.js';
import type { TcpRoute } from '../core/tcp-route.js';
import type { AppEvent } from './app-event.js';
import type { TcpCounters } from './counters.js';
import type { FastOpen } from './fast-open-cookies.js';
import type { FourTuple, TupleBytes } from './four-tuple.js';
import type { ConnectionSettings, TcpOptions } from './options.js';
import type { RttHistogram } from './rtt-histogram.js';
import type { BorrowedBuffers } from './tcb/borrowed-buffers.js';
import type { TimeWaitEntry, TimeWaitTable } from './time-wait.js';

/** The stack around TCP. */
export interface TcpHost {
  /** Monotonic time in microseconds; constant within a batch of frames. */
  now(): number;
  readonly wheel: TimerWheel;
  /**
   * Keyed hash for initial sequence numbers and timestamp offsets; the replicas of a group share
   * the key.
   */
  readonly hash: SipHash;
  /** The frame that every segment is built in. */
  readonly frame: TxFrame;
  /** What every outgoing frame must pass; null: nothing. */
  gate: OutputGate | null;
  /** A path to the peer, or null. `via`: IPv4 hosts to pass on the way. */
  tcpRoute(localAddress: number, remoteAddress: number, via?: readonly number[]): TcpRoute | null;
  /** The reverse of the source route over which the present segment came, or null. */
  readonly receivedRoute: readonly number[] | null;
  /** Chooses a local address to reach a peer from; 0: there is none. */
  sourceFor(remoteAddress: number): number;
  /** Whether the stack has this address. */
  isLocal(address: number): boolean;
  /** Whether the address can be that of a single host. */
  isUnicast(address: number): boolean;
  readonly book: AddressBook;
  /** Batches of frames received so far. */
  readonly batches: number;
  /** Whether the device had more frames at hand when it delivered the latest batch. */
  readonly more: boolean;
}

/**
 * Learns of each change of a connection's logical state, before anything that depends on it can
 * leave. Calls must not re-enter the stack. The bytes passed are not modified later.
 */
export interface TcpObserver<Connection> {
  /** A connection exists (SYN-RECEIVED or SYN-SENT); its first segment has not left yet. */
  opened(conn: Connection): void;
  /** The handshake is complete. */
  established(conn: Connection): void;
  /** In-order bytes [from, from + length) were put into the receive queue. */
  received(conn: Connection, bytes: Uint8Array, from: number, length: number): void;
  /**
   * Bytes from `start` on (an offset from IRS) wait for those before them; SACK will report them to
   * the peer.
   */
  outOfOrder(conn: Connection, start: number, bytes: Uint8Array): void;
  /** The peer's FIN has arrived in order. */
  peerFin(conn: Connection): void;
  /**
   * SND.UNA or SND.WND changed; at most once per connection and batch. A hint: its loss costs a
   * retransmission.
   */
  acked(conn: Connection): void;
  /** The connection is gone; `code` is null after an orderly close. */
  removed(conn: Connection, code: string | null): void;
  /** A connection has entered TIME-WAIT. */
  timeWait(entry: TimeWaitEntry): void;
  /**
   * `event` is about to be delivered to the connection's socket; `n` is its amount (bytes, or total
   * acknowledged).
   */
  deliver(conn: Connection, event: AppEvent, n: number): void;
}

/** A connection that is to be made. */
export interface NewConnection extends FourTuple {
  id: number;
  route: TcpRoute;
  settings?: ConnectionSettings | undefined;
}

/** TCP as its parts see it; implemented by tcp.ts. */
export interface Context<Connection> {
  /** Monotonic time in microseconds; constant within a batch of frames. */
  readonly now: number;
  readonly host: TcpHost;
  readonly options: TcpOptions;
  readonly counters: TcpCounters;
  readonly rtts: RttHistogram;
  readonly frame: TxFrame;
  readonly wheel: TimerWheel;
  /** For keyed hashes over a four-tuple. */
  readonly tuple: TupleBytes;
  readonly timeWaits: TimeWaitTable;
  readonly fastOpen: FastOpen;
  readonly borrowedBuffers: BorrowedBuffers;
  readonly observer: TcpObserver<Connection> | null;
  /** True on a backup: state is kept, nothing is sent, no timer runs. */
  readonly frozen: boolean;
  /** New connections are refused. */
  readonly draining: boolean;
  /**
   * Until then an ACK without a connection may answer a SYN cookie of this process or of a
   * predecessor.
   */
  cookiesUntilUs: number;
  /** Connections at present. */
  readonly connectionCount: number;
  find(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): Connection | null;
  /** The number of the next connection. */
  takeId(): number;
  /** Makes a connection and enters it into the tables; the caller sets its state. */
  create(opening: NewConnection): Connection;
  /** The handshake is complete. */
  connectionEstablished(conn: Connection): void;
  /** The connection ends at once; `code` tells its user why, null for an orderly end. */
  remove(conn: Connection, code: string | null): void;
  /** Sends a RST and removes the connection. */
  abort(conn: Connection): void;
  /** Replaces the connection by a TIME-WAIT entry for 2 MSL. */
  enterTimeWait(conn: Connection): void;
  /** The connection has something to send at the next flush. */
  markDirty(conn: Connection): void;
  /**
   * TSval of a segment sent now: milliseconds, with an offset per connection (RFC 7323 section
   * 5.4).
   */
  timestamp(offset: number): number;
  /** Answers a segment that may be an attack with a rate-limited ACK (RFC 5961 section 7). */
  challengeAck(conn: Connection): void;
  /**
   * Whether an ACK for `bytes` may wait until the device has no more frames at hand
   * (send/ack-moderation.ts).
   */
  moderateAck(conn: Connection, bytes: number): boolean;
  /** The connection's node in the timer wheel has fired. */
  timerDue(conn: Connection, nowUs: number): void;
  /** Processes a segment of the connection. `bytes` is only valid during the call. */
  arrives(conn: Connection, seg: TcpView, bytes: Uint8Array): void;
  /** In SYN-RECEIVED: the segment acknowledges something other than our SYN-ACK. */
  wrongHandshakeAck(conn: Connection, seg: TcpView, bytes: Uint8Array): void;
}
