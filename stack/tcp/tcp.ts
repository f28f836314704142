/**
 * TCP as a protocol of the stack: finding the connection for a segment, opening and removing connections, listeners, and
 * replies to segments that belong to none. One connection's own machine is in connection.ts, input.ts, output.ts.
 */

import { finish, sum16 } from '../../lib/checksum.js';
import { TX_HEADROOM, type TxFrame } from '../../lib/device/device.js';
import { FtError } from '../../lib/errors.js';
import {
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  type TcpView,
  writeTcpHeader,
} from '../../lib/packet/tcp.js';
import type { SipHash } from '../../lib/random.js';
import type { TimerWheel } from '../../lib/timer-wheel.js';
import { type AddressBook, isV6 } from '../address-book.js';
import type { OutputGate, StackObserver } from '../observer.js';
import type { TimeWaitCheckpoint } from './checkpoint.js';
import { type ConnectionSettings, TcpConnection, type TcpRoute, Timer } from './connection.js';
import { TcpCounters } from './counters.js';
import { FastOpen } from './fast-open.js';
import { segmentArrives } from './input.js';
import { TcpListener } from './listener.js';
import { TCP_DEFAULTS, type TcpOptions } from './options.js';
import { output, sendReset, sendSyn } from './output.js';
import { TcpState } from './state.js';
import { checkCookie, cookieOptions, cookieTimestamp, makeCookie } from './syn-cookie.js';
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
}

