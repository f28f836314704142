/**
 * What leaves a connection: one place decides what to send next (lost data first, then new data, then a bare ACK), one
 * place builds segments. Nothing here keeps state of its own, and nothing is built before it can leave, so that a held
 * gate or a busy device costs no memory: the connection simply stays in the stack's list of dirty ones.
 */
import { finish, fold, sum16 } from '../../../lib/checksum.js';
import { TX_HEADROOM } from '../../../lib/device/device.js';
import { payloadSum } from '../../../lib/device/frame-copy.js';
import {
  TCP_ACK,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  writeTcpHeader,
} from '../../../lib/packet/tcp.js';
import { type TcpConnection, Timer } from '../connection.js';
import { answersSyn, capable, countSurvivesOffload, segmentFlags, synFlags } from '../loss/ecn.js';
import { narrow, probeLost, probeSent, probeSize } from '../loss/mtu-probe.js';
import { newDataFirst, pipe, retransmitted, timeoutLoss } from '../loss/recovery.js';
import { TcpState } from '../state.js';
import { type CommitLimit, limits } from './commit-limit.js';
import { fly } from './in-flight.js';

/** Largest TCP payload of a super-segment: the IP total length is 16 bits; headers with options stay below 120 bytes. */
const MAX_SUPER = 65_535 - 120;
/** Timeouts in a row after which the next hop is suspected. */
const ADVISE_AFTER = 2;
const MIN_SEGMENT = 48;
/** ECN-capable transport, in the IP header (RFC 3168 section 5). */
const ECT0 = 2;
/** Timeouts in a row after which the path is suspected of swallowing large segments, and the size then tried (RFC 4821 section 7.2). */
const BLACK_HOLE_AFTER = 3;
const OPT_FAST_OPEN = 34;
/** Timestamps; with SACK blocks it is more. */
const PLAIN_OPTIONS = 12;
const BLACK_HOLE_MSS = 1024;
/** What is due within the timers' grain goes at once. */
const PACE_AHEAD_US = 1000;
const sackScratch = new Float64Array(8);

/**
 * Sends whatever may be sent now.
 * @returns false when the device was busy; the caller tries again when it is writable.
 */
