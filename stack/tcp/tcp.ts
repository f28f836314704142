import type { TxFrame } from '../../lib/device/device.js';
import { FtError } from '../../lib/errors.js';
import { Fifo } from '../../lib/fifo.js';
import { TCP_ACK, TCP_RST, TCP_SYN, type TcpView } from '../../lib/packet/tcp.js';
import type { SipHash } from '../../lib/random.js';
import type { TimerWheel } from '../../lib/timer-wheel.js';
import { type AddressBook, isV6 } from '../ip/address-book.js';
import type { StackObserver } from '../observer.js';
import { earlierPosition, type OutputGate } from '../output-gate.js';
import type { TimeWaitCheckpoint } from './checkpoint.js';
import { type ConnectionSettings, TcpConnection, type TcpRoute, Timer } from './connection.js';
import { TcpCounters } from './counters.js';
import { FastOpen } from './handshake/fast-open.js';
import { TcpListener } from './handshake/listener.js';
import { cookieAnswer, passiveOpen } from './handshake/passive-open.js';
import { TupleBytes } from './handshake/tuple-hash.js';
import { takeSyn } from './loss/ecn.js';
import { TCP_DEFAULTS, type TcpOptions } from './options.js';
import { BorrowedBuffers } from './receive/borrowed-buffers.js';
import { segmentArrives } from './receive/input.js';
import { answerFor, replyReset, timeWaitSegment } from './receive/unmatched.js';
import { AckModeration } from './send/ack-moderation.js';
import { CommitLimitQueue } from './send/commit-limit.js';
import { output, sendReset, sendSyn } from './send/output.js';
import { TcpState } from './state.js';
import { ConnectionTable } from './table.js';
import { type TimeWaitEntry, TimeWaitTable } from './time-wait.js';

export { TcpCounters } from './counters.js';
export { TCP_DEFAULTS, type TcpOptions } from './options.js';

/** What TCP needs of the stack around it. */
export interface TcpHost {
  now(): number;
  readonly wheel: TimerWheel;
  /** Keyed hash for initial sequence numbers and timestamp offsets; replicas share the key. */
  readonly hash: SipHash;
  readonly frame: TxFrame;
  gate: OutputGate | null;
  /** A path to the peer, or null. `hint` is the device-specific sender of the segment being answered, if any. */
  tcpRoute(localAddress: number, remoteAddress: number, via?: readonly number[]): TcpRoute | null;
  /** The way back over which the segment at hand came, if it came over a source route. */
  readonly receivedRoute: readonly number[] | null;
  /** Chooses a local address to reach a peer from, or 0. */
  sourceFor(remoteAddress: number): number;
  isLocal(address: number): boolean;
  /** Whether an address can be that of one host. */
  isUnicast(address: number): boolean;
  readonly book: AddressBook;
  /** Batches of frames so far, and whether there are more at hand than in the latest. */
  readonly batches: number;
  readonly more: boolean;
}

/** More than so many last words are not kept: their peers ask again. */
const MAX_OWED = 4096;
/** Hops that fit into the IPv4 header's options, beside the destination. */
const MAX_VIA = 8;
const EPHEMERAL_FIRST = 32_768;
const EPHEMERAL_COUNT = 28_232;

export class Tcp {
  readonly options: TcpOptions;
  readonly counters = new TcpCounters();
  readonly table = new ConnectionTable();
  readonly byId = new Map<number, TcpConnection>();
  readonly timeWaits: TimeWaitTable;
  readonly fastOpen: FastOpen;
  readonly loans = new BorrowedBuffers();
  readonly patience: AckModeration;
  /** For keyed hashes over a four-tuple. */
  readonly tuple: TupleBytes;
  readonly frame: TxFrame;
  readonly wheel: TimerWheel;
  observer: StackObserver | null = null;
  /** True on a backup: state is kept, nothing is sent, no timer runs. */
  frozen = false;
  /** New connections are refused. */
  draining = false;
  /** Until then, segments for unknown connections are met with silence instead of a RST. */
  silentUntilUs = 0;
  /** Until then an acknowledgement for no connection may answer a cookie, of ours or of a predecessor with the same key. */
  cookiesUntilUs = 0;
  #listeners = new Map<number, TcpListener[]>();
  readonly #dirty = new Fifo<TcpConnection>();
  #nextId = 1;
  #nextPort = 0;
  #challengeWindowUs = 0;
  #challenges = 0;
  /** Last words of connections that ended while they could not leave: an acknowledgement, or a RST. */
  #owed: { entry: TimeWaitEntry; flags: number; position: number }[] = [];
  /** Connections that may not say everything yet. */
  readonly held = new CommitLimitQueue();

