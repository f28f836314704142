/**
 * A TCP connection as a socket's endpoint. Events for sockets are not delivered from inside the stack: connections that
 * have something to tell stand in one queue, and whoever drives the stack delivers them one at a time. The order in which
 * they are delivered, with their amounts, is all that a backup must repeat; `deliver` is the same code on both sides.
 */
import { Fifo } from '../lib/fifo.js';
import { AppEvent } from './app-event.js';
import { isV6 } from './ip/address-book.js';
import type { ListenerEvents, StreamEndpoint, StreamEvents } from './sockets/endpoint.js';
import type { TcpConnection, TcpUser } from './tcp/connection.js';
import { SEND_TARGET_UNIT, Timer } from './tcp/connection.js';
import { owned } from './tcp/receive/borrowed-buffers.js';

/** Connections whose sockets have something to be told, first come first served. */
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

/** Below that a window needs no more than the usual buffer. */
const TUNE_RTT_US = 1000;
/** Where the path is short: the first step, the last one, and the share of it when there are many connections. */
const DRY_FIRST = 2 * 1024 * 1024;
const DRY_MOST = 8 * 1024 * 1024;
const DRY_TOTAL = 64 * 1024 * 1024;

/**
 * What may be under way follows the window, as the path's capacity shows (twice the congestion window, as Linux has it). On a
 * short path the way to the program and back is the longer part, above all where output waits for a backup: who has sent
 * everything, and has hardly any of it under way, when its program is told that it may go on, may have twice as much under way.
 * It is told with the event, so that a backup's program is held back where the primary's was.
 */
function tuneSend(conn: TcpConnection): void {
  const { options, table } = conn.tcp;
  if (!options.autoTune || conn.rtt.minUs === Number.POSITIVE_INFINITY) return;
  let want = conn.rtt.minUs < TUNE_RTT_US ? 0 : Math.min(options.sendBufferMax, 2 * conn.cc.cwnd);
  const { held } = conn;
  const free = held === null ? conn.sndEnd : Math.min(conn.sndEnd, held.snd);
  // The rest may be a short segment, which waits for more.
  if (free - conn.sndNxt < conn.sndMss && 8 * conn.flight < Math.min(conn.cc.cwnd, conn.sndWnd)) {
    const most = Math.min(options.sendBufferMax, DRY_MOST, DRY_TOTAL / table.size);
    want = Math.max(want, Math.min(most, Math.max(DRY_FIRST, 2 * conn.sendTarget)));
  }
  if (want > conn.sendTarget) conn.sendTarget = Math.ceil(want / SEND_TARGET_UNIT) * SEND_TARGET_UNIT;
}

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

  /**
   * @param acceptor whom to tell of an incoming connection; null for an outgoing one.
   */
  constructor(
    readonly conn: TcpConnection,
    readonly queue: EventQueue,
    readonly acceptor: ListenerEvents | null,
    /** Another program had it; with what that one saved. */
    readonly restored: { context: Uint8Array | null } | null = null,
  ) {
    const { book } = conn.tcp.host;
    this.family = isV6(conn.remoteAddress) ? 'IPv6' : 'IPv4';
    this.localAddress = book.format(conn.localAddress);
    this.remoteAddress = book.format(conn.remoteAddress);
    this.#accepted = acceptor === null;
    this.#connectTold = acceptor !== null;
    this.writtenBefore = restored === null ? 0 : conn.sendBuffer.end;
    conn.user = this;
    if (acceptor !== null) this.onProgress();
  }

  /** A program has it. */
  get accepted(): boolean {
    return this.#accepted;
  }

  /** Its socket will be told nothing more. */
  get settled(): boolean {
    return this.#closed;
  }

  /** Its socket is told nothing more, and asks for nothing more. */
  protected settle(): void {
    this.#closed = true;
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
    this.conn.write(chunk);
  }

  wantSpace(acked: number): void {
    if (acked < this.#spaceAt) this.#spaceAt = acked;
    this.onProgress();
  }

  shutdown(): void {
    this.conn.shutdown();
  }

  setReading(on: boolean): void {
    this.#reading = on;
    if (on) this.onProgress();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.conn.close();
  }

  abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.conn.abort();
  }

  setNoDelay(on: boolean): void {
    this.conn.noDelay = on;
    if (on) this.conn.tcp.markDirty(this.conn);
  }

  setKeepAlive(on: boolean, delayMs: number): void {
    const { conn } = this;
    conn.keepAlive = on;
    if (delayMs > 0) conn.keepAliveUs = delayMs * 1000;
    if (on && !conn.removed) conn.setTimer(Timer.Keepalive, conn.tcp.now + conn.keepAliveUs);
    else conn.clearTimer(Timer.Keepalive);
  }

  // --- Events ---

  /** Something changed: stand in the queue if the socket would be told of it. */
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
      // A program may throw and live on.
      this.onProgress();
    }
    return true;
  }

  /** Bytes that the next event brings: a chunk, or as many as the socket takes at once. */
  #amount(): number {
    const { receiveQueue } = this.conn;
    let n = receiveQueue.lengthAt(0);
    if (receiveQueue.length === 1) return n;
    const most = this.events?.readBudget?.() ?? 0;
    for (let i = 1; i < receiveQueue.length && n + receiveQueue.lengthAt(i) <= most; i++) n += receiveQueue.lengthAt(i);
    return n;
  }

  /** Delivers one event; on a backup, as the log says. */
  deliver(event: AppEvent, n: number, code: string | null): void {
    const { conn, events } = this;
    switch (event) {
      case AppEvent.Accept:
        this.#accepted = true;
        this.acceptor?.onConnection(this);
        return;
      case AppEvent.Restore:
        this.#accepted = true;
        if (this.acceptor?.onRestore === undefined) this.abort();
        else this.acceptor.onRestore(this, this.restored?.context ?? null);
        return;
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
          conn.readFirst();
          left -= length;
          if (events === null) continue;
          conn.glanced = events.peek?.(bytes, from, length, left > 0) === true;
          if (conn.glanced) conn.tcp.loans.done(bytes);
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
        this.#closed = true;
        this.#connectTold = true;
        events?.onClose(code);
        return;
    }
  }
}
