/** The options of SYN segments: MSS, window scale, SACK and timestamps, as they are agreed on. */
import type { TcpView } from '../../../lib/packet/tcp.js';
import type { TcpConnection } from '../connection.js';
import { takeSyn } from '../loss/ecn.js';

/**
 * Takes the options of the peer's SYN or SYN-ACK, and sets what follows from them for this
 * connection.
 */
export function takeSynOptions(conn: TcpConnection, seg: TcpView): void {
  const { tcp } = conn;
  const { options } = tcp;
  conn.tsOk = seg.tsPresent && options.timestamps;
  conn.sackOk = seg.sackPermitted && options.sack;
  takeSyn(conn, seg);
  if (seg.windowScale >= 0 && options.windowScaling) conn.sndScale = Math.min(14, seg.windowScale);
  else {
    conn.sndScale = 0;
    withoutScaling(conn);
  }
  if (conn.tsOk) {
    conn.tsRecent = seg.tsVal;
    conn.tsRecentAtUs = tcp.now;
  }
  conn.sndWnd = seg.window;
  conn.maxSndWnd = seg.window;
  // The default when the peer offers none (RFC 9293 MUST-15).
  const offered = seg.mss > 0 ? Math.max(64, seg.mss) : conn.route.version === 6 ? 1220 : 536;
  setMss(conn, offered);
}

/** Without window scaling the window, and so the receive buffer, is 65 535 bytes at max. */
export function withoutScaling(conn: TcpConnection): void {
  conn.rcvScale = 0;
  conn.receiveMax = Math.min(conn.receiveMax, 65_535);
  conn.receiveLimit = Math.min(conn.receiveLimit, 65_535);
}

/**
 * Sets the sending MSS from the peer's offer and the path, and starts the congestion controller
 * with it.
 */
export function setMss(conn: TcpConnection, offered: number): void {
  const path = conn.route.mtu - conn.route.ipHeader - 20;
  const max = conn.maxSegment > 0 ? Math.min(path, conn.maxSegment) : path;
  conn.sndMss = Math.max(48, Math.min(offered, max) - (conn.tsOk ? 12 : 0));
  conn.cc = conn.congestion(conn.sndMss);
}

/** Smallest window scale that can express the buffer (RFC 7323 section 2.3). */
export function scaleFor(receiveLimit: number): number {
  let scale = 0;
  while (scale < 14 && 65_535 * 2 ** scale < receiveLimit) scale++;
  return scale;
}
