/**
 * Loss recovery: how loss is detected, how fast lost data is retransmitted, and how a spurious
 * recovery is undone.
 *
 *  - With SACK, by time (RACK, RFC 8985): a segment is lost when one that was sent later has
 *    arrived, and the time in which the network may have reordered them (a fraction of the round
 *    trip, grown by DSACKs) is over. A lost retransmission is detected in the same way. Without
 *    SACK, by three duplicate acknowledgements (RFC 5681, RFC 6582).
 *  - Nothing follows the tail of a transfer, so a probe does (TLP, RFC 8985 section 7;
 *    send/probes.ts).
 *  - In recovery, a sender sends as much as leaves the network (PRR, RFC 6937).
 *  - A timeout or recovery was spurious when an acknowledgement answers something older than the
 *    retransmission (Eifel, RFC 3522), when the second acknowledgement after a timeout advances
 *    again (F-RTO, RFC 5682), or when all that was retransmitted arrived twice (DSACK, RFC 3708).
 *    Then the congestion window is restored.
 */
import type { TcpView } from '../../../lib/packet/tcp.js';
import { unwrap } from '../../../lib/seq.js';
import { type TcpConnection, Timer } from '../connection.js';
import { REO_PERSIST } from '../tcb/recovery-state.js';
import { attachLossState, releaseLossState } from './loss-state.js';
import { onlyProbeLost } from './mtu-probe.js';

const DUP_THRESH = 3;

/** Bytes believed to be in the network (RFC 6675 SetPipe). */
export function pipe(conn: TcpConnection): number {
  const { scoreboard, recovery } = conn;
  let bytes = conn.sndNxt - conn.sndUna - scoreboard.sacked - scoreboard.lost;
  // Before recovery, `limitedTransmit` stands for what the duplicates say has left.
  if (!conn.sackOk && recovery.active) bytes -= recovery.dupAcks * conn.sndMss;
  return Math.max(0, bytes);
}

/** Takes the SACK blocks of a segment, DSACK among them. @returns bytes newly reported. */
export function takeSack(conn: TcpConnection, seg: TcpView, ack: number): number {
  const { scoreboard } = conn;
  let fresh = 0;
  for (let i = 0; i < seg.sackCount; i++) {
    const from = unwrap(seg.sackEdges[2 * i], conn.iss, conn.sndUna);
    const to = unwrap(seg.sackEdges[2 * i + 1], conn.iss, conn.sndUna);
    if (to <= from) continue;
    if (i === 0 && isDsack(conn, seg, from, to, ack)) {
      processDsack(conn, from, to);
      continue;
    }
    // Beyond SND.NXT it is false, below SND.UNA it is old.
    if (from < ack || from < conn.sndUna || to > conn.sndNxt) continue;
    fresh += scoreboard.sack(from, to, conn.tcp.now, conn.rtt.minUs);
  }
  return fresh;
}

/**
 * The first block is a DSACK when it lies below the acknowledgement or in the second block (RFC
 * 2883 section 4).
 */
function isDsack(conn: TcpConnection, seg: TcpView, from: number, to: number, ack: number): boolean {
  if (from < ack) return true;
  if (seg.sackCount < 2) return false;
  const from2 = unwrap(seg.sackEdges[2], conn.iss, conn.sndUna);
  const to2 = unwrap(seg.sackEdges[3], conn.iss, conn.sndUna);
  return from >= from2 && to <= to2;
}

function processDsack(conn: TcpConnection, from: number, to: number): void {
  attachLossState(conn);
  const { recovery } = conn;
  conn.tcp.counters.dsacksReceived++;
  conn.dsackDups++;
  if (to > conn.sndNxt || to - from > conn.maxSndWnd) return;
  // The probe and the original both arrived: nothing was lost (RFC 8985 section 7.4.2), and nothing
  // was reordered.
  if (recovery.tlpEnd >= 0 && recovery.tlpIsRetransmission && to === recovery.tlpEnd) {
    recovery.tlpEnd = -1;
    return;
  }
  if (conn.sndUna >= recovery.dsackRound) {
    // The retransmission was needless: wait longer before the next one.
    recovery.dsackRound = conn.sndNxt;
    recovery.reoMult++;
  }
  recovery.reoPersist = REO_PERSIST;
  if (recovery.undoFrom >= 0 && from >= recovery.undoFrom) recovery.undoBytes -= to - from;
  if (recovery.tlpEnd >= 0 && recovery.tlpIsRetransmission && to > recovery.tlpEnd) recovery.tlpEnd = -1;
}

