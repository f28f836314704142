/**
 * Decides what a connection sends next: lost data first, then new data, then a bare ACK. Nothing
 * here keeps state of its own. When the gate or the device takes no more, the connection stays in
 * the list of dirty connections.
 */
import { TCP_ACK } from '../../../lib/packet/tcp.js';
import { type TcpConnection, Timer } from '../connection.js';
import { answersSyn, countSurvivesOffload } from '../loss/ecn.js';
import { attachLossState } from '../loss/loss-state.js';
import { probeLost, probeSent, probeSize } from '../loss/mtu-probe.js';
import { newDataFirst, pipe, retransmitted } from '../loss/recovery.js';
import { TcpState } from '../state.js';
import { outputLimit } from './output-commit.js';
import { bare, segmentSize, sendSegment, sendSyn } from './segment.js';

/**
 * Largest TCP payload of a super-segment: the IP total length is 16 bits; headers with options stay
 * below 120 bytes.
 */
const MAX_SUPER_SEGMENT = 65_535 - 120;
/** Pacing does not wait for less than the grain of the timers, in microseconds. */
const PACE_AHEAD_US = 1000;
/**
 * Tail loss probe: time added to two round trips, and for a single segment, which may meet a
 * delayed ACK.
 */
const PROBE_MARGIN_US = 2000;
const PROBE_DELAYED_ACK_US = 200_000;

/**
 * Sends everything that may be sent now.
 * @returns false when the device was busy; the caller tries again when it is writable
 */
export function output(conn: TcpConnection): boolean {
  if (conn.removed || conn.tcp.frozen) return true;
  if (conn.state < TcpState.Established) {
    if (conn.synDue && !sendSyn(conn)) return false;
    if (conn.state !== TcpState.SynRcvd) return true;
    // With Fast Open the user has the connection before its handshake is complete.
    if (!conn.fastOpened) return sendAckIfDue(conn);
  }
  if (conn.ackNow && answersSyn(conn) && !sendAckIfDue(conn)) return false;
  let sent = false;
  if (conn.sndLimit > conn.sndUna) {
    const again = newDataFirst(conn) ? 0 : retransmitLost(conn);
    if (again < 0) return false;
    const fresh = sendNew(conn);
    if (fresh < 0) return false;
    sent = again + fresh > 0;
    armAfterSend(conn);
  }
  if (sent) return true;
  return sendAckIfDue(conn);
}

/**
 * Sends lost data again, as the congestion window allows.
 * @returns segments sent, or -1 when the device is busy.
 */
function retransmitLost(conn: TcpConnection): number {
  const { scoreboard, recovery, tcp } = conn;
  if (scoreboard.lost === 0) return 0;
  let count = 0;
  let inPipe = pipe(conn);
  const mss = segmentSize(conn);
  for (;;) {
    const from = scoreboard.nextLost();
    if (from < 0) return count;
    // One segment may always be sent, the rest as the congestion window allows.
    const first = recovery.retransmitFirst || (inPipe === 0 && count === 0);
    if (inPipe + mss > conn.cc.cwnd && !first) return count;
    const length = Math.min(mss, scoreboard.lostRangeEnd - from);
    const covered = sendSegment(conn, from, length, from + length >= conn.sndEnd, false);
    if (covered < 0) return -1;
    if (covered === 0) return count;
    scoreboard.markRetransmitted(from, from + covered, tcp.now);
    retransmitted(conn, from, from + covered);
    if (conn.mtuProbeEnd >= 0) probeLost(conn, from, from + covered);
    // The answer to the retransmitted head takes a round trip from now.
    if (from === conn.sndUna) conn.setTimer(Timer.Retransmit, tcp.now + conn.rtt.rtoUs());
    recovery.retransmitFirst = false;
    if (recovery.active) recovery.prrOut += covered;
    inPipe += covered;
    conn.retransmissions++;
    conn.bytesRetransmitted += covered;
    tcp.counters.retransSegs++;
    count++;
  }
}

/**
 * Send times are kept to a 64th of the round trip: a range per segment would be too many on a long
 * fat path.
 */
