/**
 * The receive window (RFC 9293 section 3.8.6): what is offered to the peer, and how the buffer
 * behind it grows. The right edge never moves left (RFC 9293 SHLD-14).
 */
import type { TcpConnection } from './connection.js';
import { TcpState } from './state.js';

/** Timestamps are milliseconds, so a shorter round trip cannot be measured. */
const MIN_TUNE_US = 1000;

/**
 * The right edge that can be offered now, as an offset from IRS; never left of the one offered
 * before.
 */
export function rightEdge(conn: TcpConnection): number {
  const room = Math.max(0, conn.receiveLimit - conn.receiveQueued);
  const edge = conn.rcvNxt + room;
  // Silly window avoidance (RFC 1122 section 4.2.3.3): the edge moves in steps worth an
  // announcement.
  if (edge - conn.rcvAdv < Math.min(conn.receiveLimit / 2, 2 * conn.rcvMss)) return conn.rcvAdv;
  return edge;
}

/** The user has taken `bytes` of the first chunk: the window may open, and the buffer may grow. */
export function chunkRead(conn: TcpConnection, bytes: number): void {
  conn.receiveQueued -= bytes;
  tuneReceiveLimit(conn, bytes);
  updateWindow(conn);
}

/** After a read: tells the peer when the window has opened far enough. */
function updateWindow(conn: TcpConnection): void {
  if (conn.state < TcpState.Established || conn.peerFin) return;
  const edge = rightEdge(conn);
  if (edge <= conn.rcvAdv) return;
  const offered = conn.rcvAdv - conn.rcvNxt;
  if (edge - conn.rcvAdv >= conn.receiveLimit / 4 || offered < 2 * conn.rcvMss) {
    conn.ackNow = true;
    conn.tcp.markDirty(conn);
  }
}

/** A reader that takes more than half of the window in a round trip could use a larger one. */
function tuneReceiveLimit(conn: TcpConnection, bytes: number): void {
  if (conn.receiveLimit >= conn.receiveMax) return;
  const { now } = conn.tcp;
  conn.readBytes += bytes;
  if (now - conn.readSinceUs < Math.max(MIN_TUNE_US, conn.rcvRttUs, conn.rtt.srttUs)) return;
  if (2 * conn.readBytes > conn.receiveLimit) conn.receiveLimit = Math.min(conn.receiveMax, 2 * conn.receiveLimit);
  conn.readBytes = 0;
  conn.readSinceUs = now;
}

/** Moves the advertised right edge on, for an acknowledgement of `rcv`. */
export function advertise(conn: TcpConnection, rcv: number): void {
  // A successor honours the edge that it knows of, and a buffer behind it.
  const edge = Math.min(rightEdge(conn), rcv + conn.receiveLimit);
  if (edge > conn.rcvAdv) conn.rcvAdv = edge;
}

/** The window field of a SYN, which is not scaled (RFC 7323 section 2.2). */
export function synWindowField(conn: TcpConnection, rcv: number): number {
  const window = Math.min(65_535, conn.receiveLimit);
  conn.rcvAdv = Math.max(conn.rcvAdv, rcv + window);
  return window;
}

/**
 * The window field of a segment that acknowledges `rcv`; its rounding to the scale never moves the
 * right edge left.
 */
export function windowField(conn: TcpConnection, rcv: number): number {
  const offered = conn.rcvAdv - rcv;
  const unit = 1 << conn.rcvScale;
  const room = conn.rcvNxt - rcv + conn.receiveLimit - conn.receiveQueued + 65_536;
  let units = Math.ceil(offered / unit);
  // Rounding up at every segment must not let the window creep beyond the buffer.
  if (units * unit > room) units = Math.floor(offered / unit);
  units = Math.max(0, Math.min(65_535, units));
  conn.rcvAdv = Math.max(conn.rcvAdv, rcv + units * unit);
  return units;
}