/**
 * After an acknowledgement was entered into the scoreboard: detects loss and sets the congestion
 * window.
 * @param acked bytes by which SND.UNA moved
 * @param limited the congestion window was what limited the sender
 */
export function afterAck(conn: TcpConnection, seg: TcpView, acked: number, limited: boolean): void {
  const { scoreboard, recovery, rtt, cc, tcp } = conn;
  const now = tcp.now;
  const lostBefore = scoreboard.lost;
  if (conn.sackOk) updateRack(conn, now);
  undoIfSpurious(conn, seg, acked);
  if (recovery.frto > 0) frto(conn, acked);
  if (conn.sndUna >= recovery.recoveryPoint) leaveRecovery(conn);
  if (acked > 0) endProbe(conn);
  if (conn.sackOk) detectLoss(conn, now);
  else if (recovery.active && acked > 0) {
    // NewReno's partial acknowledgement (RFC 6582): the next hole begins here.
    recovery.dupAcks = Math.max(0, recovery.dupAcks - Math.floor(acked / conn.sndMss));
    scoreboard.markLost(conn.sndUna, Math.min(conn.sndNxt, conn.sndUna + conn.sndMss));
    recovery.retransmitFirst = true;
  }
  if (recovery.active) prr(conn, scoreboard.delivered, acked > 0 && scoreboard.lost <= lostBefore);
  else if (acked > 0) {
    if (!recovery.afterTimeout) recovery.dupAcks = 0;
    // Bytes that SACK reported earlier were counted then.
    if (limited) cc.onAck(conn.sackOk ? scoreboard.delivered : acked, now, rtt.srttUs || 1);
  }
}

function updateRack(conn: TcpConnection, now: number): void {
  const { scoreboard, recovery } = conn;
  if (scoreboard.newestUs >= 0) {
    recovery.rackRttUs = now - scoreboard.newestUs;
    if (
      scoreboard.newestUs > recovery.rackSentUs ||
      (scoreboard.newestUs === recovery.rackSentUs && scoreboard.newestEnd > recovery.rackEnd)
    ) {
      recovery.rackSentUs = scoreboard.newestUs;
      recovery.rackEnd = scoreboard.newestEnd;
    }
  }
  if (scoreboard.reordered && !recovery.reorderingSeen) {
    recovery.reorderingSeen = true;
    conn.tcp.counters.reorderingSeen++;
  }
}

/**
 * How much later than a segment sent after it one may arrive, in microseconds (RFC 8985 section 6.2
 * step 4).
 */
export function reorderingWindow(conn: TcpConnection): number {
  const { recovery, scoreboard, rtt } = conn;
  if (!recovery.reorderingSeen) {
    if (recovery.active || recovery.afterTimeout || scoreboard.sacked >= DUP_THRESH * conn.sndMss) return 0;
  }
  const quarter = rtt.minUs === Number.POSITIVE_INFINITY ? 0 : rtt.minUs / 4;
  return Math.min(recovery.reoMult * quarter, rtt.srttUs);
}

/**
 * Marks what is lost by now, and sets the timer for what may be lost soon (RFC 8985 section 6.2
 * step 5).
 */