/** Segments that are no part of a conversation are answered this often at most: two such answers must not chase each other. */
const INVALID_ANSWER_US = 100_000;
/** More than so many acknowledgements are not kept: their peers ask again. */
const MAX_OWED_ACKS = 4096;
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
  readonly frame: TxFrame;
  readonly wheel: TimerWheel;
  observer: StackObserver | null = null;
  /** True on a backup: state is kept, nothing is sent, no timer runs. */
  frozen = false;
  /** Until then, segments for unknown connections are met with silence instead of a RST. */
  silentUntilUs = 0;
  #listeners = new Map<number, TcpListener[]>();
  #dirty: TcpConnection[] = [];
  #spare: TcpConnection[] = [];
  #nextId = 1;
  #nextPort = 0;
  #challengeWindowUs = 0;
  #challenges = 0;
  /** Last acknowledgements of connections that went into TIME_WAIT while nothing could leave. */
  readonly #owedAcks: TimeWaitEntry[] = [];
  readonly #hashInput = new Uint8Array(40);
  #hashLength = 12;
  readonly #hashView = new DataView(this.#hashInput.buffer);

  constructor(
    readonly host: TcpHost,
    options: Partial<TcpOptions> = {},
  ) {
    this.options = { ...TCP_DEFAULTS, ...options };
    this.timeWaits = new TimeWaitTable(this.options.maxTimeWait);
    this.fastOpen = new FastOpen(host.hash, host.book);
    this.frame = host.frame;
    this.wheel = host.wheel;
  }

  get now(): number {
    return this.host.now();
  }

  get nextId(): number {
    return this.#nextId;
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
      const entry = this.timeWaits.get(tupleKey(localAddress, seg.dstPort, remoteAddress, seg.srcPort));
      if (entry !== undefined && !this.#timeWaitSegment(entry, seg)) return;
    }
    const listener = this.#findListener(localAddress, seg.dstPort);
    if (listener !== null && (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN) {
      this.#passiveOpen(listener, seg, bytes, localAddress, remoteAddress);
      return;
    }
    if ((seg.flags & TCP_RST) !== 0) return;
    if (listener !== null && this.#cookieAnswer(listener, seg, localAddress, remoteAddress, bytes)) return;
    this.counters.noConnection++;
    if (this.now < this.silentUntilUs) {
      this.counters.silenced++;
      return;
    }
    this.#replyReset(seg, localAddress, remoteAddress);
  }

  /** A segment for a connection in TIME_WAIT. @returns true when it may open a new connection instead. */
  #timeWaitSegment(entry: TimeWaitEntry, seg: TcpView): boolean {
    const ahead = (seg.seq - entry.rcvNxt) | 0;
    if ((seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN) {
      const newer =
        entry.tsOk && seg.tsPresent
          ? ((seg.tsVal - entry.tsRecent) | 0) > 0 || (seg.tsVal === entry.tsRecent && ahead > 0)
          : ahead > 0;
      if (newer) {
        this.timeWaits.delete(entry.key);
        return true;
      }
    }
    // A RST does not end TIME_WAIT (RFC 1337).
    if ((seg.flags & TCP_RST) !== 0) return false;
    if ((seg.flags & TCP_FIN) !== 0) this.timeWaits.renew(entry, this.now + 2 * this.options.mslUs);
    else if (ahead === 0 && seg.payloadLength === 0 && (seg.flags & TCP_SYN) === 0) {
      // All is well at the other end. Two ends in TIME_WAIT that answered this would never stop.
      return false;
    } else if (this.now - (entry.answeredUs ?? Number.NEGATIVE_INFINITY) < INVALID_ANSWER_US) return false;
    else entry.answeredUs = this.now;
    this.#timeWaitAck(entry);
    return false;
  }

  /** @returns false when it could not leave. */
  #timeWaitAck(entry: TimeWaitEntry): boolean {
    const route = this.host.tcpRoute(entry.localAddress, entry.remoteAddress);
    if (route === null) return true;
    const ts = entry.tsOk ? this.#timestampAt(entry.tsOffset) : -1;
    const { localPort, remotePort, sndNxt, rcvNxt, rcvWindow, tsRecent } = entry;
    return this.#bareSegment(route, localPort, remotePort, sndNxt, rcvNxt, TCP_ACK, rcvWindow, ts, tsRecent);
  }

  #passiveOpen(
    listener: TcpListener,
    seg: TcpView,
    bytes: Uint8Array,
    localAddress: number,
    remoteAddress: number,
  ): void {
    if (listener.full) {
      this.counters.listenOverflows++;
      // A queue that is full because nobody accepts is not helped by cookies.
      if (this.options.synCookies && listener.waiting() < listener.backlog)
        this.#sendCookie(seg, localAddress, remoteAddress);
      return;
    }
    if (this.table.size >= this.options.maxConnections) {
      this.counters.tableFull++;
      return;
    }
    const via = listener.settings.sourceRoute ?? this.host.receivedRoute ?? undefined;
    const route = this.host.tcpRoute(localAddress, remoteAddress, via);
    if (route === null) return;
    const { dstPort, srcPort } = seg;
    const { settings } = listener;
    const conn = this.create(this.#nextId++, localAddress, dstPort, remoteAddress, srcPort, route, settings);
    conn.listener = listener;
    listener.halfOpen++;
    conn.state = TcpState.SynRcvd;
    conn.irs = seg.seq;
    conn.rcvNxt = 1;
    conn.rcvAdv = 1;
    this.takeSynOptions(conn, seg);
    this.counters.passiveOpens++;
    this.observer?.opened(conn);
    const early = this.#takeFastOpen(listener, conn, seg, bytes);
    sendSyn(conn);
    if (early) listener.onConnection(conn);
  }

  /** The Fast Open option of a SYN (RFC 7413 section 4.2.2). @returns whether its data was taken. */
  #takeFastOpen(listener: TcpListener, conn: TcpConnection, seg: TcpView, bytes: Uint8Array): boolean {
    const { fastOpenLength, fastOpenAt, payloadLength, payloadOffset } = seg;
    if (fastOpenLength < 0 || listener.fastOpen === 0 || !this.options.fastOpenServer || this.observer !== null)
      return false;
    if (!this.fastOpen.valid(conn.remoteAddress, bytes, fastOpenAt, fastOpenLength)) {
      conn.fastOpenCookie = this.fastOpen.cookieFor(conn.remoteAddress);
      if (fastOpenLength > 0) this.counters.fastOpenRefused++;
      return false;
    }
    if (listener.fastPending >= listener.fastOpen || payloadLength > conn.receiveLimit) {
      this.counters.fastOpenRefused++;
      return false;
    }
    listener.fastPending++;
    this.counters.fastOpenPassive++;
    conn.fastOpened = true;
    if (payloadLength > 0) {
      conn.rcvNxt = 1 + payloadLength;
      conn.rcvAdv = conn.rcvNxt;
      conn.receiveQueue.push(Buffer.from(bytes.slice(payloadOffset, payloadOffset + payloadLength)));
      conn.receiveQueued = payloadLength;
    }
    return true;
  }

  // --- SYN cookies ---

  /** Answers a SYN with all that is to be remembered in the answer itself. */
  #sendCookie(seg: TcpView, localAddress: number, remoteAddress: number): void {
    const route = this.host.tcpRoute(localAddress, remoteAddress);
    if (route === null || this.frozen) return;
    this.counters.syncookiesSent++;
    this.#hashTuple(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
    const { hash } = this.host;
    const cookie = makeCookie(hash, this.#hashInput, this.#hashLength, seg.seq, this.now, seg.mss);
    hash.hash(this.#hashInput, this.#hashLength);
    const tsOffset = hash.hi >>> 0;
    const { frame, options } = this;
    const { view } = frame;
    frame.reset();
    const at = route.tcpOffset;
    view.setUint32(at + 20, 0x02040000 | (route.mtu - route.ipHeader - 20));
    let header = 24;
    if (seg.tsPresent && options.timestamps) {
      const scale = seg.windowScale >= 0 && options.windowScaling ? Math.min(14, seg.windowScale) : -1;
      const sack = seg.sackPermitted && options.sack;
      if (scale >= 0) {
        view.setUint32(at + header, 0x01030300 | scaleFor(options.receiveBuffer));
        header += 4;
      }
      if (sack) {
        view.setUint32(at + header, 0x01010402);
        header += 4;
      }
      view.setUint32(at + header, 0x0101080a);
      view.setUint32(at + header + 4, cookieTimestamp(this.#timestampAt(tsOffset), scale, sack));
      view.setUint32(at + header + 8, seg.tsVal);
      header += 12;
    }
    const window = Math.min(65_535, options.receiveBuffer);
    const ack = (seg.seq + 1) >>> 0;
    writeTcpHeader(frame.header, view, at, seg.dstPort, seg.srcPort, cookie, ack, TCP_SYN | TCP_ACK, window, 0, header);
    view.setUint16(at + 16, finish(sum16(frame.header, at, header, route.pseudoSum + header)));
    frame.headerLength = at + header - TX_HEADROOM;
    this.counters.outSegs++;
    route.send(header, 0);
  }

  /** An ACK for no connection may answer a cookie. @returns whether it was dealt with. */
  #cookieAnswer(
    listener: TcpListener,
    seg: TcpView,
    localAddress: number,
    remoteAddress: number,
    bytes: Uint8Array,
  ): boolean {
    if ((seg.flags & (TCP_SYN | TCP_ACK)) !== TCP_ACK || this.counters.syncookiesSent === 0) return false;
    this.#hashTuple(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
    const irs = (seg.seq - 1) >>> 0;
    const iss = (seg.ack - 1) >>> 0;
    const mss = checkCookie(this.host.hash, this.#hashInput, this.#hashLength, irs, this.now, iss);
    if (mss === 0) {
      this.counters.syncookiesFailed++;
      return false;
    }
    // No room for a connection that is complete: the peer tries again with its data.
    if (listener.waiting() >= listener.backlog || this.table.size >= this.options.maxConnections) return true;
    const route = this.host.tcpRoute(localAddress, remoteAddress);
    if (route === null) return true;
    this.counters.syncookiesReceived++;
    this.counters.passiveOpens++;
    const { dstPort, srcPort } = seg;
    const { settings } = listener;
    const conn = this.create(this.#nextId++, localAddress, dstPort, remoteAddress, srcPort, route, settings);
    conn.listener = listener;
    listener.halfOpen++;
    conn.state = TcpState.SynRcvd;
    conn.iss = iss;
    conn.irs = irs;
    conn.sndNxt = 1;
    conn.rcvNxt = 1;
    conn.rcvAdv = 1 + Math.min(65_535, conn.receiveLimit);
    conn.lastAckSent = 1;
    const { scale, sack } = cookieOptions(seg.tsPresent && this.options.timestamps ? seg.tsEcr : -1);
    conn.tsOk = seg.tsPresent && this.options.timestamps;
    conn.sackOk = sack;
    conn.sndScale = Math.max(0, scale);
    if (scale < 0) {
      conn.rcvScale = 0;
      conn.receiveMax = Math.min(conn.receiveMax, 65_535);
      conn.receiveLimit = Math.min(conn.receiveLimit, 65_535);
    }
    conn.tsRecent = seg.tsVal;
    conn.tsRecentAtUs = this.now;
    this.setMss(conn, mss);
    this.observer?.opened(conn);
    segmentArrives(conn, seg, bytes);
    return true;
  }

  /** What the peer's SYN says (MSS, window scale, SACK, timestamps), and what follows for us. */
  takeSynOptions(conn: TcpConnection, seg: TcpView): void {
    const active = conn.state === TcpState.SynSent;
    const { options } = this;
    conn.tsOk = seg.tsPresent && options.timestamps;
    conn.sackOk = seg.sackPermitted && options.sack;
    // A SYN asks with both bits, a SYN-ACK agrees with one (RFC 3168 section 6.1.1).
    const ecnBits = seg.flags & (TCP_ECE | TCP_CWR);
    if (active) conn.ecnOk = options.ecn === 'ask' && ecnBits === TCP_ECE;
    else conn.ecnOk = options.ecn !== 'off' && ecnBits === (TCP_ECE | TCP_CWR);
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
    const key = tupleKey(localAddress, localPort, remoteAddress, remotePort);
    const conn = new TcpConnection(this, id, key, localAddress, localPort, remoteAddress, remotePort, route, settings);
    this.#hashTuple(localAddress, localPort, remoteAddress, remotePort);
    // RFC 6528: a 4 us clock plus a keyed hash of the four-tuple; RFC 7323 section 5.4 for the timestamp's offset.
    conn.iss = (Math.floor(this.now / 4) + this.host.hash.hash(this.#hashInput, this.#hashLength)) >>> 0;
    conn.tsOffset = this.host.hash.hi >>> 0;
    conn.rcvScale = scaleFor(conn.receiveMax);
    conn.rcvMss = conn.route.mtu - conn.route.ipHeader - 20;
    if (conn.maxSegment > 0) conn.rcvMss = Math.min(conn.rcvMss, conn.maxSegment);
    conn.cc = conn.congestion(conn.sndMss);
    conn.lastReceiveUs = this.now;
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
    const key = tupleKey(localAddress, saved.localPort, remoteAddress, saved.remotePort);
    this.timeWaits.add({ ...saved, key, localAddress, remoteAddress, expiresUs: saved.expiresUs + shiftUs });
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
    this.observer?.removed(conn, code);
    conn.user?.onProgress(conn);
  }

  /** RST to the peer, then gone. */
  abort(conn: TcpConnection): void {
    if (!this.frozen && conn.state !== TcpState.SynSent && conn.state !== TcpState.Closed) {
      sendReset(conn);
      this.counters.outRsts++;
    }
    this.remove(conn, null);
  }

  /** The connection becomes a small record for 2 MSL. Its user has seen, or will see, an orderly end. */
  enterTimeWait(conn: TcpConnection): void {
    const entry: TimeWaitEntry = {
      key: conn.key,
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
    conn.state = TcpState.TimeWait;
    this.timeWaits.add(entry);
    this.observer?.timeWait(entry);
    // The last ACK leaves at once, as the connection that would send it is about to go; or, held back, in its name.
    output(conn);
    if (conn.ackNow && this.#owedAcks.length < MAX_OWED_ACKS) this.#owedAcks.push(entry);
    this.remove(conn, null);
  }

  // --- Output ---

  markDirty(conn: TcpConnection): void {
    if (conn.dirty || this.frozen || conn.removed) return;
    conn.dirty = true;
    this.#dirty.push(conn);
  }

  /** Sends what dirty connections have to send. @returns false when the device got busy; the rest stays dirty. */
  flush(): boolean {
    while (this.#owedAcks.length > 0) {
      if (!this.#timeWaitAck(this.#owedAcks.at(-1)!)) return false;
      this.#owedAcks.pop();
    }
    if (this.#dirty.length === 0) return true;
    const list = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = list;
    let busy = false;
    for (let i = 0; i < list.length; i++) {
      const conn = list[i]!;
      conn.dirty = false;
      if (conn.removed) continue;
      if (conn.log !== null) conn.noteState();
      if (conn.ackHint) {
        conn.ackHint = false;
        this.observer?.acked(conn);
      }
      if (busy || !output(conn)) {
        busy = true;
        this.markDirty(conn);
      }
    }
    list.length = 0;
    return !busy;
  }

  /** TSval of a segment sent now: milliseconds, offset per connection (RFC 7323 section 5.4). */
  timestamp(conn: TcpConnection): number {
    return this.#timestampAt(conn.tsOffset);
  }

  #timestampAt(offset: number): number {
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
    this.#replyReset(seg, conn.localAddress, conn.remoteAddress);
  }

  #replyReset(seg: TcpView, localAddress: number, remoteAddress: number): void {
    if (this.frozen) return;
    const route = this.host.tcpRoute(localAddress, remoteAddress);
    if (route === null) return;
    this.counters.outRsts++;
    if ((seg.flags & TCP_ACK) !== 0) {
      this.#bareSegment(route, seg.dstPort, seg.srcPort, seg.ack, 0, TCP_RST, 0, -1, 0);
    } else {
      const length = seg.payloadLength + ((seg.flags & TCP_SYN) !== 0 ? 1 : 0) + ((seg.flags & TCP_FIN) !== 0 ? 1 : 0);
      this.#bareSegment(route, seg.dstPort, seg.srcPort, 0, (seg.seq + length) >>> 0, TCP_RST | TCP_ACK, 0, -1, 0);
    }
  }

  #bareSegment(
    route: TcpRoute,
    localPort: number,
    remotePort: number,
    seq: number,
    ack: number,
    flags: number,
    window: number,
    tsVal: number,
    tsEcr: number,
  ): boolean {
    const frame = this.frame;
    frame.reset();
    const at = route.tcpOffset;
    const header = tsVal >= 0 ? 32 : 20;
    writeTcpHeader(frame.header, frame.view, at, localPort, remotePort, seq, ack, flags, window, 0, header);
    if (tsVal >= 0) {
      frame.view.setUint32(at + 20, 0x0101080a);
      frame.view.setUint32(at + 24, tsVal);
      frame.view.setUint32(at + 28, tsEcr);
    }
    frame.view.setUint16(at + 16, finish(sum16(frame.header, at, header, route.pseudoSum + header)));
    frame.headerLength = at + header - TX_HEADROOM;
    this.counters.outSegs++;
    return route.send(header, 0);
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
    this.#hashTuple(localAddress, 0, remoteAddress, remotePort);
    const start = this.host.hash.hash(this.#hashInput, this.#hashLength) + this.#nextPort;
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((start + i) % EPHEMERAL_COUNT);
      this.#nextPort++;
      if (
        this.table.find(localAddress, port, remoteAddress, remotePort) === null &&
        this.timeWaits.get(tupleKey(localAddress, port, remoteAddress, remotePort)) === undefined
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

  #hashTuple(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): void {
    const view = this.#hashView;
    let at = 8;
    if (isV6(localAddress)) {
      this.host.book.write(localAddress, this.#hashInput, 0);
      this.host.book.write(remoteAddress, this.#hashInput, 16);
      at = 32;
    } else {
      view.setUint32(0, localAddress);
      view.setUint32(4, remoteAddress);
    }
    view.setUint16(at, localPort);
    view.setUint16(at + 2, remotePort);
    this.#hashLength = at + 4;
  }
}

/** Text form of a four-tuple, for tables off the hot path. */
export function tupleKey(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): string {
  return `${localAddress}:${localPort}:${remoteAddress}:${remotePort}`;
}

/** Smallest window scale that can express the buffer (RFC 7323 section 2.3). */
function scaleFor(receiveLimit: number): number {
  let scale = 0;
  while (scale < 14 && 65_535 * 2 ** scale < receiveLimit) scale++;
  return scale;
}
