/**
 * Larger segments again after the path has become narrower (RFC 8899 section 5.3.3, RFC 4821 section 7.6, RFC 1191 section
 * 6.3): ten minutes later, one segment of the size that the handshake allowed goes among the data. If it arrives, all are of
 * that size again; if it is lost, that is no sign of congestion, its bytes go again in the smaller size, and it is tried again later.
 */
import type { TcpConnection } from '../connection.js';

/** RFC 8899 section 5.1.1, PMTU_RAISE_TIMER. */
const RAISE_US = 600_000_000;
/** Full segments that have to follow a probe at least, so that its loss is noticed soon. */
const FOLLOWERS = 3;

/** The path takes only smaller segments now. */
export function narrow(conn: TcpConnection, mss: number): void {
  conn.log?.add(conn.tcp.now, 'mss', conn.sndMss, mss);
  if (conn.fullMss === 0) conn.fullMss = conn.sndMss;
  conn.sndMss = mss;
  conn.mtuProbeEnd = -1;
  conn.mtuProbeUs = conn.tcp.options.mtuProbing ? conn.tcp.now + RAISE_US : Number.POSITIVE_INFINITY;
}

/** Size of the segment to try now, 0 for none. `room` is how much may be sent. */
export function probeSize(conn: TcpConnection, room: number): number {
  const { fullMss, recovery } = conn;
  if (fullMss === 0 || conn.tcp.now < conn.mtuProbeUs || conn.mtuProbeEnd >= 0) return 0;
  const calm = conn.sackOk && !recovery.active && !recovery.afterTimeout && conn.reassembly.empty;
  return calm && room >= fullMss + FOLLOWERS * conn.sndMss ? fullMss : 0;
}

/** The probe is on its way. */
export function probeSent(conn: TcpConnection, end: number): void {
  conn.mtuProbeEnd = end;
  conn.tcp.counters.mtuProbes++;
}

/** Everything up to `ack` has arrived, the probe among it if it was on its way. */
export function probeAcked(conn: TcpConnection, ack: number): void {
  if (ack < conn.mtuProbeEnd) return;
  conn.log?.add(conn.tcp.now, 'mss', conn.sndMss, conn.fullMss);
  conn.sndMss = conn.fullMss;
  conn.fullMss = 0;
  conn.mtuProbeEnd = -1;
  conn.tcp.counters.mtuRaised++;
}

/** [from, to) is sent again: the probe was lost if that is a part of it. */
export function probeLost(conn: TcpConnection, from: number, to: number): void {
  const end = conn.mtuProbeEnd;
  if (end < 0 || from >= end || to <= end - conn.fullMss) return;
  conn.mtuProbeEnd = -1;
  conn.mtuProbeUs = conn.tcp.now + RAISE_US;
}

/** Whether all that is lost is the probe, which says nothing of congestion (RFC 8899 section 3). */
export function onlyProbeLost(conn: TcpConnection): boolean {
  const end = conn.mtuProbeEnd;
  if (end < 0 || conn.sent.lost > conn.fullMss) return false;
  const from = conn.sent.nextLost();
  return from >= end - conn.fullMss && from + conn.sent.lost <= end;
}