function timeGrain(conn: TcpConnection): number {
  // Whole microseconds: V8 keeps no object for them.
  return conn.rtt.minUs === Number.POSITIVE_INFINITY ? 0 : Math.min(1000, conn.rtt.minUs / 64) | 0;
}

/** Sends new data, and the FIN. @returns segments sent, or -1 when the device is busy. */
export function sendNew(conn: TcpConnection): number {
  const committed = outputLimit(conn);
  let limit = conn.sndLimit;
  if (committed !== null && committed.snd < limit) {
    limit = Math.min(limit, Math.max(committed.snd, conn.sndNxt));
    committed.waiting ||= limit < conn.sndLimit;
  }
  const { recovery } = conn;
  const mss = segmentSize(conn);
  const paced = conn.tcp.options.pacing && conn.rtt.srttUs > 0;
  const max = maxSegment(conn, mss, paced);
  const idle = conn.flightSize === 0 && conn.bytesSent > 0 && conn.tcp.now - conn.lastSendUs > conn.rtt.rtoUs();
  if (idle && conn.tcp.options.slowStartAfterIdle && conn.sndNxt < limit) conn.cc.onIdle();
  let count = 0;
  let inPipe = -1;
  while (conn.sndNxt < limit) {
    if (paced && conn.tcp.now + PACE_AHEAD_US < conn.paceUs) {
      conn.setTimer(Timer.Pace, conn.paceUs - PACE_AHEAD_US);
      break;
    }
    if (inPipe < 0) inPipe = pipe(conn);
    const window = conn.sndUna + conn.sndWnd - conn.sndNxt;
    const cwnd = conn.cc.cwnd + recovery.limitedTransmit - inPipe;
    const room = Math.min(limit - conn.sndNxt, window, cwnd);
    const length = newLength(conn, limit, mss, Math.min(room, max));
    if (length === 0) break;
    const sent = sendNewSegment(conn, length, mss, room);
    if (sent < 0) return -1;
    if (sent === 0) break;
    if (paced) conn.paceUs = Math.max(conn.paceUs, conn.tcp.now) + sent / pacingRate(conn);
    inPipe += sent;
    count++;
  }
  return count;
}

/** Largest payload of one frame: a segment, or a super-segment that the device cuts. */
function maxSegment(conn: TcpConnection, mss: number, paced: boolean): number {
  if (!conn.route.canSegment || !countSurvivesOffload(conn)) return mss;
  const together = paced ? Math.max(2 * mss, pacingRate(conn) * PACE_AHEAD_US) : MAX_SUPER_SEGMENT;
  return Math.max(mss, Math.floor(Math.min(MAX_SUPER_SEGMENT, together) / mss) * mss);
}

/** Sequence numbers that the next new segment takes out of `allowed`, or 0: it has to wait. */
function newLength(conn: TcpConnection, limit: number, mss: number, allowed: number): number {
  const left = limit - conn.sndNxt;
  const data = Math.min(conn.sndEnd, limit) - conn.sndNxt;
  let length = allowed;
  if (length < left || length < mss) {
    // A FIN alone needs no window.
    if (data === 0) length = 1;
    else if (length <= 0) return 0;
    else if (length >= mss) {
      if (length < left) length -= length % mss;
    } else if (!smallSegmentAllowed(conn, length, data)) return 0;
  }
  if (length > mss && length === left && data % mss !== 0 && nagleHolds(conn)) {
    // Nagle holds the short tail back; the full segments before it may go.
    length -= data % mss;
  }
  return length;
}

/** Sends one new segment, or the probe of a larger size. @returns as `sendSegment` does */
function sendNewSegment(conn: TcpConnection, length: number, mss: number, room: number): number {
  // The CWR flag goes with one segment, which must not be multiplied.
  const slowed = conn.cwrDue && conn.sndNxt < conn.sndEnd;
  if (slowed) length = Math.min(length, mss);
  const probe = conn.originalMss === 0 ? 0 : probeSize(conn, room);
  const usual = conn.sndMss;
  if (probe > 0) {
    conn.sndMss = probe;
    length = probe;
  }
  const sent = sendSegment(conn, conn.sndNxt, length, conn.sndNxt + length >= conn.sndEnd, slowed);
  conn.sndMss = usual;
  if (sent <= 0) return sent;
  if (probe > 0) probeSent(conn, conn.sndNxt + sent);
  if (slowed) conn.cwrDue = false;
  if (conn.flightSize === 0) conn.progressUs = conn.tcp.now;
  attachLossState(conn).push(conn.sndNxt + sent, conn.tcp.now, timeGrain(conn));
  if (conn.recovery.active) conn.recovery.prrOut += sent;
  conn.sndNxt += sent;
  return sent;
}