export function output(conn: TcpConnection): boolean {
  if (conn.removed || conn.tcp.frozen) return true;
  if (conn.state < TcpState.Established) {
    if (conn.synDue && !sendSyn(conn)) return false;
    // The user has a connection of Fast Open before its handshake is complete.
    if (!conn.fastOpened || conn.state !== TcpState.SynRcvd) return true;
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

/** @returns segments sent, or -1 when the device is busy. */
function retransmitLost(conn: TcpConnection): number {
  const { sent, recovery, tcp } = conn;
  if (sent.lost === 0) return 0;
  let count = 0;
  let inPipe = pipe(conn);
  const mss = segmentSize(conn);
  for (;;) {
    const from = sent.nextLost();
    if (from < 0) return count;
    // One segment may always go, the rest as the congestion window allows.
    const first = recovery.retransmitFirst || (inPipe === 0 && count === 0);
    if (inPipe + mss > conn.cc.cwnd && !first) return count;
    const length = Math.min(mss, sent.lostRangeEnd - from);
    const covered = segment(conn, from, length, from + length >= conn.sndEnd, false);
    if (covered < 0) return -1;
    if (covered === 0) return count;
    sent.resent(from, from + covered, tcp.now);
    retransmitted(conn, from, from + covered);
    if (conn.mtuProbeEnd >= 0) probeLost(conn, from, from + covered);
    // The answer to the head's new copy takes a round trip from now.
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

/** Times of sending are kept to a 64th of the round trip: a range per segment would be many on a long fat path. */
function grain(conn: TcpConnection): number {
  // Whole microseconds: V8 keeps no object for them.
  return conn.rtt.minUs === Number.POSITIVE_INFINITY ? 0 : Math.min(1000, conn.rtt.minUs / 64) | 0;
}

/** Payload of a full segment now: SACK blocks that have to go along leave less room (RFC 9293 section 3.7.1). */
function segmentSize(conn: TcpConnection): number {
  if (conn.reassembly.empty || !conn.sackOk) return conn.sndMss;
  return Math.max(MIN_SEGMENT, conn.sndMss - 4 - 8 * (conn.tsOk ? 3 : 4));
}

/** @returns segments sent, or -1 when the device is busy. */
function sendNew(conn: TcpConnection): number {
  let count = 0;
  const held = limits(conn);
  const limit = held === null ? conn.sndLimit : Math.min(conn.sndLimit, Math.max(held.snd, conn.sndNxt));
  if (limit < conn.sndLimit) held!.waiting = true;
  const { recovery } = conn;
  const mss = segmentSize(conn);
  const paced = conn.tcp.options.pacing && conn.rtt.srttUs > 0;
  const together = paced ? Math.max(2 * mss, pacingRate(conn) * PACE_AHEAD_US) : MAX_SUPER;
  const many = conn.route.canSegment && countSurvivesOffload(conn);
  const most = many ? Math.max(mss, Math.floor(Math.min(MAX_SUPER, together) / mss) * mss) : mss;
  let inPipe = -1;
  const idle = conn.flight === 0 && conn.bytesSent > 0 && conn.tcp.now - conn.lastSendUs > conn.rtt.rtoUs();
  if (idle && conn.tcp.options.slowStartAfterIdle && conn.sndNxt < limit) conn.cc.onIdle();
  while (conn.sndNxt < limit) {
    if (paced && conn.tcp.now + PACE_AHEAD_US < conn.paceUs) {
      conn.setTimer(Timer.Pace, conn.paceUs - PACE_AHEAD_US);
      break;
    }
    if (inPipe < 0) inPipe = pipe(conn);
    const left = limit - conn.sndNxt;
    const window = conn.sndUna + conn.sndWnd - conn.sndNxt;
    const cwnd = conn.cc.cwnd + recovery.limitedTransmit - inPipe;
    let length = Math.min(left, window, cwnd, most);
    const data = Math.min(conn.sndEnd, limit) - conn.sndNxt;
    if (length < left || length < mss) {
      // A FIN alone needs no window.
      if (data === 0) length = 1;
      else if (length <= 0) break;
      else if (length >= mss) {
        if (length < left) length -= length % mss;
      } else if (!smallSegmentAllowed(conn, length, data)) break;
    }
    if (
      length > mss &&
      length === left &&
      data % mss !== 0 &&
      !conn.noDelay &&
      !conn.finQueued &&
      !nothingUnderWay(conn)
    ) {
      // Nagle holds the short tail back; what is before it may go.
      length -= data % mss;
    }
    // The word that we have slowed down rides on one segment, which must not be multiplied.
    const slowed = conn.cwrDue && data > 0;
    if (slowed) length = Math.min(length, mss);
    const probe = conn.fullMss === 0 ? 0 : probeSize(conn, Math.min(left, window, cwnd));
    const usual = conn.sndMss;
    if (probe > 0) {
      conn.sndMss = probe;
      length = probe;
    }
    const sent = segment(conn, conn.sndNxt, length, conn.sndNxt + length >= conn.sndEnd, slowed);
    conn.sndMss = usual;
    if (probe > 0 && sent > 0) probeSent(conn, conn.sndNxt + sent);
    if (sent < 0) return -1;
    if (sent === 0) break;
    if (slowed) conn.cwrDue = false;
    if (conn.flight === 0) conn.progressUs = conn.tcp.now;
    if (paced) conn.paceUs = Math.max(conn.paceUs, conn.tcp.now) + sent / pacingRate(conn);
    fly(conn).push(conn.sndNxt + sent, conn.tcp.now, grain(conn));
    if (recovery.active) recovery.prrOut += sent;
    conn.sndNxt += sent;
    inPipe += sent;
    count++;
  }
  return count;
}

/** Bytes per microsecond: the window in a round trip, twice that while it doubles, a fifth more while it grows slowly. */
function pacingRate(conn: TcpConnection): number {
  const { cc, rtt } = conn;
  return ((cc.cwnd < cc.ssthresh ? 2 : 1.2) * cc.cwnd) / rtt.srttUs;
}

/** No data waits for its acknowledgement; a SYN may (Fast Open). */
function nothingUnderWay(conn: TcpConnection): boolean {
  return conn.flight === 0 || (conn.sndUna === 0 && conn.sndNxt === 1);
}

/** Nagle (RFC 9293 section 3.7.4) and sender-side silly window avoidance (RFC 1122 section 4.2.3.4). */
function smallSegmentAllowed(conn: TcpConnection, length: number, data: number): boolean {
  const all = length >= data;
  if (conn.corked && !conn.finQueued) return false;
  if (all && (conn.noDelay || conn.finQueued || nothingUnderWay(conn))) return true;
  return length >= conn.maxSndWnd / 2;
}

function armAfterSend(conn: TcpConnection): void {
  const now = conn.tcp.now;
  if (conn.flight > 0) {
    if (conn.deadlines[Timer.Retransmit] === Number.POSITIVE_INFINITY) {
      conn.setTimer(Timer.Retransmit, now + conn.rtt.rtoUs());
    }
    conn.clearTimer(Timer.Persist);
    armProbe(conn, now);
  } else if (conn.sndNxt < conn.sndLimit && conn.deadlines[Timer.Persist] === Number.POSITIVE_INFINITY) {
    conn.setTimer(Timer.Persist, now + conn.rtt.rtoUs());
  }
}

/** Tail loss probe (RFC 8985 section 7.2): two round trips without an answer, sooner than the retransmission timer. */
function armProbe(conn: TcpConnection, now: number): void {
  const { recovery } = conn;
  const troubled = recovery.active || recovery.afterTimeout || conn.sent.lost > 0 || conn.rtt.backoff > 0;
  if (!conn.sackOk || conn.rtt.srttUs === 0 || recovery.probeEnd >= 0 || troubled) {
    conn.clearTimer(Timer.Probe);
    return;
  }
  let timeout = 2 * conn.rtt.srttUs + 2000;
  // One segment alone may meet a delayed acknowledgement.
  if (conn.flight <= conn.sndMss) timeout += 200_000;
  const rtoAt = conn.deadlines[Timer.Retransmit]!;
  const at = now + timeout;
  if (at < rtoAt) conn.setTimer(Timer.Probe, at);
  else conn.clearTimer(Timer.Probe);
}

/** Sends a tail loss probe: new data if the window allows it, else the last segment again. */
export function sendTailProbe(conn: TcpConnection, nowUs: number): void {
  const { recovery } = conn;
  if (conn.flight === 0 || conn.sent.lost > 0 || recovery.active || recovery.afterTimeout) return;
  conn.tcp.counters.tailProbes++;
  const before = conn.sndNxt;
  recovery.limitedTransmit += conn.sndMss;
  sendNew(conn);
  recovery.limitedTransmit -= conn.sndMss;
  recovery.probeOld = conn.sndNxt === before;
  if (recovery.probeOld) {
    const from = Math.max(conn.sndUna, conn.sndNxt - conn.sndMss);
    if (segment(conn, from, conn.sndNxt - from, true, false) > 0) {
      conn.sent.resent(from, conn.sndNxt, nowUs);
      conn.retransmissions++;
      conn.tcp.counters.retransSegs++;
    }
  }
  recovery.probeEnd = conn.sndNxt;
  conn.log?.add(nowUs, 'probe', conn.sndNxt, recovery.probeOld ? 1 : 0);
  conn.setTimer(Timer.Retransmit, nowUs + conn.rtt.rtoUs());
}

/** The retransmission timer has run out (RFC 6298 section 5, RFC 5681 section 3.1). */
export function retransmitTimeout(conn: TcpConnection, nowUs: number): void {
  conn.tcp.counters.rtoTimeouts++;
  // Advice to the layer below when nothing comes back (RFC 1122 section 3.3.1.4).
  if (conn.rtt.backoff >= ADVISE_AFTER) {
    conn.route.suspect();
    conn.user?.onSoftError?.(conn);
  }
  if (conn.state === TcpState.SynSent || conn.state === TcpState.SynRcvd) {
    conn.rtt.backoff++;
    conn.tcp.counters.retransSegs++;
    sendSyn(conn);
    return;
  }
  if (conn.flight === 0) return;
  timeoutLoss(conn);
  conn.rtt.backoff++;
  if (conn.rtt.backoff === BLACK_HOLE_AFTER && conn.tcp.options.mtuProbing) shrinkSegments(conn);
  conn.setTimer(Timer.Retransmit, nowUs + conn.rtt.rtoUs());
  conn.tcp.markDirty(conn);
}

/**
 * Full segments go unanswered, small ones might not: a router that neither sends them on nor says so (RFC 2923 section
 * 2.1, RFC 4821 section 7.7).
 */
function shrinkSegments(conn: TcpConnection): void {
  if (conn.sndMss <= BLACK_HOLE_MSS || conn.flight < conn.sndMss) return;
  narrow(conn, BLACK_HOLE_MSS);
  conn.tcp.counters.blackHoles++;
}

/** Window probe: an old sequence number, which any peer answers with its window. */
export function sendProbe(conn: TcpConnection, nowUs: number): void {
  if (conn.flight > 0 || conn.sndNxt >= conn.sndLimit) return;
  conn.rtt.backoff++;
  conn.tcp.counters.windowProbes++;
  conn.log?.add(nowUs, 'window-probe', conn.rtt.backoff, conn.sndLimit - conn.sndNxt);
  bare(conn, conn.sndUna - 1, TCP_ACK);
  conn.setTimer(Timer.Persist, nowUs + conn.rtt.rtoUs());
  conn.tcp.markDirty(conn);
}

export function sendKeepalive(conn: TcpConnection): void {
  conn.tcp.counters.keepalives++;
  bare(conn, conn.sndUna - 1, TCP_ACK);
}

/** Bare ACKs that are owed, one per out-of-order segment so that the peer can count them. */
function sendAckIfDue(conn: TcpConnection): boolean {
  if (!conn.ackNow) return true;
  const held = limits(conn);
  if (held !== null && (held.rcv < conn.rcvNxt || !held.sacks)) {
    held.waiting = true;
    // As much as may be said; the same once more would look like a loss.
    if (held.rcv > conn.lastAckSent) bare(conn, conn.sndNxt, TCP_ACK);
    return false;
  }
  let owed = Math.max(1, conn.dupAcksOwed);
  while (owed-- > 0) {
    if (!bare(conn, conn.sndNxt, TCP_ACK)) return false;
    if (conn.dupAcksOwed > 0) conn.dupAcksOwed--;
  }
  conn.ackNow = false;
  return true;
}

/** Sends a segment without data. */
export function bare(conn: TcpConnection, seqOffset: number, flags: number): boolean {
  return emit(conn, seqOffset, 0, flags) >= 0;
}

/** SYN or SYN-ACK, with the options that are offered or agreed on. */
export function sendSyn(conn: TcpConnection): boolean {
  let flags = conn.state === TcpState.SynSent ? TCP_SYN : TCP_SYN | TCP_ACK;
  flags |= synFlags(conn, conn.state === TcpState.SynSent);
  // What met a router or a server that does not like it goes without the second time (RFC 7413 section 4.1.3).
  if (conn.state === TcpState.SynSent && conn.rtt.backoff > 0) conn.fastOpenCookie = null;
  const ok = emit(conn, 0, conn.sndNxt === 0 ? conn.synData : 0, flags) >= 0;
  if (conn.sndNxt === 0) {
    conn.sndNxt = 1 + conn.synData;
    conn.synSentUs = conn.tcp.now;
    conn.progressUs = conn.tcp.now;
  } else conn.synSentUs = -1;
  conn.setTimer(Timer.Retransmit, conn.tcp.now + conn.rtt.rtoUs());
  // Held back by the device or the gate, it goes as soon as it may.
  conn.synDue = !ok;
  if (!ok) conn.tcp.markDirty(conn);
  return ok;
}

export function sendReset(conn: TcpConnection): boolean {
  const synced = conn.state !== TcpState.SynSent;
  return synced ? bare(conn, conn.sndNxt, TCP_RST | TCP_ACK) : true;
}

/**
 * One data segment (or super-segment) from `from`, `length` sequence numbers long; a FIN is counted as one.
 * @returns sequence numbers sent, 0 if nothing could be gathered, -1 if the device is busy.
 */
function segment(conn: TcpConnection, from: number, length: number, push: boolean, slowed: boolean): number {
  const data = Math.min(length, conn.sndEnd - from);
  let flags = TCP_ACK;
  if (push && data > 0) flags |= TCP_PSH;
  if (conn.finQueued && from + length > conn.sndEnd) flags |= TCP_FIN;
  if (slowed) flags |= TCP_CWR;
  return emit(conn, from, data, flags);
}

/** Builds and sends one segment. @returns sequence numbers it covers, or -1 if the device is busy. */
function emit(conn: TcpConnection, seqOffset: number, length: number, flags: number): number {
  const { tcp, route } = conn;
  const held = limits(conn);
  if (held !== null && !admits(held, conn, seqOffset, length, flags)) {
    held.waiting = true;
    return -1;
  }
  const rcv = held === null ? conn.rcvNxt : Math.min(held.rcv, conn.rcvNxt);
  const frame = tcp.frame;
  const bytes = frame.header;
  const view = frame.view;
  const at = route.tcpOffset;
  frame.reset();
  let gathered = 0;
  const mss = length > conn.sndMss ? segmentSize(conn) : conn.sndMss;
  if (length > 0) {
    // The data of a SYN begins behind it.
    gathered = conn.sendBuffer.gather(frame, (flags & TCP_SYN) !== 0 ? 0 : seqOffset - 1, length);
    if (gathered < length) {
      flags &= ~(TCP_FIN | TCP_PSH);
      // Too many small pieces: cut at a segment boundary so that the rest stays aligned.
      if (gathered > mss) gathered = trim(frame, gathered - (gathered % mss), conn, seqOffset);
    }
  }
  const options = writeOptions(
    conn,
    view,
    at + 20,
    flags,
    gathered,
    held === null || (held.sacks && rcv === conn.rcvNxt),
  );
  const header = 20 + options;
  if ((flags & TCP_ACK) !== 0) advertise(conn, flags, rcv);
  if (conn.ecnOk) flags |= segmentFlags(conn, flags, gathered === 0 && options <= PLAIN_OPTIONS);
  let urgent = 0;
  if (conn.sndUp > seqOffset && (flags & (TCP_SYN | TCP_RST)) === 0 && (held === null || conn.sndUp <= held.snd)) {
    flags |= TCP_URG;
    urgent = Math.min(65_535, conn.sndUp - seqOffset);
  }
  const window = (flags & TCP_ACK) === 0 && (flags & TCP_SYN) === 0 ? 0 : windowField(conn, flags, rcv);
  const seq = (conn.iss + seqOffset) >>> 0;
  const ack = (flags & TCP_ACK) !== 0 ? (conn.irs + rcv) >>> 0 : 0;
  writeTcpHeader(bytes, view, at, conn.localPort, conn.remotePort, seq, ack, flags, window, urgent, header);
  const total = header + gathered;
  if (route.canChecksum) {
    view.setUint16(at + 16, fold(route.pseudoSum + total));
    frame.csumStart = at - TX_HEADROOM;
    frame.csumOffset = 16;
    if (gathered > mss) {
      frame.gsoVersion = route.version;
      frame.gsoSize = mss;
    }
  } else {
    view.setUint16(at + 16, finish(payloadSum(frame, sum16(bytes, at, header, route.pseudoSum + total))));
  }
  frame.headerLength = at + header - TX_HEADROOM;
  // New data only: neither retransmissions nor what has none carries the mark (RFC 3168 section 6.1.5).
  const ect = capable(conn) && gathered > 0 && seqOffset >= conn.sndNxt ? ECT0 : 0;
  // What stays within the limit is committed.
  frame.committed = held !== null;
  if (!route.send(total, ect)) return -1;
  tcp.counters.outSegs++;
  conn.segsOut++;
  if (gathered > 0) {
    conn.dataSegsOut++;
    conn.bytesSent += gathered;
  }
  conn.lastSendUs = tcp.now;
  if ((flags & TCP_ACK) !== 0) {
    conn.lastAckSent = rcv;
    if (rcv === conn.rcvNxt) {
      conn.ackPending = false;
      if (conn.dupAcksOwed === 0) conn.ackNow = false;
      conn.clearTimer(Timer.DelayedAck);
    }
  }
  return gathered + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0);
}

/** Whether a segment may leave as far as the log is stable. */
function admits(held: CommitLimit, conn: TcpConnection, seqOffset: number, length: number, flags: number): boolean {
  // The end of a connection depends on all that there is.
  if ((flags & TCP_RST) !== 0) return false;
  const syn = (flags & TCP_SYN) !== 0;
  const end = seqOffset + length + (syn || (flags & TCP_FIN) !== 0 ? 1 : 0);
  if (end > (syn ? held.snd : Math.max(held.snd, conn.sndNxt))) return false;
  // Before the peer's SYN may be acknowledged there is nothing to say.
  return (flags & TCP_ACK) === 0 || held.rcv > 0;
}

function trim(frame: TcpConnection['tcp']['frame'], length: number, conn: TcpConnection, seqOffset: number): number {
  frame.reset();
  return conn.sendBuffer.gather(frame, seqOffset - 1, length);
}

/** Moves the advertised right edge on. */
function advertise(conn: TcpConnection, flags: number, rcv: number): void {
  if ((flags & TCP_RST) !== 0) return;
  // Whoever takes over honours what it knows of, and a buffer behind it.
  const edge = Math.min(conn.rightEdge(), rcv + conn.receiveLimit);
  if (edge > conn.rcvAdv) conn.rcvAdv = edge;
}

/** The window field; its rounding to the scale never moves the right edge left. */
function windowField(conn: TcpConnection, flags: number, rcv: number): number {
  const offered = conn.rcvAdv - rcv;
  if ((flags & TCP_SYN) !== 0) {
    const window = Math.min(65_535, conn.receiveLimit);
    conn.rcvAdv = Math.max(conn.rcvAdv, rcv + window);
    return window;
  }
  const unit = 1 << conn.rcvScale;
  const room = conn.rcvNxt - rcv + conn.receiveLimit - conn.receiveQueued + 65_536;
  let units = Math.ceil(offered / unit);
  // Rounding up at every segment must not let the window creep beyond the buffer.
  if (units * unit > room) units = Math.floor(offered / unit);
  units = Math.max(0, Math.min(65_535, units));
  conn.rcvAdv = Math.max(conn.rcvAdv, rcv + units * unit);
  return units;
}

function writeOptions(
  conn: TcpConnection,
  view: DataView,
  at: number,
  flags: number,
  payload: number,
  sacks: boolean,
): number {
  let n = 0;
  const syn = (flags & TCP_SYN) !== 0;
  const passive = syn && (flags & TCP_ACK) !== 0;
  if (syn) {
    view.setUint32(at, 0x02040000 | (conn.rcvMss & 0xffff));
    n = 4;
    const { options } = conn.tcp;
    if (passive ? conn.rcvScale > 0 || conn.sndScale > 0 : options.windowScaling) {
      view.setUint32(at + n, 0x01030300 | conn.rcvScale);
      n += 4;
    }
    if (passive ? conn.sackOk : options.sack) {
      view.setUint32(at + n, 0x01010402);
      n += 4;
    }
  }
  if (conn.tsOk || (syn && !passive && conn.tcp.options.timestamps)) {
    view.setUint32(at + n, 0x0101080a);
    view.setUint32(at + n + 4, conn.tcp.timestamp(conn));
    view.setUint32(at + n + 8, (flags & TCP_ACK) !== 0 ? conn.tsRecent : 0);
    n += 12;
  }
  if (syn && conn.fastOpenCookie !== null) {
    const cookie = conn.fastOpenCookie;
    view.setUint8(at + n, OPT_FAST_OPEN);
    view.setUint8(at + n + 1, 2 + cookie.length);
    for (let i = 0; i < cookie.length; i++) view.setUint8(at + n + 2 + i, cookie[i]!);
    n += 2 + cookie.length;
    for (; (n & 3) !== 0; n++) view.setUint8(at + n, 1);
  }
  const duplicate = conn.dsackStart >= 0;
  if (!syn && sacks && conn.sackOk && (duplicate || !conn.reassembly.empty) && (flags & TCP_RST) === 0) {
    const most = conn.tsOk ? 3 : 4;
    if (payload === 0 || payload > conn.sndMss || payload + 4 + 8 * most <= conn.sndMss) {
      n += writeSack(conn, view, at + n, most);
    }
  }
  return n;
}

/** The SACK option, a DSACK in front (RFC 2018 section 4, RFC 2883 section 4). @returns its length, padded. */
function writeSack(conn: TcpConnection, view: DataView, at: number, most: number): number {
  let blocks = 0;
  if (conn.dsackStart >= 0) {
    sackScratch[0] = conn.dsackStart;
    sackScratch[1] = conn.dsackEnd;
    blocks = 1;
    conn.dsackStart = -1;
    conn.tcp.counters.dsacksSent++;
  }
  if (!conn.reassembly.empty) blocks += conn.reassembly.sackBlocks(sackScratch, most - blocks, 2 * blocks);
  view.setUint32(at, 0x01010500 | (2 + 8 * blocks));
  for (let i = 0; i < 2 * blocks; i++) view.setUint32(at + 4 + 4 * i, (conn.irs + sackScratch[i]!) >>> 0);
  return 4 + 8 * blocks;
}
