/**
 * A SYN for a listener (RFC 9293 section 3.10.7.2): a connection in SYN-RECEIVED, which takes the
 * SYN's data with Fast Open (RFC 7413). When the backlog is full, the answer is a cookie instead
 * (cookie-handshake.ts).
 */
import type { TcpConnection, TcpContext } from '../connection.js';
import { type Arrival, replyReset } from '../receive/unmatched.js';
import { sendSyn } from '../send/segment.js';
import { sendCookie } from './cookie-handshake.js';
import { createHalfOpen } from './half-open.js';
import type { TcpListener } from './listener.js';
import { takeSynOptions } from './syn-options.js';

/** Answers a SYN for a listener. */
export function passiveOpen(tcp: TcpContext, listener: TcpListener, arrival: Arrival): void {
  const { seg, localAddress, remoteAddress } = arrival;
  if (tcp.draining) {
    // Another server may take it.
    replyReset(tcp, seg, localAddress, remoteAddress);
    return;
  }
  if (listener.full) {
    tcp.counters.listenOverflows++;
    // Cookies do not help a queue that is full because nobody accepts.
    if (tcp.options.synCookies && listener.waiting() < listener.backlog) sendCookie(tcp, arrival);
    return;
  }
  if (tcp.connectionCount >= tcp.options.maxConnections) {
    tcp.counters.tableFull++;
    return;
  }
  const via = listener.settings.sourceRoute ?? tcp.host.receivedRoute ?? undefined;
  const conn = createHalfOpen(tcp, listener, arrival, via);
  if (conn === null) return;
  conn.irs = seg.seq;
  conn.rcvNxt = 1;
  conn.rcvAdv = 1;
  takeSynOptions(conn, seg);
  conn.synHeld = listener.onSyn !== null;
  tcp.counters.passiveOpens++;
  tcp.observer?.opened(conn);
  const early = takeFastOpen(conn, listener, arrival);
  sendSyn(conn);
  if (early) listener.onConnection(conn);
  listener.onSyn?.(conn);
}

/** The Fast Open option of a SYN (RFC 7413 section 4.2.2). @returns whether its data was taken */
function takeFastOpen(conn: TcpConnection, listener: TcpListener, arrival: Arrival): boolean {
  const { tcp } = conn;
  const { bytes } = arrival;
  const { fastOpenLength, fastOpenAt, payloadLength, payloadOffset } = arrival.seg;
  if (fastOpenLength < 0 || listener.fastOpen === 0 || conn.synHeld) return false;
  if (!tcp.options.fastOpenServer || tcp.observer !== null) return false;
  if (!tcp.fastOpen.valid(conn.remoteAddress, bytes, fastOpenAt, fastOpenLength)) {
    conn.fastOpenCookie = tcp.fastOpen.cookieFor(conn.remoteAddress);
    if (fastOpenLength > 0) tcp.counters.fastOpenRefused++;
    return false;
  }
  if (listener.fastOpenPending >= listener.fastOpen || payloadLength > conn.receiveLimit) {
    tcp.counters.fastOpenRefused++;
    return false;
  }
  listener.fastOpenPending++;
  tcp.counters.fastOpenPassive++;
  conn.fastOpened = true;
  if (payloadLength > 0) {
    conn.rcvNxt = 1 + payloadLength;
    conn.rcvAdv = conn.rcvNxt;
    conn.enqueue(Buffer.from(bytes.slice(payloadOffset, payloadOffset + payloadLength)), 0, payloadLength);
  }
  return true;
}