export function detectLoss(conn: TcpConnection, now: number): void {
  const { scoreboard, recovery } = conn;
  if (recovery.rackSentUs < 0 || conn.flightSize === 0) {
    conn.clearTimer(Timer.Reorder);
    return;
  }
  const before = scoreboard.lost;
  const timeout = scoreboard.detectLost(
    now,
    recovery.rackSentUs,
    recovery.rackEnd,
    recovery.rackRttUs + reorderingWindow(conn),
  );
  if (timeout > 0) conn.setTimer(Timer.Reorder, now + timeout);
  else conn.clearTimer(Timer.Reorder);
  if (scoreboard.lost > before && !recovery.active && !recovery.afterTimeout) enterRecovery(conn);
}

/** The reordering timer has fired (RFC 8985 section 6.3). */
export function reorderTimeout(conn: TcpConnection, now: number): void {
  detectLoss(conn, now);
  conn.tcp.markDirty(conn);
}

/** A duplicate acknowledgement of a peer without SACK (RFC 5681 section 3.2). */
export function duplicateAck(conn: TcpConnection): void {
  const { recovery, scoreboard } = conn;
  recovery.dupAcks++;
  if (recovery.active) {
    prr(conn, conn.sndMss, false);
    return;
  }
  if (recovery.afterTimeout || conn.sndUna < recovery.recoveryPoint) {
    recovery.frto = 0;
    return;
  }
  if (recovery.dupAcks < DUP_THRESH) {
    recovery.limitedTransmit = recovery.dupAcks * conn.sndMss;
    return;
  }
  scoreboard.markLost(conn.sndUna, Math.min(conn.sndNxt, conn.sndUna + conn.sndMss));
  enterRecovery(conn);
  prr(conn, recovery.dupAcks * conn.sndMss, false);
}

function enterRecovery(conn: TcpConnection): void {
  const { recovery, cc, tcp } = conn;
  tcp.counters.fastRetransmits++;
  conn.log?.add(tcp.now, 'recovery', conn.flightSize, cc.cwnd);
  recovery.active = true;
  recovery.recoveryPoint = conn.sndNxt;
  recovery.retransmitFirst = true;
  recovery.limitedTransmit = 0;
  recovery.prrFlight = Math.max(conn.sndMss, conn.flightSize - conn.scoreboard.sacked);
  recovery.prrDelivered = 0;
  recovery.prrOut = 0;
  beginUndo(conn);
  // A mark in the same round trip has reduced it already.
  if (onlyProbeLost(conn)) {
    recovery.nonCongestive = true;
    cc.ssthresh = cc.cwnd;
  } else if (conn.sndUna >= recovery.ecnPoint) {
    cc.onLoss(loadedFlight(conn), tcp.now);
    if (conn.ecnOk && !conn.accEcn) conn.cwrDue = true;
  }
  conn.clearTimer(Timer.Probe);
}

/**
 * What the path carried at the loss: FlightSize (RFC 5681 equation 4), but never more than the
 * window. When one recovery follows another, most of FlightSize may have left the network long ago.
 */
function loadedFlight(conn: TcpConnection): number {
  return Math.min(conn.flightSize, conn.cc.cwnd);
}

/**
 * Proportional rate reduction (RFC 6937 section 3, with the conservative bound unless the path
 * shows no new loss).
 */
function prr(conn: TcpConnection, delivered: number, safe: boolean): void {
  const { recovery, cc } = conn;
  const inPipe = pipe(conn);
  recovery.prrDelivered += delivered;
  let send: number;
  if (inPipe > cc.ssthresh) {
    send = Math.ceil((recovery.prrDelivered * cc.ssthresh) / recovery.prrFlight) - recovery.prrOut;
  } else {
    const bound = Math.max(recovery.prrDelivered - recovery.prrOut, delivered) + (safe ? conn.sndMss : 0);
    send = Math.min(cc.ssthresh - inPipe, bound);
  }
  cc.cwnd = inPipe + Math.max(send, recovery.prrOut === 0 ? conn.sndMss : 0);
}

