/**
 * TCP as a whole: the tables of connections and listeners, the dispatch of segments by state (RFC
 * 9293 section 3.10.7), the beginning and the end of connections, and the flush. The other files
 * see this class as `TcpContext`.
 */
import type { TxFrame } from '../../lib/device/device.js';
import { earlierPosition } from '../../lib/device/output-gate.js';
import { Fifo } from '../../lib/fifo.js';
import { TCP_ACK, TCP_RST, TCP_SYN, type TcpView } from '../../lib/packet/tcp.js';
import type { TimerWheel } from '../../lib/timer-wheel.js';
import { isV6 } from '../core/address-book.js';
import { RateLimit } from '../core/rate-limit.js';
import { TcpConnection, type TcpContext, Timer } from './connection.js';
import type { NewConnection, TcpHost } from './context.js';
import { TcpCounters } from './counters.js';
import { FastOpen } from './fast-open-cookies.js';
import { TupleBytes } from './four-tuple.js';
import { activeOpen } from './handshake/active-open.js';
import { cookieAnswer, cookieInstead } from './handshake/cookie-handshake.js';
import { EphemeralPorts } from './handshake/ephemeral-ports.js';
import { TcpListener } from './handshake/listener.js';
import { ListenerTable } from './handshake/listener-table.js';
import { passiveOpen } from './handshake/passive-open.js';
import { scaleFor } from './handshake/syn-options.js';
import { synSentSegment } from './handshake/syn-sent.js';
import type { StackObserver } from './observer.js';
import { type ConnectionSettings, TCP_DEFAULTS, type TcpOptions } from './options.js';
import { countSegment, segmentArrives } from './receive/input.js';
import { type Arrival, answerFor, replyReset, timeWaitSegment } from './receive/unmatched.js';
import { advertise, windowField } from './receive-window.js';
import { RttHistogram } from './rtt-histogram.js';
import { AckModeration } from './send/ack-moderation.js';
import { output } from './send/output.js';
import { CommitQueue, releaseLimit } from './send/output-commit.js';
import { sendReset } from './send/segment.js';
import { TcpState } from './state.js';
import { ConnectionTable } from './table.js';
import { BorrowedBuffers } from './tcb/borrowed-buffers.js';
import { type TimeWaitCheckpoint, type TimeWaitEntry, TimeWaitTable } from './time-wait.js';
import { connectionTimer } from './timers.js';

export type { TcpHost } from './context.js';
export { TcpCounters } from './counters.js';
export { TCP_DEFAULTS, type TcpOptions } from './options.js';

/** Pending control segments that are kept; without one, its peer asks again. */
const MAX_PENDING_CONTROL = 4096;

/** An ACK or RST of a connection that ended while it could not leave. */
interface PendingControl {
  entry: TimeWaitEntry;
  flags: number;
  /** The gate's position that it depends on. */
  position: number;
}

/** What a listener begins with. */
export interface TcpListenOptions extends ConnectionSettings {
  /**
   * Called for each SYN, which is not answered before the user says so (Relays.answerSyn); SYN
   * cookies are not delayed.
   */
  onSyn?: (conn: TcpConnection) => void;
  /** With the address "::": take IPv6 only. */
  only6?: boolean;
}

/** TCP of one stack. */
export class Tcp implements TcpContext {
  readonly options: TcpOptions;
  readonly counters = new TcpCounters();
  readonly rtts = new RttHistogram();
  readonly table = new ConnectionTable();
  readonly byId = new Map<number, TcpConnection>();
  readonly timeWaits: TimeWaitTable;
  readonly fastOpen: FastOpen;
  readonly borrowedBuffers = new BorrowedBuffers();
  readonly ackModeration: AckModeration;
  readonly tuple: TupleBytes;
  readonly frame: TxFrame;
  readonly wheel: TimerWheel;
  observer: StackObserver | null = null;
  frozen = false;
  draining = false;
  /** Until then, segments without a connection are dropped instead of answered with a RST. */
  resetGraceUntilUs = 0;
  cookiesUntilUs = 0;
  /** Challenge ACKs of all connections (RFC 5961 section 7). */
  readonly challengeLimit: RateLimit;
  readonly #listeners = new ListenerTable();
  readonly #ports = new EphemeralPorts();
  readonly #dirty = new Fifo<TcpConnection>();
  #nextId = 1;
  #pendingControl: PendingControl[] = [];
  /** Connections whose output waits for the gate. */
  readonly #uncommitted = new CommitQueue();

