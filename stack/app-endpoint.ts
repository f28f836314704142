/**
 * A TCP connection as a socket's endpoint. The stack does not deliver events to sockets by itself:
 * connections with an event wait in one queue, and the owner of the stack delivers the events one
 * at a time. A backup must repeat only the order of the deliveries and their amounts; `deliver` is
 * the same code on both sides.
 */
import { Fifo } from '../lib/fifo.js';
import { AsyncScope } from './async-scope.js';
import { isV6 } from './core/address-book.js';
import type { ListenerEvents, StreamEndpoint, StreamEvents } from './core/endpoint.js';
import { AppEvent } from './tcp/app-event.js';
import type { TcpConnection, TcpUser } from './tcp/connection.js';
import { SEND_TARGET_UNIT } from './tcp/connection.js';
import { owned } from './tcp/tcb/borrowed-buffers.js';
import * as calls from './tcp/user-calls.js';

/** Connections with an event for their socket, in the order in which they came. */
export class EventQueue {
  readonly #ready = new Fifo<AppEndpoint>();

  get length(): number {
    return this.#ready.size;
  }

  push(endpoint: AppEndpoint): void {
    if (endpoint.queued) return;
    endpoint.queued = true;
    this.#ready.push(endpoint);
  }

  shift(): AppEndpoint | undefined {
    const endpoint = this.#ready.shift();
    if (endpoint !== undefined) endpoint.queued = false;
    return endpoint;
  }

  clear(): void {
    while (this.shift() !== undefined);
  }
}

/** Below this round trip, in microseconds, the window needs no more than the usual buffer. */
const TUNE_RTT_US = 1000;
/**
 * Send targets on a short path, in bytes: the first step, the most, and the most of all connections
 * together.
 */
const SHORT_PATH_FIRST = 2 * 1024 * 1024;
const SHORT_PATH_MAX = 8 * 1024 * 1024;
const SHORT_PATH_TOTAL = 64 * 1024 * 1024;

/**
 * The send target follows the capacity of the path: twice the congestion window, as in Linux. On a
 * short path the program's own latency is the longer part, above all where output waits for a
 * backup. A connection that has sent everything, and has little of it in flight when its program is
 * told of space, may therefore have twice as much. The event carries the target, so that
 * backpressure acts on a backup's program exactly where it did on the primary's.
 */
function tuneSend(conn: TcpConnection): void {
  const { options, connectionCount } = conn.tcp;
  if (!options.autoTune || conn.rtt.minUs === Number.POSITIVE_INFINITY) return;
  let want = conn.rtt.minUs < TUNE_RTT_US ? 0 : Math.min(options.sendBufferMax, 2 * conn.cc.cwnd);
  const { commitLimit } = conn;
  const free = commitLimit === null ? conn.sndEnd : Math.min(conn.sndEnd, commitLimit.snd);
  // The rest may be a short segment that waits for more data.
  if (free - conn.sndNxt < conn.sndMss && 8 * conn.flightSize < Math.min(conn.cc.cwnd, conn.sndWnd)) {
    const most = Math.min(options.sendBufferMax, SHORT_PATH_MAX, SHORT_PATH_TOTAL / connectionCount);
    want = Math.max(want, Math.min(most, Math.max(SHORT_PATH_FIRST, 2 * conn.sendTarget)));
  }
  if (want > conn.sendTarget) conn.sendTarget = Math.ceil(want / SEND_TARGET_UNIT) * SEND_TARGET_UNIT;
}

/** The endpoint of a socket, over one connection. */
export class AppEndpoint implements StreamEndpoint, TcpUser {
  events: StreamEvents | null = null;
  queued = false;
  readonly family: 'IPv4' | 'IPv6';
  readonly localAddress: string;
  readonly remoteAddress: string;
  #reading = false;
  #accepted: boolean;
  #connectTold: boolean;
  #endTold = false;
  #closed = false;
  #spaceAt = Number.POSITIVE_INFINITY;
  readonly writtenBefore: number;
  readonly #scope: AsyncScope;

  /**
   * @param acceptor the listener's events for an incoming connection; null for an outgoing one
   */
  constructor(
    readonly conn: TcpConnection,
    readonly queue: EventQueue,
    readonly acceptor: ListenerEvents | null,
    /** The connection comes from another program, which may have saved a context. */
    readonly restored: { context: Uint8Array | null } | null = null,
  ) {
    const { book } = conn.tcp.host;
    this.family = isV6(conn.remoteAddress) ? 'IPv6' : 'IPv4';
    this.localAddress = book.format(conn.localAddress);
    this.remoteAddress = book.format(conn.remoteAddress);
    this.#scope = new AsyncScope(acceptor === null);
    this.#accepted = acceptor === null;
    this.#connectTold = acceptor !== null;
    this.writtenBefore = restored === null ? 0 : conn.sendBuffer.end;
    conn.user = this;
    if (acceptor !== null) this.onProgress();
  }

  /** A program has accepted the connection. */
  get accepted(): boolean {
    return this.#accepted;
  }

  /** The socket gets no further events. */
  get finished(): boolean {
    return this.#closed;
  }

  /** Detaches the socket: no further events, no further calls. */
  protected finish(): void {
    this.#closed = true;
    this.#scope.destroy();
  }