/** SND.UNA has passed the end of the episode. */
function leaveRecovery(conn: TcpConnection): void {
  const { recovery, cc } = conn;
  if (recovery.active) {
    recovery.active = false;
    cc.cwnd = Math.max(cc.ssthresh, 2 * conn.sndMss);
    recovery.dupAcks = 0;
    if (--recovery.reoPersist <= 0) {
      recovery.reoMult = 1;
      recovery.reoPersist = REO_PERSIST;
    }
  }
  if (recovery.afterTimeout) {
    recovery.afterTimeout = false;
    recovery.dupAcks = 0;
    recovery.frto = 0;
  }
  if (recovery.nonCongestive) {
    recovery.nonCongestive = false;
    undo(conn);
    return;
  }
  // A DSACK may still come for the last retransmission.
  if (recovery.undoFrom >= 0 && recovery.undoBytes <= 0 && recovery.firstTs >= 0) undo(conn);
}

// --- Undo ---

function beginUndo(conn: TcpConnection): void {
  const { recovery, cc } = conn;
  cc.remember();
  recovery.undoFrom = conn.sndUna;
  if (conn.sndUna >= recovery.resentEnd) {
    recovery.undoBytes = 0;
    recovery.firstTs = -1;
  } else {
    // Retransmissions of an earlier episode are still in flight; their answers must not count for
    // this one.
    recovery.undoBytes = Number.POSITIVE_INFINITY;
  }
}

/** Notes that [from, to) was retransmitted. */
export function retransmitted(conn: TcpConnection, from: number, to: number): void {
  const { recovery } = conn;
  recovery.undoBytes += to - from;
  if (to > recovery.resentEnd) recovery.resentEnd = to;
  if (recovery.firstTs < 0) recovery.firstTs = conn.tcp.timestamp(conn.tsOffset);
}

/** Eifel detection (RFC 3522), and DSACKs for everything retransmitted (RFC 3708). */
function undoIfSpurious(conn: TcpConnection, seg: TcpView, acked: number): void {
  const { recovery } = conn;
  if (recovery.undoFrom < 0 || recovery.firstTs < 0) return;
  const older = acked > 0 && conn.tsOk && seg.tsPresent && ((seg.tsEcr - recovery.firstTs) | 0) < 0;
  if (older && (recovery.active || recovery.afterTimeout)) undo(conn);
  else if (recovery.undoBytes <= 0) undo(conn);
}

function undo(conn: TcpConnection): void {
  const { recovery, scoreboard, cc, tcp } = conn;
  tcp.counters.spuriousRecoveries++;
  recovery.undoFrom = -1;
  const before = cc.cwnd;
  cc.undo();
  conn.log?.add(tcp.now, 'undo', before, cc.cwnd);
  scoreboard.unmarkLost();
  recovery.active = false;
  recovery.afterTimeout = false;
  recovery.retransmitFirst = false;
  recovery.dupAcks = 0;
  recovery.frto = 0;
  recovery.recoveryPoint = conn.sndUna;
  conn.rtt.backoff = 0;
  tcp.markDirty(conn);
}

/** The retransmission timer has expired: everything that SACK has not reported counts as lost. */
export function timeoutLoss(conn: TcpConnection): void {
  const { recovery, scoreboard, cc, tcp } = conn;
  const first = conn.rtt.backoff === 0;
  conn.log?.add(tcp.now, 'timeout', conn.rtt.backoff, conn.flightSize);
  if (first) {
    if (!recovery.afterTimeout) beginUndo(conn);
    // With timestamps the first acknowledgement tells whether the timeout was spurious.
    recovery.frto = conn.tsOk || recovery.active ? 0 : 1;
    cc.onTimeout(loadedFlight(conn), tcp.now);
    if (conn.ecnOk && !conn.accEcn) conn.cwrDue = true;
  } else recovery.frto = 0;
  recovery.active = false;
  recovery.nonCongestive = false;
  recovery.afterTimeout = true;
  recovery.recoveryPoint = conn.sndNxt;
  recovery.dupAcks = 0;
  recovery.limitedTransmit = 0;
  recovery.tlpEnd = -1;
  if (scoreboard.reneged) {
    scoreboard.forgetSacked();
    tcp.counters.sackReneging++;
  }
  scoreboard.markLost(conn.sndUna, conn.sndNxt);
  conn.clearTimer(Timer.Reorder);
}

