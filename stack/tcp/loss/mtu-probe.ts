/**
 * Larger segments after the path MTU had become smaller (RFC 8899 section 5.3.3, RFC 4821 section
 * 7.6, RFC 1191 section 6.3). Ten minutes later, one segment of the original size is sent among the
 * data. If it arrives, that size is used again. If it is lost, that is no sign of congestion: its
 * bytes are sent again in the smaller size, and a new probe follows later.
 */
import type { TcpConnection } from '../connection.js';

/** RFC 8899 section 5.1.1, PMTU_RAISE_TIMER. */
const RAISE_US = 600_000_000;
/** Full segments that must follow a probe, so that its loss is detected soon. */
const FOLLOWERS = 3;

/** The path takes only smaller segments now; `mss` in bytes. */
export function shrinkMss(conn: TcpConnection, mss: number): void {
  conn.log?.add(conn.tcp.now, 'mss', conn.sndMss, mss);
  if (conn.originalMss === 0) conn.originalMss = conn.sndMss;
  conn.sndMss = mss;
  conn.mtuProbeEnd = -1;
  conn.mtuProbeUs = conn.tcp.options.mtuProbing ? conn.tcp.now + RAISE_US : Number.POSITIVE_INFINITY;
}

/** Size of the probe to send now, in bytes, 0 for none. @param room bytes that may be sent */
export function probeSize(conn: TcpConnection, room: number): number {
  const { originalMss: fullMss, recovery } = conn;
  if (fullMss === 0 || conn.tcp.now < conn.mtuProbeUs || conn.mtuProbeEnd >= 0) return 0;
  const steady = conn.sackOk && !recovery.active && !recovery.afterTimeout && conn.reassembly.empty;
  return steady && room >= fullMss + FOLLOWERS * conn.sndMss ? fullMss : 0;
}

/** The probe has been sent; it ends at `end`. */
export function probeSent(conn: TcpConnection, end: number): void {
  conn.mtuProbeEnd = end;
  conn.tcp.counters.mtuProbes++;
}

/** Everything up to `ack` has arrived, perhaps with the probe. */
export function probeAcked(conn: TcpConnection, ack: number): void {
  if (ack < conn.mtuProbeEnd) return;
  conn.log?.add(conn.tcp.now, 'mss', conn.sndMss, conn.originalMss);
  conn.sndMss = conn.originalMss;
  conn.originalMss = 0;
  conn.mtuProbeEnd = -1;
  conn.tcp.counters.mtuRaised++;
}

/** [from, to) is retransmitted: if the probe is in it, the probe was lost. */
export function probeLost(conn: TcpConnection, from: number, to: number): void {
  const end = conn.mtuProbeEnd;
  if (end < 0 || from >= end || to <= end - conn.originalMss) return;
  conn.mtuProbeEnd = -1;
  conn.mtuProbeUs = conn.tcp.now + RAISE_US;
}

/** Whether only the probe is lost, which is no sign of congestion (RFC 8899 section 3). */
export function onlyProbeLost(conn: TcpConnection): boolean {
  const end = conn.mtuProbeEnd;
  if (end < 0 || conn.scoreboard.lost > conn.originalMss) return false;
  const from = conn.scoreboard.nextLost();
  return from >= end - conn.originalMss && from + conn.scoreboard.lost <= end;
}