  get id(): number {
    return this.conn.id;
  }
  get localPort(): number {
    return this.conn.localPort;
  }
  get remotePort(): number {
    return this.conn.remotePort;
  }

  // --- StreamEndpoint ---

  write(chunk: Uint8Array): void {
    calls.send(this.conn, chunk);
  }

  wantSpace(acked: number): void {
    if (acked < this.#spaceAt) this.#spaceAt = acked;
    this.onProgress();
  }

  shutdown(): void {
    calls.shutdown(this.conn);
  }

  setReading(on: boolean): void {
    this.#reading = on;
    if (on) this.onProgress();
  }

  close(): void {
    if (this.#closed) return;
    this.finish();
    calls.close(this.conn);
  }

  abort(): void {
    if (this.#closed) return;
    this.finish();
    calls.abort(this.conn);
  }

  setNoDelay(on: boolean): void {
    this.conn.noDelay = on;
    if (on) this.conn.tcp.markDirty(this.conn);
  }

  setKeepAlive(on: boolean, delayMs: number): void {
    calls.setKeepAlive(this.conn, on, delayMs);
  }

  // --- Events ---

  /** Something changed: queues the connection if there is an event for its socket. */
  onProgress(): void {
    if (!this.queued && !this.conn.tcp.frozen && this.#next() !== 0) this.queue.push(this);
  }

  /** The next event due, or 0. */
  #next(): AppEvent | 0 {
    const { conn } = this;
    if (this.#closed) return 0;
    if (!this.#accepted) return this.restored === null ? AppEvent.Accept : AppEvent.Restore;
    if (!this.#connectTold) {
      if (conn.established) return AppEvent.Connect;
      return conn.removed ? AppEvent.Close : 0;
    }
    // A reset discards what was not read (RFC 9293 section 3.10.7.4).
    if (conn.removed && conn.error !== null) return AppEvent.Close;
    if (this.#reading && conn.receiveQueue.length > 0) return AppEvent.Data;
    if (this.#reading && conn.peerFin && !this.#endTold) return AppEvent.End;
    if (conn.bytesAcked >= this.#spaceAt) return AppEvent.Space;
    if (conn.removed && (this.#endTold || !conn.peerFin)) return AppEvent.Close;
    return 0;
  }

  /**
   * Delivers the next event, if there is one, telling the observer first.
   * @returns false when there was nothing to deliver.
   */
  deliverNext(): boolean {
    const event = this.#next();
    if (event === 0) return false;
    const { conn } = this;
    let n = 0;
    if (event === AppEvent.Data) n = this.#amount();
    else if (event === AppEvent.Space) {
      n = conn.bytesAcked;
      tuneSend(conn);
    }
    conn.tcp.observer?.deliver(conn, event, n);
    try {
      this.deliver(event, n, conn.error);
    } finally {
      // A program may throw and continue.
      this.onProgress();
    }
    return true;
  }

  /** Bytes of the next data event: one chunk, or several up to the socket's read budget. */
  #amount(): number {
    const { receiveQueue } = this.conn;
    let n = receiveQueue.lengthAt(0);
    if (receiveQueue.length === 1) return n;
    const most = this.events?.readBudget?.() ?? 0;
    for (let i = 1; i < receiveQueue.length && n + receiveQueue.lengthAt(i) <= most; i++) n += receiveQueue.lengthAt(i);
    return n;
  }

  /** Delivers one event; on a backup, the one that the log names. */
  deliver(event: AppEvent, n: number, code: string | null): void {
    if (event !== AppEvent.Accept && event !== AppEvent.Restore) {
      this.#scope.run(this.#tell, this, event, n, code);
      return;
    }
    this.#accepted = true;
    const { acceptor } = this;
    // In the context of the server.
    if (acceptor?.inContext === undefined) this.#offer(event);
    else acceptor.inContext(() => this.#offer(event));
  }

  #offer(event: AppEvent): void {
    const { acceptor } = this;
    if (event === AppEvent.Accept) acceptor?.onConnection(this);
    else if (acceptor?.onRestore === undefined) this.abort();
    else acceptor.onRestore(this, this.restored?.context ?? null);
  }

  /** Tells the socket of an event. */
  #tell(event: AppEvent, n: number, code: string | null): void {
    const { conn, events } = this;
    switch (event) {
      case AppEvent.Connect:
        this.#connectTold = true;
        events?.onConnect();
        return;
      case AppEvent.Data: {
        for (let left = n; left > 0; ) {
          const { receiveQueue } = conn;
          if (receiveQueue.length === 0) return;
          const bytes = receiveQueue.sourceAt(0);
          const from = receiveQueue.fromAt(0);
          const length = receiveQueue.lengthAt(0);
          calls.readFirst(conn);
          left -= length;
          if (events === null) continue;
          conn.peeked = events.peek?.(bytes, from, length, left > 0) === true;
          if (conn.peeked) conn.tcp.borrowedBuffers.recycle(bytes);
          else events.onData(owned(bytes, from, length));
        }
        return;
      }
      case AppEvent.End:
        this.#endTold = true;
        events?.onEnd();
        return;
      case AppEvent.Space:
        this.#spaceAt = Number.POSITIVE_INFINITY;
        events?.onSpace(n, conn.sendTarget);
        return;
      case AppEvent.Close:
        this.#connectTold = true;
        this.finish();
        events?.onClose(code);
        return;
    }
  }
}