/** F-RTO without timestamps (RFC 5682 section 2.1): an acknowledgement after a timeout. */
function frto(conn: TcpConnection, acked: number): void {
  const { recovery, scoreboard } = conn;
  if (recovery.undoFrom < 0 || acked === 0 || conn.sndUna >= recovery.recoveryPoint) {
    recovery.frto = 0;
    return;
  }
  if (recovery.frto === 1) {
    // The first acknowledgement: send something new, and wait for the second one.
    recovery.frto = conn.sndNxt < conn.sndLimit && conn.sndWnd > conn.flightSize ? 2 : 0;
    return;
  }
  recovery.frto = 0;
  // The second one advances although only one segment was retransmitted: the others were not lost.
  if (scoreboard.onceUs >= 0) undo(conn);
}

/** Whether lost data has to wait for new data to be sent first (RFC 5682 section 2.1 step 2b). */
export function newDataFirst(conn: TcpConnection): boolean {
  return conn.recovery.frto === 2;
}

// --- Tail loss probe, ECN ---

/**
 * A retransmitted probe was answered without a DSACK: it repaired one loss (RFC 8985 section
 * 7.4.2).
 */
function endProbe(conn: TcpConnection): void {
  const { recovery, cc, tcp } = conn;
  if (recovery.tlpEnd < 0 || conn.sndUna < recovery.tlpEnd) return;
  // A DSACK may still follow the acknowledgement of the probe.
  if (recovery.tlpIsRetransmission && conn.sndUna === recovery.tlpEnd) return;
  const repaired = recovery.tlpIsRetransmission && !recovery.active && !recovery.afterTimeout;
  recovery.tlpEnd = -1;
  if (!repaired) return;
  cc.remember();
  cc.onLoss(Math.max(loadedFlight(conn), conn.sndMss), tcp.now);
  tcp.counters.probeRepairs++;
}

/**
 * The peer has seen a congestion mark (RFC 3168 section 6.1.2): at most one reduction per round
 * trip.
 */
export function congestionEcho(conn: TcpConnection): void {
  const { cc, tcp } = conn;
  if (conn.recovery.active || conn.recovery.afterTimeout || conn.sndUna < conn.recovery.ecnPoint) return;
  attachLossState(conn);
  const { recovery } = conn;
  recovery.ecnPoint = conn.sndNxt;
  const before = cc.cwnd;
  cc.onLoss(loadedFlight(conn), tcp.now);
  conn.log?.add(tcp.now, 'mark', before, cc.cwnd);
  if (!conn.accEcn) conn.cwrDue = true;
  tcp.counters.ecnReductions++;
}

/**
 * After a takeover or a smaller path MTU: everything in flight is sent again, without a sign of
 * congestion.
 */
export function resendAll(conn: TcpConnection): void {
  attachLossState(conn);
  const { scoreboard, recovery } = conn;
  recovery.reset();
  scoreboard.reset(conn.sndUna);
  if (conn.sndNxt > conn.sndUna) {
    scoreboard.push(conn.sndNxt, conn.tcp.now, 0);
    scoreboard.markLost(conn.sndUna, conn.sndNxt);
  }
  recovery.recoveryPoint = conn.sndNxt;
  recovery.rackSentUs = -1;
  releaseLossState(conn);
}

/** After a switchover: the predecessor has just sent everything in flight. */
export function keepAllSent(conn: TcpConnection): void {
  attachLossState(conn);
  const { scoreboard, recovery } = conn;
  recovery.reset();
  scoreboard.reset(conn.sndUna);
  if (conn.sndNxt > conn.sndUna) scoreboard.push(conn.sndNxt, conn.tcp.now, 0);
  recovery.recoveryPoint = conn.sndUna;
  recovery.rackSentUs = -1;
  releaseLossState(conn);
}
