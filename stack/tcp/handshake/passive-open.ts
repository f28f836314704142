/**
 * SYNs for a listener: a connection in SYN_RCVD, with Fast Open its data too (RFC 7413), or, when the backlog is full, a cookie
 * that has to come back (syn-cookie.ts).
 */
import { finish, sum16 } from '../../../lib/checksum.js';
import { TX_HEADROOM } from '../../../lib/device/device.js';
import { TCP_ACK, TCP_SYN, type TcpView, writeTcpHeader } from '../../../lib/packet/tcp.js';
import type { TcpConnection } from '../connection.js';
import { segmentArrives } from '../receive/input.js';
import { replyReset } from '../receive/unmatched.js';
import { sendSyn } from '../send/output.js';
import { TcpState } from '../state.js';
import { scaleFor, type Tcp } from '../tcp.js';
import type { TcpListener } from './listener.js';
import { COOKIE_LIFE_US, checkCookie, cookieOptions, cookieTimestamp, makeCookie } from './syn-cookie.js';

export function passiveOpen(
  tcp: Tcp,
  listener: TcpListener,
  seg: TcpView,
  bytes: Uint8Array,
  localAddress: number,
  remoteAddress: number,
): void {
  if (tcp.draining) {
    // Another server may take it.
    replyReset(tcp, seg, localAddress, remoteAddress);
    return;
  }
  if (listener.full) {
    tcp.counters.listenOverflows++;
    // A queue that is full because nobody accepts is not helped by cookies.
    if (tcp.options.synCookies && listener.waiting() < listener.backlog)
      sendCookie(tcp, seg, localAddress, remoteAddress);
    return;
  }
  if (tcp.table.size >= tcp.options.maxConnections) {
    tcp.counters.tableFull++;
    return;
  }
  const via = listener.settings.sourceRoute ?? tcp.host.receivedRoute ?? undefined;
  const route = tcp.host.tcpRoute(localAddress, remoteAddress, via);
  if (route === null) return;
  const { dstPort, srcPort } = seg;
  const { settings } = listener;
  const conn = tcp.create(tcp.takeId(), localAddress, dstPort, remoteAddress, srcPort, route, settings);
  conn.listener = listener;
  listener.halfOpen++;
  conn.state = TcpState.SynRcvd;
  conn.irs = seg.seq;
  conn.rcvNxt = 1;
  conn.rcvAdv = 1;
  tcp.takeSynOptions(conn, seg);
  tcp.counters.passiveOpens++;
  tcp.observer?.opened(conn);
  const early = takeFastOpen(tcp, listener, conn, seg, bytes);
  sendSyn(conn);
  if (early) listener.onConnection(conn);
}

/** The Fast Open option of a SYN (RFC 7413 section 4.2.2). @returns whether its data was taken. */
export function takeFastOpen(
  tcp: Tcp,
  listener: TcpListener,
  conn: TcpConnection,
  seg: TcpView,
  bytes: Uint8Array,
): boolean {
  const { fastOpenLength, fastOpenAt, payloadLength, payloadOffset } = seg;
  if (fastOpenLength < 0 || listener.fastOpen === 0 || !tcp.options.fastOpenServer || tcp.observer !== null)
    return false;
  if (!tcp.fastOpen.valid(conn.remoteAddress, bytes, fastOpenAt, fastOpenLength)) {
    conn.fastOpenCookie = tcp.fastOpen.cookieFor(conn.remoteAddress);
    if (fastOpenLength > 0) tcp.counters.fastOpenRefused++;
    return false;
  }
  if (listener.fastPending >= listener.fastOpen || payloadLength > conn.receiveLimit) {
    tcp.counters.fastOpenRefused++;
    return false;
  }
  listener.fastPending++;
  tcp.counters.fastOpenPassive++;
  conn.fastOpened = true;
  if (payloadLength > 0) {
    conn.rcvNxt = 1 + payloadLength;
    conn.rcvAdv = conn.rcvNxt;
    conn.enqueue(Buffer.from(bytes.slice(payloadOffset, payloadOffset + payloadLength)), 0, payloadLength);
  }
  return true;
}

// --- SYN cookies ---