  constructor(
    readonly host: TcpHost,
    options: Partial<TcpOptions> = {},
  ) {
    this.options = { ...TCP_DEFAULTS, ...options };
    this.timeWaits = new TimeWaitTable(this.options.maxTimeWait);
    this.fastOpen = new FastOpen(host.hash, host.book);
    this.tuple = new TupleBytes(host.book);
    this.frame = host.frame;
    this.wheel = host.wheel;
    this.patience = new AckModeration(host);
  }

  get now(): number {
    return this.host.now();
  }

  get nextId(): number {
    return this.#nextId;
  }

  takeId(): number {
    return this.#nextId++;
  }

  // --- Arrivals ---

  /** Handles a segment whose checksum has been verified. */
  input(seg: TcpView, bytes: Uint8Array, localAddress: number, remoteAddress: number): void {
    this.counters.inSegs++;
    const conn = this.table.find(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
    if (conn !== null) {
      segmentArrives(conn, seg, bytes);
      return;
    }
    this.#stranger(seg, bytes, localAddress, remoteAddress);
  }

  #stranger(seg: TcpView, bytes: Uint8Array, localAddress: number, remoteAddress: number): void {
    if (this.timeWaits.size > 0) {
      const entry = this.timeWaits.get(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
      if (entry !== undefined && !timeWaitSegment(this, entry, seg)) return;
    }
    const listener = this.#findListener(localAddress, seg.dstPort);
    if (listener !== null && (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN) {
      passiveOpen(this, listener, seg, bytes, localAddress, remoteAddress);
      return;
    }
    if ((seg.flags & TCP_RST) !== 0) return;
    if (listener !== null && cookieAnswer(this, listener, seg, localAddress, remoteAddress, bytes)) return;
    this.counters.noConnection++;
    if (this.now < this.silentUntilUs) {
      this.counters.silenced++;
      return;
    }
    replyReset(this, seg, localAddress, remoteAddress);
  }

  /** What the peer's SYN says (MSS, window scale, SACK, timestamps), and what follows for us. */
  takeSynOptions(conn: TcpConnection, seg: TcpView): void {
    const { options } = this;
    conn.tsOk = seg.tsPresent && options.timestamps;
    conn.sackOk = seg.sackPermitted && options.sack;
    takeSyn(conn, seg);
    if (seg.windowScale >= 0 && options.windowScaling) conn.sndScale = Math.min(14, seg.windowScale);
    else {
      conn.sndScale = 0;
      conn.rcvScale = 0;
      conn.receiveMax = Math.min(conn.receiveMax, 65_535);
      conn.receiveLimit = Math.min(conn.receiveLimit, 65_535);
    }
    if (conn.tsOk) {
      conn.tsRecent = seg.tsVal;
      conn.tsRecentAtUs = this.now;
    }
    conn.sndWnd = seg.window;
    conn.maxSndWnd = seg.window;
    // Without a word of the peer's: what every path takes (RFC 9293 MUST-15).
    const offered = seg.mss > 0 ? Math.max(64, seg.mss) : conn.route.version === 6 ? 1220 : 536;
    this.setMss(conn, offered);
  }

  /** Sets the sending MSS from the peer's offer and the path; resets the congestion controller to it. */
  setMss(conn: TcpConnection, offered: number): void {
    const path = conn.route.mtu - conn.route.ipHeader - 20;
    const most = conn.maxSegment > 0 ? Math.min(path, conn.maxSegment) : path;
    conn.sndMss = Math.max(48, Math.min(offered, most) - (conn.tsOk ? 12 : 0));
    conn.cc = conn.congestion(conn.sndMss);
  }

  // --- Opening and ending ---

  /** Makes a connection and enters it into the tables; its state is the caller's to set. */
  create(
    id: number,
    localAddress: number,
    localPort: number,
    remoteAddress: number,
    remotePort: number,
    route: TcpRoute,
    settings?: ConnectionSettings,
  ): TcpConnection {
    const conn = new TcpConnection(this, id, localAddress, localPort, remoteAddress, remotePort, route, settings);
    this.tuple.take(localAddress, localPort, remoteAddress, remotePort);
    // RFC 6528: a 4 us clock plus a keyed hash of the four-tuple; RFC 7323 section 5.4 for the timestamp's offset.
    conn.iss = (Math.floor(this.now / 4) + this.host.hash.hash(this.tuple.bytes, this.tuple.length)) >>> 0;
    conn.tsOffset = this.host.hash.hi >>> 0;
    conn.rcvScale = scaleFor(conn.receiveMax);
    conn.rcvMss = conn.route.mtu - conn.route.ipHeader - 20;
    if (conn.maxSegment > 0) conn.rcvMss = Math.min(conn.rcvMss, conn.maxSegment);
    conn.cc = conn.congestion(conn.sndMss);
    conn.lastReceiveUs = this.now;
    conn.lastSendUs = this.now;
    this.table.add(conn);
    this.byId.set(id, conn);
    if (id >= this.#nextId) this.#nextId = id + 1;
    return conn;
  }

  /** Active open. Throws FtError EADDRNOTAVAIL (no free port), EHOSTUNREACH, EADDRINUSE, EINVAL. */
  connect(
    remoteAddress: number,
    remotePort: number,
    localAddress = 0,
    localPort = 0,
    settings?: ConnectionSettings,
  ): TcpConnection {
    if (!this.host.isUnicast(remoteAddress)) {
      throw new FtError(
        'EINVAL',
        'A connection has one peer',
        'Connect to an address that is no broadcast and no group',
      );
    }
    const from = localAddress !== 0 ? localAddress : this.host.sourceFor(remoteAddress);
    const via = settings?.sourceRoute;
    if (via !== undefined && (via.length > MAX_VIA || isV6(remoteAddress))) {
      throw new FtError('EINVAL', 'Not a source route', `Give at most ${MAX_VIA} IPv4 addresses, for an IPv4 peer`);
    }
    const route = from === 0 ? null : this.host.tcpRoute(from, remoteAddress, via);
    if (route === null) {
      throw new FtError(
        'EHOSTUNREACH',
        'No route to the host',
        'Give the stack an address in its network or a gateway',
      );
    }
    if (this.table.size >= this.options.maxConnections) {
      throw new FtError('ENOBUFS', 'Too many connections', 'Raise maxConnections');
    }
    const port = localPort !== 0 ? localPort : this.#ephemeralPort(from, remoteAddress, remotePort);
    if (this.table.find(from, port, remoteAddress, remotePort) !== null) {
      throw new FtError('EADDRINUSE', `Port ${port} is in use for that peer`, 'Choose another local port');
    }
    const conn = this.create(this.#nextId++, from, port, remoteAddress, remotePort, route, settings);
    conn.state = TcpState.SynSent;
    conn.active = true;
    this.counters.activeOpens++;
    const early = settings?.fastOpenData;
    if (early !== undefined) {
      conn.write(early);
      if (this.options.fastOpenClient && this.observer === null) {
        const known = this.fastOpen.remembered(remoteAddress);
        conn.fastOpenCookie = known?.cookie ?? new Uint8Array(0);
        const most = Math.min(known?.mss || (route.version === 6 ? 1220 : 536), route.mtu - route.ipHeader - 20);
        // Whatever options stand beside the data.
        conn.synData = known === undefined ? 0 : Math.min(early.length, most - 40);
      }
    }
    this.observer?.opened(conn);
    if (!this.frozen) sendSyn(conn);
    return conn;
  }

  /**
   * Starts listening on one address, on every IPv4 one (0) or on every one ("::"; of IPv6 only, with `only6`).
   * Throws FtError EADDRINUSE.
   */
  listen(
    address: number,
    port: number,
    backlog: number,
    onConnection: (conn: TcpConnection) => void,
    only6 = false,
    settings: ConnectionSettings = {},
  ): TcpListener {
    if (port === 0) port = this.#freeListenPort(address);
    const here = this.#listeners.get(port) ?? [];
    const v6 = isV6(address) && this.host.book.isUnspecified(address);
    const any = { v4: address === 0 || (v6 && !only6), v6 };
    const listener = new TcpListener(address, port, backlog, onConnection, any, settings);
    const clash = here.some(
      (other) => other.clashes(listener) || other.takes(address) || listener.takes(other.address),
    );
    if (clash) {
      throw new FtError(
        'EADDRINUSE',
        `Port ${port} is already being listened on`,
        'Close the other listener or choose another port',
      );
    }
    this.#listeners.set(port, [...here, listener]);
    return listener;
  }

  unlisten(listener: TcpListener): void {
    if (listener.closed) return;
    listener.closed = true;
    const rest = (this.#listeners.get(listener.port) ?? []).filter((other) => other !== listener);
    if (rest.length > 0) this.#listeners.set(listener.port, rest);
    else this.#listeners.delete(listener.port);
    this.table.forEach((conn) => {
      if (conn.listener === listener && conn.state === TcpState.SynRcvd) this.abort(conn);
    });
  }

  /** A connection in TIME-WAIT that another stack had. */
  addTimeWait(saved: TimeWaitCheckpoint, shiftUs = 0): void {
    const { book } = this.host;
    const localAddress = book.fromBytes(saved.localAddress, 0);
    const remoteAddress = book.fromBytes(saved.remoteAddress, 0);
    this.timeWaits.add({ ...saved, localAddress, remoteAddress, expiresUs: saved.expiresUs + shiftUs });
  }

  /** Addresses that the address book must keep. */
  keepAddresses(mark: (address: number) => void): void {
    this.table.forEach((conn) => {
      mark(conn.localAddress);
      mark(conn.remoteAddress);
    });
    for (const entry of this.timeWaits.values()) {
      mark(entry.localAddress);
      mark(entry.remoteAddress);
    }
    for (const here of this.#listeners.values()) for (const listener of here) mark(listener.address);
    this.fastOpen.keep(mark);
  }

  /** The listener that a connection to this address and port belongs to. */
  findListener(address: number, port: number): TcpListener | null {
    return this.#findListener(address, port);
  }

  connectionEstablished(conn: TcpConnection): void {
    if (conn.listener !== null) conn.listener.halfOpen--;
    if (conn.listener !== null && conn.fastOpened) conn.listener.fastPending--;
    this.observer?.established(conn);
    if (conn.keepAlive) conn.setTimer(Timer.Keepalive, this.now + conn.keepAliveUs);
    if (conn.listener !== null && !conn.fastOpened) conn.listener.onConnection(conn);
    else conn.user?.onProgress(conn);
  }

  /** The connection ends here and now; `code` tells its user why. */
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
      if (conn.fastOpened) conn.listener.fastPending--;
    }
    conn.noteState();
    conn.state = TcpState.Closed;
    conn.log?.add(this.now, 'removed', code === null ? 0 : 1, 0);
    this.wheel.cancel(conn.timerNode);
    this.table.delete(conn);
    this.byId.delete(conn.id);
    conn.sendBuffer.clear();
    conn.reassembly.clear();
    this.held.free(conn);
    this.observer?.removed(conn, code);
    conn.user?.onProgress(conn);
  }

  /** RST to the peer, then gone. */
  abort(conn: TcpConnection): void {
    if (!this.frozen && conn.state !== TcpState.SynSent && conn.state !== TcpState.Closed) {
      if (!sendReset(conn)) this.#owe(this.#lastWord(conn), TCP_RST | TCP_ACK);
      this.counters.outRsts++;
    }
    this.remove(conn, null);
  }

  /** The connection becomes a small record for 2 MSL. Its user has seen, or will see, an orderly end. */
  enterTimeWait(conn: TcpConnection): void {
    const entry = this.#lastWord(conn);
    conn.state = TcpState.TimeWait;
    this.timeWaits.add(entry);
    this.observer?.timeWait(entry);
    // The last ACK leaves at once, as the connection that would send it is about to go; or, held back, in its name.
    output(conn);
    if (conn.ackNow) this.#owe(entry, TCP_ACK);
    this.remove(conn, null);
  }

  #owe(entry: TimeWaitEntry, flags: number): void {
    if (this.#owed.length < MAX_OWED) this.#owed.push({ entry, flags, position: this.host.gate?.end ?? 0 });
  }

  #lastWord(conn: TcpConnection): TimeWaitEntry {
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
      expiresUs: this.now + 2 * this.options.mslUs,
    };
  }

  // --- Output ---

  markDirty(conn: TcpConnection): void {
    if (conn.dirty || this.frozen || conn.removed) return;
    conn.dirty = true;
    this.#dirty.push(conn);
  }

  /** Tells the observer what the peer has acknowledged since the last time. */
  tellAcked(conn: TcpConnection): void {
    if (!conn.ackHint) return;
    conn.ackHint = false;
    this.observer?.acked(conn);
  }

  /** Sends what the connections that have ended owe, as far as the gate lets it. @returns false when the device is busy. */
  #settle(open: boolean): boolean {
    const { gate } = this.host;
    let done = 0;
    let busy = false;
    for (const { entry, flags, position } of this.#owed) {
      if (!open && !gate!.reached(position)) break;
      busy = !answerFor(this, entry, flags, true);
      if (busy) break;
      done++;
    }
    if (done > 0) this.#owed = this.#owed.slice(done);
    return !busy;
  }

  /** Connections that the gate has reached may say more. */
  #release(open: boolean): void {
    const { held } = this;
    const { gate } = this.host;
    while (held.size > 0 && (open || gate!.reached(held.position))) {
      const conn = held.shift();
      if (conn.removed) held.free(conn);
      else this.markDirty(conn);
    }
  }