  constructor(
    readonly host: TcpHost,
    options: Partial<TcpOptions> = {},
  ) {
    this.options = { ...TCP_DEFAULTS, ...options };
    this.challengeLimit = new RateLimit(this.options.challengeAcksPerSecond);
    this.timeWaits = new TimeWaitTable(this.options.maxTimeWait);
    this.fastOpen = new FastOpen(host.hash, host.book);
    this.tuple = new TupleBytes(host.book);
    this.frame = host.frame;
    this.wheel = host.wheel;
    this.ackModeration = new AckModeration(host);
  }

  get now(): number {
    return this.host.now();
  }

  /** The number that the next connection gets. */
  get nextId(): number {
    return this.#nextId;
  }

  takeId(): number {
    return this.#nextId++;
  }

  get connectionCount(): number {
    return this.table.size;
  }

  find(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): TcpConnection | null {
    return this.table.find(localAddress, localPort, remoteAddress, remotePort);
  }

  // --- Arrivals ---

  /** Handles a segment whose checksum has been verified. `bytes` is only valid during the call. */
  input(seg: TcpView, bytes: Uint8Array, localAddress: number, remoteAddress: number): void {
    this.counters.inSegs++;
    const conn = this.table.find(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
    if (conn !== null) this.arrives(conn, seg, bytes);
    else this.#unmatched({ seg, bytes, localAddress, remoteAddress });
  }

  arrives(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
    if (conn.removed) return;
    countSegment(conn, seg);
    if (conn.state === TcpState.SynSent) synSentSegment(conn, seg, bytes);
    else segmentArrives(conn, seg, bytes);
  }

  /** LISTEN, TIME-WAIT and CLOSED (RFC 9293 sections 3.10.7.1, 3.10.7.2 and 3.10.7.4). */
  #unmatched(arrival: Arrival): void {
    const { seg, localAddress, remoteAddress } = arrival;
    if (this.timeWaits.size > 0) {
      const entry = this.timeWaits.get(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
      if (entry !== undefined && !timeWaitSegment(this, entry, seg)) return;
    }
    const listener = this.#listeners.find(localAddress, seg.dstPort);
    if (listener !== null && (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN) {
      passiveOpen(this, listener, arrival);
      return;
    }
    if ((seg.flags & TCP_RST) !== 0) return;
    // Fourth in LISTEN: what has neither SYN, ACK nor RST is dropped.
    if (listener !== null && (seg.flags & (TCP_SYN | TCP_ACK)) === 0) return;
    if (listener !== null && cookieAnswer(this, listener, arrival)) return;
    this.counters.noConnection++;
    if (this.now < this.resetGraceUntilUs) {
      this.counters.silenced++;
      return;
    }
    replyReset(this, seg, localAddress, remoteAddress);
  }

  wrongHandshakeAck(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
    if (!cookieInstead(conn, seg, bytes)) replyReset(this, seg, conn.localAddress, conn.remoteAddress);
  }

  // --- Opening and ending ---

  create(opening: NewConnection): TcpConnection {
    const conn = new TcpConnection(this, opening);
    this.tuple.take(conn.localAddress, conn.localPort, conn.remoteAddress, conn.remotePort);
    // RFC 6528: a 4 us clock plus a keyed hash of the four-tuple; RFC 7323 section 5.4 for the
    // timestamp's offset.
    conn.iss = (Math.floor(this.now / 4) + this.host.hash.hash(this.tuple.bytes, this.tuple.length)) >>> 0;
    conn.tsOffset = this.host.hash.hi >>> 0;
    conn.rcvScale = scaleFor(conn.receiveMax);
    conn.rcvMss = conn.route.linkMtu - conn.route.ipHeader - 20;
    if (conn.maxSegment > 0) conn.rcvMss = Math.min(conn.rcvMss, conn.maxSegment);
    conn.cc = conn.congestion(conn.sndMss);
    conn.lastReceiveUs = this.now;
    conn.lastSendUs = this.now;
    this.table.add(conn);
    this.byId.set(conn.id, conn);
    if (conn.id >= this.#nextId) this.#nextId = conn.id + 1;
    return conn;
  }

  /** Active OPEN; address or port 0: the stack chooses. @throws FtError as `activeOpen` does */
  connect(
    remoteAddress: number,
    remotePort: number,
    localAddress = 0,
    localPort = 0,
    settings?: ConnectionSettings,
  ): TcpConnection {
    return activeOpen(this, this.#ports, { remoteAddress, remotePort, localAddress, localPort, settings });
  }

  /**
   * Listens on one address, on every IPv4 address (0) or on every address ("::"); port 0: the stack
   * chooses.
   * @param backlog connections that may be half open, or wait to be accepted
   * @throws FtError EADDRINUSE
   */
  listen(
    address: number,
    port: number,
    backlog: number,
    onConnection: (conn: TcpConnection) => void,
    options: TcpListenOptions = {},
  ): TcpListener {
    if (port === 0) port = this.#ports.forListener((candidate) => this.findListener(address, candidate) !== null);
    const { only6 = false, onSyn, ...settings } = options;
    const v6 = isV6(address) && this.host.book.isUnspecified(address);
    const any = { v4: address === 0 || (v6 && !only6), v6 };
    const listener = new TcpListener({ address, port, backlog, onConnection, any, settings, onSyn });
    this.#listeners.add(listener);
    return listener;
  }

  /** Stops listening; connections that the user does not have yet are aborted. */
  unlisten(listener: TcpListener): void {
    if (listener.closed) return;
    listener.closed = true;
    this.#listeners.delete(listener);
    this.table.forEach((conn) => {
      if (conn.listener === listener && conn.state === TcpState.SynRcvd && !conn.fastOpened) this.abort(conn);
    });
  }

  /**
   * Takes over a connection in TIME-WAIT of another stack; `shiftUs` moves its time to this clock.
   */
  addTimeWait(saved: TimeWaitCheckpoint, shiftUs = 0): void {
    const { book } = this.host;
    const localAddress = book.fromBytes(saved.localAddress, 0);
    const remoteAddress = book.fromBytes(saved.remoteAddress, 0);
    this.timeWaits.add({ ...saved, localAddress, remoteAddress, expiresUs: saved.expiresUs + shiftUs });
  }

  /** Marks the addresses that the address book must keep. */
  keepAddresses(mark: (address: number) => void): void {
    this.table.forEach((conn) => {
      mark(conn.localAddress);
      mark(conn.remoteAddress);
    });
    for (const entry of this.timeWaits.values()) {
      mark(entry.localAddress);
      mark(entry.remoteAddress);
    }
    this.#listeners.keep(mark);
    this.fastOpen.keep(mark);
  }

  /** The listener that a connection to this address and port belongs to. */
  findListener(address: number, port: number): TcpListener | null {
    return this.#listeners.find(address, port);
  }

  connectionEstablished(conn: TcpConnection): void {
    if (conn.listener !== null) conn.listener.halfOpen--;
    if (conn.listener !== null && conn.fastOpened) conn.listener.fastOpenPending--;
    this.observer?.established(conn);
    if (conn.keepAlive) conn.setTimer(Timer.Keepalive, this.now + conn.keepAliveUs);
    if (conn.listener !== null && !conn.fastOpened) conn.listener.onConnection(conn);
    else conn.user?.onProgress(conn);
  }

  remove(conn: TcpConnection, code: string | null): void {
    if (conn.removed) return;
    conn.removed = true;
    conn.error = code;
    if (code !== null) {
      if (conn.established) this.counters.estabResets++;
      else this.counters.attemptFails++;
    }
    if (!conn.established && conn.listener !== null) {
      conn.listener.halfOpen--;
      if (conn.fastOpened) conn.listener.fastOpenPending--;
    }
    conn.noteState();
    conn.state = TcpState.Closed;
    conn.log?.add(this.now, 'removed', code === null ? 0 : 1, 0);
    this.wheel.cancel(conn.timerNode);
    this.table.delete(conn);
    this.byId.delete(conn.id);
    conn.sendBuffer.clear();
    conn.reassembly.clear();
    releaseLimit(conn);
    this.observer?.removed(conn, code);
    conn.user?.onProgress(conn);
  }

  abort(conn: TcpConnection): void {
    const speaks = !this.frozen && conn.state !== TcpState.SynSent && conn.state !== TcpState.Closed;
    if (speaks) this.counters.outRsts++;
    if (speaks && this.observer !== null) {
      // It leaves when the end of the connection has been observed.
      const entry = timeWaitEntry(this, conn);
      this.remove(conn, null);
      this.#keepControl(entry, TCP_RST | TCP_ACK);
      return;
    }
    if (speaks && !sendReset(conn)) this.#keepControl(timeWaitEntry(this, conn), TCP_RST | TCP_ACK);
    this.remove(conn, null);
  }

  enterTimeWait(conn: TcpConnection): void {
    // The window of the last ACK: a repeated one must not show a smaller one.
    advertise(conn, conn.rcvNxt);
    windowField(conn, conn.rcvNxt);
    const entry = timeWaitEntry(this, conn);
    conn.state = TcpState.TimeWait;
    this.timeWaits.add(entry);
    this.observer?.timeWait(entry);
    // The last ACK leaves now, or later as a pending control segment: the connection goes.
    output(conn);
    if (conn.ackNow) this.#keepControl(entry, TCP_ACK);
    this.remove(conn, null);
  }

  #keepControl(entry: TimeWaitEntry, flags: number): void {
    if (this.#pendingControl.length >= MAX_PENDING_CONTROL) return;
    this.#pendingControl.push({ entry, flags, position: this.host.gate?.end ?? 0 });
  }

  timerDue(conn: TcpConnection, nowUs: number): void {
    connectionTimer(conn, nowUs);
  }

  // --- Output ---

  markDirty(conn: TcpConnection): void {
    if (conn.dirty || this.frozen || conn.removed) return;
    conn.dirty = true;
    this.#dirty.push(conn);
  }

  /** Reports to the observer what the peer has acknowledged since the last report. */
  reportAcked(conn: TcpConnection): void {
    if (!conn.ackHint) return;
    conn.ackHint = false;
    this.observer?.acked(conn);
  }

  moderateAck(conn: TcpConnection, bytes: number): boolean {
    return this.ackModeration.defer(conn, bytes);
  }

  /**
   * Sends what dirty connections have to send.
   * @returns false when the device got busy; the rest stays dirty
   */
  flush(): boolean {
    const { gate } = this.host;
    const open = gate === null || gate.isOpen();
    if (this.#uncommitted.size > 0) this.#resumeCommitted(open);
    if (this.#pendingControl.length > 0 && !this.#flushControl(open)) return false;
    return this.#flushDirty();
  }

  /** The gate's position that some output waits for; null when none waits. */
  get waitsFor(): number | null {
    return earlierPosition(this.#uncommitted.position, this.#pendingControl[0]?.position ?? null);
  }

  #committed(position: number, open: boolean): boolean {
    return open || this.host.gate?.reached(position) !== false;
  }

  /**
   * Sends pending control segments, as far as they are committed.
   * @returns false when the device is busy
   */
  #flushControl(open: boolean): boolean {
    let done = 0;
    let busy = false;
    for (const { entry, flags, position } of this.#pendingControl) {
      if (!this.#committed(position, open)) break;
      busy = !answerFor(this, entry, flags, true);
      if (busy) break;
      done++;
    }
    if (done > 0) this.#pendingControl = this.#pendingControl.slice(done);
    return !busy;
  }

  /** Connections whose position the gate has reached may send more. */
  #resumeCommitted(open: boolean): void {
    const queue = this.#uncommitted;
    for (let at = queue.position; at !== null && this.#committed(at, open); at = queue.position) {
      const conn = queue.shift();
      if (conn === undefined) return;
      if (conn.removed) releaseLimit(conn);
      else this.markDirty(conn);
    }
  }

  #flushDirty(): boolean {
    let busy = false;
    // A connection that has more to send waits until all others had a turn, or the device has room
    // again.
    for (let n = this.#dirty.size; n > 0; n--) {
      const conn = this.#dirty.shift();
      if (conn === undefined) break;
      conn.dirty = false;
      if (conn.removed) continue;
      if (conn.log !== null) conn.noteState();
      this.reportAcked(conn);
      if (conn.commitLimit !== null) conn.commitLimit.waiting = false;
      const done = !busy && output(conn);
      const { commitLimit } = conn;
      if (commitLimit?.waiting === true) this.#uncommitted.push(conn, this.host.gate?.end ?? 0);
      else if (done) {
        if (commitLimit !== null) releaseLimit(conn);
      } else {
        busy = true;
        this.markDirty(conn);
      }
    }
    return !busy;
  }

  timestamp(offset: number): number {
    return (Math.floor(this.now / 1000) + offset) >>> 0;
  }

  challengeAck(conn: TcpConnection): void {
    if (!this.challengeLimit.allow(this.now)) return;
    this.counters.challengeAcks++;
    conn.ackNow = true;
    this.markDirty(conn);
  }
}

/** The connection as a TIME-WAIT entry. */
function timeWaitEntry(tcp: Tcp, conn: TcpConnection): TimeWaitEntry {
  return {
    localAddress: conn.localAddress,
    remoteAddress: conn.remoteAddress,
    localPort: conn.localPort,
    remotePort: conn.remotePort,
    sndNxt: (conn.iss + conn.sndNxt) >>> 0,
    rcvNxt: (conn.irs + conn.rcvNxt) >>> 0,
    tsOk: conn.tsOk,
    tsRecent: conn.tsRecent,
    tsOffset: conn.tsOffset,
    rcvWindow: Math.min(65_535, Math.floor(Math.max(0, conn.rcvAdv - conn.rcvNxt) / 2 ** conn.rcvScale)),
    expiresUs: tcp.now + 2 * tcp.options.mslUs,
  };
}
