/**
 * The handshake with SYN cookies (RFC 4987 section 3.6): a SYN is answered without keeping
 * anything, and the connection is made when the ACK brings the cookie back. syn-cookie.ts has the
 * format.
 */
import { finish, sum16 } from '../../../lib/checksum.js';
import { TX_HEADROOM } from '../../../lib/device/device.js';
import { TCP_ACK, TCP_SYN, type TcpView, writeTcpHeader } from '../../../lib/packet/tcp.js';
import type { ConnectionListener, TcpConnection, TcpContext } from '../connection.js';
import type { Arrival } from '../receive/unmatched.js';
import { createHalfOpen } from './half-open.js';
import { COOKIE_LIFE_US, checkCookie, cookieOptions, cookieTimestamp, makeCookie } from './syn-cookie.js';
import { scaleFor, setMss, withoutScaling } from './syn-options.js';

/** Answers a SYN with a SYN-ACK that carries everything which would have to be remembered. */
export function sendCookie(tcp: TcpContext, arrival: Arrival): void {
  const { seg, localAddress, remoteAddress } = arrival;
  const route = tcp.host.tcpRoute(localAddress, remoteAddress);
  if (route === null || tcp.frozen) return;
  tcp.counters.syncookiesSent++;
  tcp.cookiesUntilUs = tcp.now + COOKIE_LIFE_US;
  tcp.tuple.take(localAddress, seg.dstPort, remoteAddress, seg.srcPort);
  const { hash } = tcp.host;
  const cookie = makeCookie(hash, tcp.tuple, seg.seq, tcp.now, seg.mss);
  hash.hash(tcp.tuple.bytes, tcp.tuple.length);
  const tsOffset = hash.hi >>> 0;
  const { frame } = tcp;
  const { view } = frame;
  frame.reset();
  // A cookie depends on nothing but the key, which all replicas have.
  frame.committed = true;
  const at = route.tcpOffset;
  view.setUint32(at + 20, 0x02040000 | (route.linkMtu - route.ipHeader - 20));
  const header = 24 + writeCookieOptions(tcp, seg, at + 24, tsOffset);
  const window = Math.min(65_535, tcp.options.receiveBuffer);
  const ack = (seg.seq + 1) >>> 0;
  writeTcpHeader(frame.header, view, at, {
    srcPort: seg.dstPort,
    dstPort: seg.srcPort,
    seq: cookie,
    ack,
    flags: TCP_SYN | TCP_ACK,
    window,
    urgent: 0,
    headerLength: header,
  });
  view.setUint16(at + 16, finish(sum16(frame.header, at, header, route.pseudoSum + header)));
  frame.headerLength = at + header - TX_HEADROOM;
  tcp.counters.outSegs++;
  route.send(header, 0);
}

/**
 * Window scale, SACK permitted and timestamps, if the SYN has timestamps to carry them.
 * @returns their length
 */
function writeCookieOptions(tcp: TcpContext, seg: TcpView, at: number, tsOffset: number): number {
  const { options } = tcp;
  if (!seg.tsPresent || !options.timestamps) return 0;
  const { view } = tcp.frame;
  let n = 0;
  const scale = seg.windowScale >= 0 && options.windowScaling ? Math.min(14, seg.windowScale) : -1;
  const sack = seg.sackPermitted && options.sack;
  if (scale >= 0) {
    view.setUint32(at + n, 0x01030300 | scaleFor(options.receiveBuffer));
    n += 4;
  }
  if (sack) {
    view.setUint32(at + n, 0x01010402);
    n += 4;
  }
  view.setUint32(at + n, 0x0101080a);
  view.setUint32(at + n + 4, cookieTimestamp(tcp.timestamp(tsOffset), scale, sack));
  view.setUint32(at + n + 8, seg.tsVal);
  n += 12;
  return n;
}

/**
 * A half-open connection gets an ACK that is not for its SYN-ACK but for a cookie: a predecessor,
 * which kept nothing, had answered the same SYN with a cookie, and its frames are processed again
 * after a takeover. The peer has that answer, so it counts, and the half-open connection goes.
 * @returns whether it was so
 */
export function cookieInstead(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): boolean {
  const { tcp, listener, localAddress, remoteAddress } = conn;
  const arrival = { seg, bytes, localAddress, remoteAddress };
  if (listener === null || tcp.now >= tcp.cookiesUntilUs || cookieMss(tcp, arrival) === 0) return false;
  tcp.remove(conn, null);
  return cookieAnswer(tcp, listener, arrival);
}

/** An ACK without a connection may answer a cookie. @returns whether it was dealt with */
export function cookieAnswer(tcp: TcpContext, listener: ConnectionListener, arrival: Arrival): boolean {
  const { seg } = arrival;
  if ((seg.flags & (TCP_SYN | TCP_ACK)) !== TCP_ACK || tcp.now >= tcp.cookiesUntilUs) return false;
  const mss = cookieMss(tcp, arrival);
  if (mss === 0) {
    tcp.counters.syncookiesFailed++;
    return false;
  }
  // No room for a connection that is complete: the peer tries again with its data.
  if (listener.waiting() >= listener.backlog || tcp.connectionCount >= tcp.options.maxConnections) return true;
  const conn = createHalfOpen(tcp, listener, arrival);
  if (conn === null) return true;
  tcp.counters.syncookiesReceived++;
  tcp.counters.passiveOpens++;
  recall(conn, seg, mss);
  tcp.observer?.opened(conn);
  tcp.arrives(conn, seg, arrival.bytes);
  return true;
}

/** The MSS in the cookie that the segment acknowledges; 0: it is no cookie of ours. */
function cookieMss(tcp: TcpContext, arrival: Arrival): number {
  const { seg } = arrival;
  tcp.tuple.take(arrival.localAddress, seg.dstPort, arrival.remoteAddress, seg.srcPort);
  return checkCookie(tcp.host.hash, tcp.tuple, (seg.seq - 1) >>> 0, tcp.now, (seg.ack - 1) >>> 0);
}

/** Gives the connection the state that it would have had if the SYN had been kept. */
function recall(conn: TcpConnection, seg: TcpView, mss: number): void {
  const { tcp } = conn;
  conn.iss = (seg.ack - 1) >>> 0;
  conn.irs = (seg.seq - 1) >>> 0;
  conn.sndNxt = 1;
  conn.rcvNxt = 1;
  conn.rcvAdv = 1 + Math.min(65_535, conn.receiveLimit);
  conn.lastAckSent = 1;
  conn.tsOk = seg.tsPresent && tcp.options.timestamps;
  const { scale, sack } = cookieOptions(conn.tsOk ? seg.tsEcr : -1);
  conn.sackOk = sack;
  conn.sndScale = Math.max(0, scale);
  if (scale < 0) withoutScaling(conn);
  conn.tsRecent = seg.tsVal;
  conn.tsRecentAtUs = tcp.now;
  setMss(conn, mss);
}
