/**
 * What the timers send: retransmissions after a timeout, and probes of the tail, of a closed window
 * and of an idle peer.
 */
import { TCP_ACK } from '../../../lib/packet/tcp.js';
import { type TcpConnection, Timer } from '../connection.js';
import { shrinkMss } from '../loss/mtu-probe.js';
import { timeoutLoss } from '../loss/recovery.js';
import { TcpState } from '../state.js';
import { sendNew } from './output.js';
import { bare, sendSegment, sendSyn } from './segment.js';

/** Timeouts in a row after which the next hop is suspected. */
const ADVISE_AFTER = 2;
/**
 * Timeouts in a row after which the path is suspected of swallowing large segments (RFC 4821
 * section 7.2).
 */
const BLACK_HOLE_AFTER = 3;
/** The segment size that is then tried. */
const BLACK_HOLE_MSS = 1024;

/**
 * Tail loss probe (RFC 8985 section 7.3): new data if the window allows it, else the last segment
 * again.
 */
export function sendTailProbe(conn: TcpConnection, nowUs: number): void {
  const { recovery } = conn;
  if (conn.flightSize === 0 || conn.scoreboard.lost > 0 || recovery.active || recovery.afterTimeout) return;
  const before = conn.sndNxt;
  recovery.limitedTransmit += conn.sndMss;
  sendNew(conn);
  recovery.limitedTransmit -= conn.sndMss;
  recovery.tlpIsRetransmission = conn.sndNxt === before;
  if (recovery.tlpIsRetransmission) {
    const from = Math.max(conn.sndUna, conn.sndNxt - conn.sndMss);
    // Stopped by the device or the gate: the retransmission timer follows.
    if (sendSegment(conn, from, conn.sndNxt - from, true, false) <= 0) return;
    conn.scoreboard.markRetransmitted(from, conn.sndNxt, nowUs);
    conn.retransmissions++;
    conn.tcp.counters.retransSegs++;
  }
  conn.tcp.counters.tailProbes++;
  recovery.tlpEnd = conn.sndNxt;
  conn.log?.add(nowUs, 'probe', conn.sndNxt, recovery.tlpIsRetransmission ? 1 : 0);
  conn.setTimer(Timer.Retransmit, nowUs + conn.rtt.rtoUs());
}

/** The retransmission timer has expired (RFC 6298 section 5, RFC 5681 section 3.1). */
export function retransmitTimeout(conn: TcpConnection, nowUs: number): void {
  conn.tcp.counters.rtoTimeouts++;
  // Advice to the layer below when nothing comes back (RFC 1122 section 3.3.1.4).
  if (conn.rtt.backoff >= ADVISE_AFTER) {
    conn.route.suspect();
    conn.user?.onSoftError?.(conn);
  }
  if (conn.state === TcpState.SynSent || conn.state === TcpState.SynRcvd) {
    conn.rtt.backoff++;
    if (!conn.synHeld) conn.tcp.counters.retransSegs++;
    sendSyn(conn);
    return;
  }
  if (conn.flightSize === 0) return;
  timeoutLoss(conn);
  conn.rtt.backoff++;
  if (conn.rtt.backoff === BLACK_HOLE_AFTER && conn.tcp.options.mtuProbing) shrinkSegments(conn);
  conn.setTimer(Timer.Retransmit, nowUs + conn.rtt.rtoUs());
  conn.tcp.markDirty(conn);
}

/**
 * Path MTU black hole: full segments vanish without an ICMP error, small ones may pass (RFC 2923
 * section 2.1, RFC 4821 section 7.7).
 */
function shrinkSegments(conn: TcpConnection): void {
  if (conn.sndMss <= BLACK_HOLE_MSS || conn.flightSize < conn.sndMss) return;
  shrinkMss(conn, BLACK_HOLE_MSS);
  conn.tcp.counters.blackHoles++;
}

/** Window probe: an old sequence number, which any peer answers with its window. */
export function sendWindowProbe(conn: TcpConnection, nowUs: number): void {
  if (conn.flightSize > 0 || conn.sndNxt >= conn.sndLimit) return;
  conn.rtt.backoff++;
  conn.tcp.counters.windowProbes++;
  conn.log?.add(nowUs, 'window-probe', conn.rtt.backoff, conn.sndLimit - conn.sndNxt);
  bare(conn, conn.sndUna - 1, TCP_ACK);
  conn.setTimer(Timer.Persist, nowUs + conn.rtt.rtoUs());
  conn.tcp.markDirty(conn);
}

/**
 * Keepalive probe: an old sequence number, which a living peer answers (RFC 9293 section 3.8.4).
 */
export function sendKeepalive(conn: TcpConnection): void {
  conn.tcp.counters.keepalives++;
  bare(conn, conn.sndUna - 1, TCP_ACK);
}