/** Nagle (RFC 9293 section 3.7.4): a short segment waits while data is unacknowledged. */
function nagleHolds(conn: TcpConnection): boolean {
  return !conn.noDelay && !conn.finQueued && !noDataInFlight(conn);
}

/**
 * Bytes per microsecond: the window in a round trip, twice that while it doubles, a fifth more
 * while it grows slowly.
 */
function pacingRate(conn: TcpConnection): number {
  const { cc, rtt } = conn;
  return ((cc.cwnd < cc.ssthresh ? 2 : 1.2) * cc.cwnd) / rtt.srttUs;
}

/** No data is in flight; a SYN may be (Fast Open). */
function noDataInFlight(conn: TcpConnection): boolean {
  return conn.flightSize === 0 || (conn.sndUna === 0 && conn.sndNxt === 1);
}

/**
 * Nagle (RFC 9293 section 3.7.4) and sender-side silly window avoidance (RFC 1122 section 4.2.3.4).
 */
function smallSegmentAllowed(conn: TcpConnection, length: number, data: number): boolean {
  const all = length >= data;
  if (conn.corked && !conn.finQueued) return false;
  if (all && !nagleHolds(conn)) return true;
  return length >= conn.maxSndWnd / 2;
}

function armAfterSend(conn: TcpConnection): void {
  const now = conn.tcp.now;
  if (conn.flightSize > 0) {
    if (conn.deadlines[Timer.Retransmit] === Number.POSITIVE_INFINITY) {
      conn.setTimer(Timer.Retransmit, now + conn.rtt.rtoUs());
    }
    conn.clearTimer(Timer.Persist);
    armProbe(conn, now);
  } else if (conn.sndNxt < conn.sndLimit && conn.deadlines[Timer.Persist] === Number.POSITIVE_INFINITY) {
    conn.setTimer(Timer.Persist, now + conn.rtt.rtoUs());
  }
}

/**
 * Tail loss probe (RFC 8985 section 7.2): after two round trips without an answer, but not later
 * than the retransmission timer, which then follows the probe (timers.ts).
 */
function armProbe(conn: TcpConnection, now: number): void {
  const { recovery } = conn;
  const troubled = recovery.active || recovery.afterTimeout || conn.scoreboard.lost > 0 || conn.rtt.backoff > 0;
  if (!conn.sackOk || conn.rtt.srttUs === 0 || recovery.tlpEnd >= 0 || troubled) {
    conn.clearTimer(Timer.Probe);
    return;
  }
  let timeout = 2 * conn.rtt.srttUs + PROBE_MARGIN_US;
  // A single segment may meet a delayed acknowledgement.
  if (conn.flightSize <= conn.sndMss) timeout += PROBE_DELAYED_ACK_US;
  conn.setTimer(Timer.Probe, Math.min(now + timeout, conn.deadlines[Timer.Retransmit]));
}

/**
 * Sends the bare ACKs that are due, one per out-of-order segment, so that the peer can count them.
 */
function sendAckIfDue(conn: TcpConnection): boolean {
  if (!conn.ackNow) return true;
  const limit = outputLimit(conn);
  if (limit !== null && (limit.rcv < conn.rcvNxt || !limit.sacks)) {
    limit.waiting = true;
    // Acknowledges what is committed; the same ACK twice would look like a loss.
    if (limit.rcv > conn.lastAckSent) bare(conn, conn.sndNxt, TCP_ACK);
    return false;
  }
  let due = Math.max(1, conn.dupAcksDue);
  while (due-- > 0) {
    if (!bare(conn, conn.sndNxt, TCP_ACK)) return false;
    if (conn.dupAcksDue > 0) conn.dupAcksDue--;
  }
  conn.ackNow = false;
  return true;
}