/** Answers a SYN with all that is to be remembered in the answer itself. */
export function sendCookie(tcp: Tcp, seg: TcpView, localAddress: number, remoteAddress: number): void {
  const route = tcp.host.tcpRoute(localAddress, remoteAddress);
  if (route === null || tcp.frozen) return;
  tcp.counters.syncookiesSent++;
  tcp.cookiesUntilUs = tcp.now + COOKIE_LIFE_US;
  tcp.tuple.take(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
  const { hash } = tcp.host;
  const cookie = makeCookie(hash, tcp.tuple.bytes, tcp.tuple.length, seg.seq, tcp.now, seg.mss);
  hash.hash(tcp.tuple.bytes, tcp.tuple.length);
  const tsOffset = hash.hi >>> 0;
  const { frame, options } = tcp;
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
    view.setUint32(at + header + 4, cookieTimestamp(tcp.timestampAt(tsOffset), scale, sack));
    view.setUint32(at + header + 8, seg.tsVal);
    header += 12;
  }
  const window = Math.min(65_535, options.receiveBuffer);
  const ack = (seg.seq + 1) >>> 0;
  writeTcpHeader(frame.header, view, at, seg.dstPort, seg.srcPort, cookie, ack, TCP_SYN | TCP_ACK, window, 0, header);
  view.setUint16(at + 16, finish(sum16(frame.header, at, header, route.pseudoSum + header)));
  frame.headerLength = at + header - TX_HEADROOM;
  tcp.counters.outSegs++;
  // It depends on nothing but the key that all replicas have.
  frame.committed = true;
  route.send(header, 0);
}

/**
 * A half-open connection gets an acknowledgement that is not for its SYN-ACK but for a cookie: the same SYN was answered with
 * one before, by a predecessor that kept nothing (its frames are looked at again after a takeover). The peer has that
 * answer, so it counts. @returns whether it was so.
 */
export function cookieInstead(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): boolean {
  const { tcp, listener, localAddress, remoteAddress } = conn;
  if (listener === null || tcp.now >= tcp.cookiesUntilUs) return false;
  tcp.tuple.take(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
  const [irs, iss] = [(seg.seq - 1) >>> 0, (seg.ack - 1) >>> 0];
  if (checkCookie(tcp.host.hash, tcp.tuple.bytes, tcp.tuple.length, irs, tcp.now, iss) === 0) return false;
  tcp.remove(conn, null);
  return cookieAnswer(tcp, listener, seg, localAddress, remoteAddress, bytes);
}

/** An ACK for no connection may answer a cookie. @returns whether it was dealt with. */
export function cookieAnswer(
  tcp: Tcp,
  listener: TcpListener,
  seg: TcpView,
  localAddress: number,
  remoteAddress: number,
  bytes: Uint8Array,
): boolean {
  if ((seg.flags & (TCP_SYN | TCP_ACK)) !== TCP_ACK || tcp.now >= tcp.cookiesUntilUs) return false;
  tcp.tuple.take(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
  const irs = (seg.seq - 1) >>> 0;
  const iss = (seg.ack - 1) >>> 0;
  const mss = checkCookie(tcp.host.hash, tcp.tuple.bytes, tcp.tuple.length, irs, tcp.now, iss);
  if (mss === 0) {
    tcp.counters.syncookiesFailed++;
    return false;
  }
  // No room for a connection that is complete: the peer tries again with its data.
  if (listener.waiting() >= listener.backlog || tcp.table.size >= tcp.options.maxConnections) return true;
  const route = tcp.host.tcpRoute(localAddress, remoteAddress);
  if (route === null) return true;
  tcp.counters.syncookiesReceived++;
  tcp.counters.passiveOpens++;
  const { dstPort, srcPort } = seg;
  const { settings } = listener;
  const conn = tcp.create(tcp.takeId(), localAddress, dstPort, remoteAddress, srcPort, route, settings);
  conn.listener = listener;
  listener.halfOpen++;
  conn.state = TcpState.SynRcvd;
  conn.iss = iss;
  conn.irs = irs;
  conn.sndNxt = 1;
  conn.rcvNxt = 1;
  conn.rcvAdv = 1 + Math.min(65_535, conn.receiveLimit);
  conn.lastAckSent = 1;
  const { scale, sack } = cookieOptions(seg.tsPresent && tcp.options.timestamps ? seg.tsEcr : -1);
  conn.tsOk = seg.tsPresent && tcp.options.timestamps;
  conn.sackOk = sack;
  conn.sndScale = Math.max(0, scale);
  if (scale < 0) {
    conn.rcvScale = 0;
    conn.receiveMax = Math.min(conn.receiveMax, 65_535);
    conn.receiveLimit = Math.min(conn.receiveLimit, 65_535);
  }
  conn.tsRecent = seg.tsVal;
  conn.tsRecentAtUs = tcp.now;
  tcp.setMss(conn, mss);
  tcp.observer?.opened(conn);
  segmentArrives(conn, seg, bytes);
  return true;
}