  /** What was held back of a connection waits for the gate. */
  #hold(conn: TcpConnection): void {
    this.held.push(conn, this.host.gate!.end);
  }

  /** Sends what dirty connections have to send. @returns false when the device got busy; the rest stays dirty. */
  flush(): boolean {
    const { gate } = this.host;
    const open = gate === null || gate.isOpen();
    if (this.held.size > 0) this.#release(open);
    if (this.#owed.length > 0 && !this.#settle(open)) return false;
    return this.#flushDirty();
  }

  /** What the gate has to reach for something of ours to leave; null when nothing waits for it. */
  get waitsFor(): number | null {
    const owed = this.#owed[0];
    return earlierPosition(this.held.size > 0 ? this.held.position : null, owed === undefined ? null : owed.position);
  }

  #flushDirty(): boolean {
    let busy = false;
    // Who has more to say has it when everybody has had a turn, or the device has room again.
    for (let n = this.#dirty.size; n > 0; n--) {
      const conn = this.#dirty.shift()!;
      conn.dirty = false;
      if (conn.removed) continue;
      if (conn.log !== null) conn.noteState();
      this.tellAcked(conn);
      if (conn.held !== null) conn.held.waiting = false;
      const done = !busy && output(conn);
      const { held } = conn;
      if (held?.waiting === true) this.#hold(conn);
      else if (done) {
        if (held !== null) this.held.free(conn);
      } else {
        busy = true;
        this.markDirty(conn);
      }
    }
    return !busy;
  }

  /** TSval of a segment sent now: milliseconds, offset per connection (RFC 7323 section 5.4). */
  timestamp(conn: TcpConnection): number {
    return this.timestampAt(conn.tsOffset);
  }

  timestampAt(offset: number): number {
    return (Math.floor(this.now / 1000) + offset) >>> 0;
  }

  /** A rate-limited ACK in answer to what may be an attack (RFC 5961 section 7). */
  challengeAck(conn: TcpConnection): void {
    const now = this.now;
    if (now - this.#challengeWindowUs >= 1_000_000) {
      this.#challengeWindowUs = now;
      this.#challenges = 0;
    }
    if (this.#challenges >= this.options.challengeAcksPerSecond) return;
    this.#challenges++;
    this.counters.challengeAcks++;
    conn.ackNow = true;
    this.markDirty(conn);
  }

  /** RST in answer to a segment that a known connection cannot accept (SYN_SENT, SYN_RCVD). */
  resetReply(conn: TcpConnection, seg: TcpView): void {
    replyReset(this, seg, conn.localAddress, conn.remoteAddress);
  }

  #findListener(address: number, port: number): TcpListener | null {
    const here = this.#listeners.get(port);
    if (here === undefined) return null;
    for (const listener of here) if (listener.takes(address)) return listener;
    return null;
  }

  #freeListenPort(address: number): number {
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + (this.#nextPort++ % EPHEMERAL_COUNT);
      if (this.#findListener(address, port) === null) return port;
    }
    throw new FtError('EADDRINUSE', 'No free port to listen on', 'Close a listener');
  }

  /** RFC 6056 algorithm 3: a keyed hash of the peer chooses where the search for a free port begins. */
  #ephemeralPort(localAddress: number, remoteAddress: number, remotePort: number): number {
    this.tuple.take(localAddress, 0, remoteAddress, remotePort);
    const start = this.host.hash.hash(this.tuple.bytes, this.tuple.length) + this.#nextPort;
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((start + i) % EPHEMERAL_COUNT);
      this.#nextPort++;
      if (
        this.table.find(localAddress, port, remoteAddress, remotePort) === null &&
        !this.timeWaits.has(localAddress, port, remoteAddress, remotePort)
      ) {
        return port;
      }
    }
    throw new FtError(
      'EADDRNOTAVAIL',
      'No free local port for that peer',
      'Close connections or use another local address',
    );
  }
}

/** Smallest window scale that can express the buffer (RFC 7323 section 2.3). */
export function scaleFor(receiveLimit: number): number {
  let scale = 0;
  while (scale < 14 && 65_535 * 2 ** scale < receiveLimit) scale++;
  return scale;
}
