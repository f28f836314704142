/**
 * SEGMENT ARRIVES (RFC 9293 section 3.10.7) for a connection that exists. The order of the checks is the RFC's: sequence
 * number, RST, SYN, ACK, text, FIN. Replies are not sent from here: they are marked, and leave when the batch is flushed,
 * so that one ACK answers a whole batch.
 */
import { RX_CSUM_OK } from '../../../lib/device/rx-batch.js';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG, type TcpView } from '../../../lib/packet/tcp.js';
import { unwrap } from '../../../lib/seq.js';
import { type TcpConnection, Timer } from '../connection.js';
import { cookieInstead } from '../handshake/passive-open.js';
import { takeEcho, takeFirstAck, takeMark, takeSynAgain } from '../loss/ecn.js';
import { probeAcked } from '../loss/mtu-probe.js';
import { afterAck, duplicateAck, keepAllSent, resendAll, takeSack } from '../loss/recovery.js';
import { land } from '../send/in-flight.js';
import { bare, sendSyn } from '../send/output.js';
import { TcpState } from '../state.js';

export { RX_CSUM_OK };

/** Unacceptable segments without data are answered this often at most, so that two ends never chase each other. */
const INVALID_ANSWER_US = 100_000;
/** A timestamp older than this is no protection any more (RFC 7323 section 5.5). */
const PAWS_IDLE_US = 24 * 24 * 3600 * 1e6;
const DELAYED_ACK_US = 40_000;

/** Handles one segment. `bytes` is only valid during the call. */
export function segmentArrives(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
  if (conn.removed) return;
  conn.segsIn++;
  if (seg.payloadLength > 0) {
    conn.dataSegsIn++;
    if (seg.tsPresent && conn.tsOk && seg.tsEcr !== 0) {
      const us = ((conn.tcp.timestamp(conn) - seg.tsEcr) | 0) * 1000;
      // The least of late: a sender that pauses echoes old ones.
      if (us >= 0) conn.rcvRttUs = conn.rcvRttUs === 0 ? us : Math.min(us, conn.rcvRttUs + conn.rcvRttUs / 8 + 100);
    }
    if (seg.payloadLength > conn.peerSegment) conn.peerSegment = Math.min(seg.payloadLength, conn.rcvMss);
    conn.lastDataReceivedUs = conn.tcp.now;
  }
  if (conn.state === TcpState.SynSent) {
    synSent(conn, seg, bytes);
    return;
  }
  const { tcp } = conn;
  const flags = seg.flags;
  // Signed distance from what is expected: the offset is exact as long as the peer is within 2 GiB of it.
  let start = unwrap(seg.seq, conn.irs, conn.rcvNxt);
  let length = seg.payloadLength;
  let fin = (flags & TCP_FIN) !== 0;

  if (conn.tsOk && seg.tsPresent && (flags & TCP_RST) === 0) {
    if (((seg.tsVal - conn.tsRecent) | 0) < 0 && tcp.now - conn.tsRecentAtUs < PAWS_IDLE_US) {
      tcp.counters.pawsDropped++;
      ackSoon(conn);
      return;
    }
  }

  // First: the sequence number. An unacceptable segment is answered, and its ACK field still counts (see below).
  const window = Math.max(0, conn.rcvAdv - conn.rcvNxt);
  const segmentLength = length + (fin ? 1 : 0) + ((flags & TCP_SYN) !== 0 ? 1 : 0);
  const acceptable =
    segmentLength === 0
      ? window === 0
        ? start === conn.rcvNxt
        : start >= conn.rcvNxt && start < conn.rcvNxt + window
      : window > 0 && start < conn.rcvNxt + window && start + segmentLength > conn.rcvNxt;
  if (!acceptable) {
    // A closed window hides neither RST nor urgency (RFC 9293 MUST-66).
    if ((flags & TCP_RST) !== 0) {
      if (start === conn.rcvNxt) reset(conn);
      return;
    }
    if (start === conn.rcvNxt && (flags & (TCP_URG | TCP_SYN)) === TCP_URG) noteUrgent(conn, start, seg.urgent);
    if (conn.state === TcpState.SynRcvd && (flags & TCP_SYN) !== 0 && start === 0) {
      // Simultaneous open: the peer's SYN-ACK repeats its SYN and acknowledges ours (RFC 9293 figure 7).
      if ((flags & TCP_ACK) !== 0 && unwrap(seg.ack, conn.iss, conn.sndUna) === 1) {
        establish(conn, seg);
        conn.sent.beginAck();
        newAck(conn, seg, 1, 0);
        ackSoon(conn);
      } else sendSyn(conn); // Our SYN-ACK was lost.
      return;
    }
    tcp.counters.outOfWindow++;
    if ((flags & TCP_SYN) !== 0 && start === 0) takeSynAgain(conn, seg);
    if (length > 0 && start < conn.rcvNxt) noteDuplicate(conn, start, Math.min(start + length, conn.rcvNxt));
    if (segmentLength > 0) ackSoon(conn);
    else if (tcp.now - conn.invalidAnsweredUs >= INVALID_ANSWER_US) {
      conn.invalidAnsweredUs = tcp.now;
      ackSoon(conn);
    }
    // Two peers with closed windows would starve each other if the ACK of an unacceptable segment were not processed.
    if ((flags & (TCP_ACK | TCP_SYN)) === TCP_ACK && conn.state >= TcpState.Established) acknowledge(conn, seg, start);
    return;
  }

  // Second: RST (RFC 5961 section 3.2).
  if ((flags & TCP_RST) !== 0) {
    if (start === conn.rcvNxt) reset(conn);
    else tcp.challengeAck(conn);
    return;
  }

  // Fourth: SYN in the window is an attack or a stale duplicate (RFC 5961 section 4.2).
  if ((flags & TCP_SYN) !== 0) {
    if (conn.state === TcpState.SynRcvd && start === 0) sendSyn(conn);
    else tcp.challengeAck(conn);
    return;
  }

  // Fifth: ACK.
  if ((flags & TCP_ACK) === 0) return;
  if (conn.tsOk && seg.tsPresent && start <= conn.lastAckSent && ((seg.tsVal - conn.tsRecent) | 0) >= 0) {
    conn.tsRecent = seg.tsVal;
    conn.tsRecentAtUs = tcp.now;
  }
  if (conn.state === TcpState.SynRcvd) {
    const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
    if (ack < 1 || ack > conn.sndNxt) {
      if (!cookieInstead(conn, seg, bytes)) tcp.resetReply(conn, seg);
      return;
    }
    establish(conn, seg);
    takeFirstAck(conn, seg);
  }
  conn.lastReceiveUs = tcp.now;
  conn.keepAliveProbes = 0;
  if (!acknowledge(conn, seg, start)) return;
  if (conn.removed) return;
  if (conn.ecnOk) takeMark(conn, seg);

  // Sixth: URG. The data stays in the stream; the user may ask where it ends.
  if ((flags & TCP_URG) !== 0) noteUrgent(conn, start, seg.urgent);

  // Seventh: text. Eighth: FIN.
  if (length > 0 || fin) {
    if (conn.peerFin) return;
    if (conn.orphan && length > 0) {
      // Nobody will ever read it (RFC 1122 section 4.2.2.13).
      tcp.abort(conn);
      return;
    }
    let from = seg.payloadOffset;
    if (start < conn.rcvNxt) {
      const old = conn.rcvNxt - start;
      noteDuplicate(conn, start, Math.min(start + length, conn.rcvNxt));
      from += old;
      length -= old;
      start = conn.rcvNxt;
      conn.ackNow = true;
      if (length < 0) {
        length = 0;
        if (old > seg.payloadLength) fin = false;
      }
    }
    if (start + length > conn.rcvAdv) {
      length = Math.max(0, conn.rcvAdv - start);
      fin = false;
    }
    if (fin && conn.peerFinAt < 0) conn.peerFinAt = start + length;
    text(conn, start, bytes, from, length);
  }
  tcp.markDirty(conn);
}

/** SYN_SENT (RFC 9293 section 3.10.7.3). */
function synSent(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
  const { tcp } = conn;
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  if ((seg.flags & TCP_ACK) !== 0 && (ack < 1 || ack > conn.sndNxt)) {
    if ((seg.flags & TCP_RST) === 0) tcp.resetReply(conn, seg);
    return;
  }
  if ((seg.flags & TCP_RST) !== 0) {
    if ((seg.flags & TCP_ACK) !== 0) tcp.remove(conn, 'ECONNREFUSED');
    return;
  }
  if ((seg.flags & TCP_SYN) === 0) return;
  conn.irs = seg.seq;
  conn.rcvNxt = 1;
  conn.rcvAdv = 1;
  tcp.takeSynOptions(conn, seg);
  if ((seg.flags & TCP_ACK) !== 0) {
    conn.sndWl1 = 0;
    conn.lastReceiveUs = tcp.now;
    // More than the SYN: its data was taken, or a part of it (RFC 7413 section 4.2.1). The rest is sent again.
    conn.sndUna = ack;
    conn.sndNxt = ack;
    conn.sendBuffer.releaseTo(ack - 1);
    if (ack > 1) tcp.counters.fastOpenActive++;
    conn.sent.advance(ack, tcp.now, conn.rtt.minUs);
    if (seg.fastOpenLength > 0) {
      const { fastOpenAt, fastOpenLength } = seg;
      tcp.fastOpen.remember(conn.remoteAddress, bytes.slice(fastOpenAt, fastOpenAt + fastOpenLength), seg.mss);
    }
    measureSyn(conn);
    conn.rtt.backoff = 0;
    conn.clearTimer(Timer.Retransmit);
    conn.state = TcpState.SynRcvd;
    establish(conn, seg);
    conn.ackNow = true;
    if (seg.payloadLength > 0) text(conn, 1, bytes, seg.payloadOffset, seg.payloadLength);
    tcp.markDirty(conn);
  } else {
    // Simultaneous open.
    conn.state = TcpState.SynRcvd;
    tcp.observer?.opened(conn);
    sendSyn(conn);
  }
}

function establish(conn: TcpConnection, seg: TcpView): void {
  const { tcp } = conn;
  conn.state = TcpState.Established;
  conn.established = true;
  conn.sndWnd = (seg.flags & TCP_SYN) !== 0 ? seg.window : seg.window << conn.sndScale;
  conn.maxSndWnd = Math.max(conn.maxSndWnd, conn.sndWnd);
  tcp.connectionEstablished(conn);
  if (conn.finQueued) conn.enterFinState();
}

/**
 * The ACK field: SND.UNA, the peer's window, round-trip time, congestion window, loss detection.
 * @returns false when the segment must not be processed further.
 */
function acknowledge(conn: TcpConnection, seg: TcpView, start: number): boolean {
  const { tcp } = conn;
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  if (ack > conn.sndNxt && ack <= conn.sentBefore) conn.sndNxt = ack;
  if (ack > conn.sndNxt) {
    // RFC 9293 section 3.10.7.4: acknowledges what was never sent.
    tcp.counters.ackedUnsent++;
    ackSoon(conn);
    return false;
  }
  if (ack < conn.sndUna - conn.maxSndWnd - 1) {
    tcp.challengeAck(conn);
    return false;
  }
  conn.sent.beginAck();
  const fresh = conn.sackOk && seg.sackCount > 0 ? takeSack(conn, seg, ack) : 0;
  const before = conn.sndUna;
  let windowChanged = false;
  if (ack >= conn.sndUna && (start > conn.sndWl1 || (start === conn.sndWl1 && ack >= conn.sndWl2))) {
    const window = seg.window << conn.sndScale;
    windowChanged = window !== conn.sndWnd;
    conn.sndWnd = window;
    if (window > conn.maxSndWnd) conn.maxSndWnd = window;
    conn.sndWl1 = start;
    conn.sndWl2 = ack;
    if (windowChanged && window > 0 && conn.deadlines[Timer.Persist] !== Number.POSITIVE_INFINITY) {
      conn.clearTimer(Timer.Persist);
      conn.rtt.backoff = 0;
    }
  }
  if (ack > conn.sndUna) newAck(conn, seg, ack, fresh);
  else if (ack === conn.sndUna && conn.flight > 0) {
    if (conn.sackOk) {
      if (seg.sackCount > 0) {
        if (fresh > 0) measure(conn);
        afterAck(conn, seg, 0, false);
      }
    } else if (seg.payloadLength === 0 && !windowChanged && (seg.flags & TCP_FIN) === 0) {
      // RFC 5681 section 2: no data, no window change, outstanding data.
      duplicateAck(conn);
    }
  }
  if (conn.ecnOk && !conn.removed) takeEcho(conn, seg, before > 0 && (fresh > 0 || ack > before));
  if (!conn.removed) {
    if (conn.flight === 0) land(conn);
    conn.ackHint = true;
    tcp.markDirty(conn);
  }
  return true;
}

function newAck(conn: TcpConnection, seg: TcpView, ack: number, fresh: number): void {
  const { tcp, recovery } = conn;
  const acked = ack - conn.sndUna;
  const limited = pipeLimited(conn);
  const recovering = recovery.active || recovery.afterTimeout;
  const synced = conn.sndUna > 0;
  conn.sndUna = ack;
  conn.progressUs = tcp.now;
  conn.softError = null;
  conn.sendBuffer.releaseTo(Math.min(ack - 1, conn.sendBuffer.end));
  conn.sent.advance(ack, tcp.now, conn.rtt.minUs);
  if (!synced) measureSyn(conn);
  // What waited behind a hole does not tell the round-trip time; what SACK has just reported does.
  else if (conn.sackOk ? fresh > 0 || !recovering : !recovering && recovery.dupAcks === 0) measure(conn);
  conn.rtt.backoff = 0;
  recovery.limitedTransmit = 0;
  if (conn.mtuProbeEnd >= 0) probeAcked(conn, ack);
  if (recovery.probeEnd >= 0 && !recovery.probeOld && ack >= recovery.probeEnd) recovery.probeEnd = -1;
  afterAck(conn, seg, acked, limited);
  if (conn.flight > 0) conn.setTimer(Timer.Retransmit, tcp.now + conn.rtt.rtoUs());
  else {
    conn.clearTimer(Timer.Retransmit);
    conn.clearTimer(Timer.Probe);
    conn.clearTimer(Timer.Reorder);
  }
  if (conn.finQueued && ack === conn.sndEnd + 1) finAcked(conn);
  if (!conn.removed) conn.user?.onProgress(conn);
}

/** The congestion window was what held us back, so that it may grow (RFC 9438 section 5.8, RFC 7661). */
function pipeLimited(conn: TcpConnection): boolean {
  return conn.flight * 2 >= conn.cc.cwnd;
}

/** The youngest of what arrived now and was sent only once times the round trip. */
function measure(conn: TcpConnection): void {
  if (conn.sent.onceUs >= 0) conn.rtt.sample(Math.max(1, conn.tcp.now - conn.sent.onceUs));
}

function measureSyn(conn: TcpConnection): void {
  if (conn.synSentUs >= 0) conn.rtt.sample(Math.max(1, conn.tcp.now - conn.synSentUs));
}

/** Data that was here already: the next acknowledgement says so (RFC 2883). */
function noteDuplicate(conn: TcpConnection, start: number, end: number): void {
  if (!conn.sackOk || end <= start) return;
  conn.dsackStart = start;
  conn.dsackEnd = end;
}

function finAcked(conn: TcpConnection): void {
  const { tcp } = conn;
  switch (conn.state) {
    case TcpState.FinWait1:
      conn.state = TcpState.FinWait2;
      if (conn.orphan) conn.setTimer(Timer.FinWait2, tcp.now + conn.finWait2Us);
      return;
    case TcpState.Closing:
      tcp.enterTimeWait(conn);
      return;
    case TcpState.LastAck:
      tcp.remove(conn, null);
      return;
    default:
      return;
  }
}

/** In-order or out-of-order data of a segment, trimmed to the window. */
function text(conn: TcpConnection, start: number, bytes: Uint8Array, from: number, length: number): void {
  const { tcp } = conn;
  if (start === conn.rcvNxt) {
    if (length > 0) {
      const { loans } = tcp;
      loans.place(conn, bytes, from, length);
      accept(conn, loans.bytes, loans.from, length);
      assemble(conn);
    }
    if (conn.peerFinAt === conn.rcvNxt) finArrives(conn);
    if (!conn.removed) {
      scheduleAck(conn);
      conn.user?.onProgress(conn);
    }
  } else {
    if (length > 0 && conn.reassembly.bytes + length <= conn.receiveLimit) {
      const before = conn.reassembly.bytes;
      tcp.loans.gather(bytes, from + length);
      if (!conn.reassembly.insert(start, bytes, from, length)) tcp.counters.reassemblyFull++;
      else if (conn.reassembly.bytes === before) noteDuplicate(conn, start, start + length);
      else {
        tcp.observer?.outOfOrder(conn, start, bytes.subarray(from, from + length));
        if (conn.held !== null) conn.held.sackPosition = tcp.host.gate!.end;
      }
    } else if (length > 0) tcp.counters.reassemblyFull++;
    tcp.counters.outOfOrder++;
    conn.outOfOrder++;
    // An immediate duplicate ACK for each, so that the peer finds the loss soon (RFC 5681 section 4.2).
    conn.ackNow = true;
    if (conn.dupAcksOwed < 64) conn.dupAcksOwed++;
  }
}

/** Takes what follows without a gap out of what came out of order. */
function assemble(conn: TcpConnection): void {
  const { reassembly } = conn;
  if (reassembly.empty) return;
  for (let more = reassembly.take(conn.rcvNxt); more !== undefined; more = reassembly.take(conn.rcvNxt)) {
    accept(conn, Buffer.from(more.buffer, more.byteOffset, more.byteLength), 0, more.byteLength);
  }
  conn.ackNow = true;
}

/** Takes bytes that follow without a gap. */
function accept(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void {
  conn.rcvNxt += length;
  conn.enqueue(bytes, from, length);
  conn.tcp.observer?.received(conn, bytes, from, length);
}

/** At least every second full segment is acknowledged at once, or soon if there is more at hand, others within 40 ms (RFC 9293 section 3.8.6.3). */
function scheduleAck(conn: TcpConnection): void {
  if (conn.ackNow) return;
  const bytes = conn.rcvNxt - conn.lastAckSent;
  if (conn.peerFin || bytes >= 2 * conn.peerSegment) {
    if (conn.peerFin || !conn.tcp.patience.takes(conn, bytes)) conn.ackNow = true;
    return;
  }
  if (!conn.ackPending) {
    conn.ackPending = true;
    conn.setTimer(Timer.DelayedAck, conn.tcp.now + DELAYED_ACK_US);
  }
}

function finArrives(conn: TcpConnection): void {
  const { tcp } = conn;
  conn.rcvNxt += 1;
  conn.peerFin = true;
  conn.ackNow = true;
  if (conn.rcvAdv < conn.rcvNxt) conn.rcvAdv = conn.rcvNxt;
  tcp.observer?.peerFin(conn);
  switch (conn.state) {
    case TcpState.Established:
      conn.state = TcpState.CloseWait;
      return;
    case TcpState.FinWait1:
      conn.state = TcpState.Closing;
      return;
    case TcpState.FinWait2:
      tcp.enterTimeWait(conn);
      return;
    default:
      return;
  }
}

function reset(conn: TcpConnection): void {
  const { tcp } = conn;
  tcp.counters.resetsReceived++;
  if (conn.state === TcpState.SynRcvd && conn.listener !== null) {
    tcp.remove(conn, null);
    return;
  }
  tcp.remove(
    conn,
    conn.state >= TcpState.Closing ? null : conn.state === TcpState.SynRcvd ? 'ECONNREFUSED' : 'ECONNRESET',
  );
}

/** The peer's urgent data ends before `start + pointer` (RFC 9293 section 3.8.5). */
function noteUrgent(conn: TcpConnection, start: number, pointer: number): void {
  const end = start + pointer;
  if (conn.peerFin || end <= conn.rcvUp || end <= conn.rcvNxt) return;
  conn.rcvUp = end;
  conn.tcp.counters.urgent++;
  conn.user?.onUrgent?.(conn);
}

/** The peer must hear from us, without amplifying: one ACK per batch. */
function ackSoon(conn: TcpConnection): void {
  conn.ackNow = true;
  conn.tcp.markDirty(conn);
}

/** After a takeover: say where we are, and send again what was not acknowledged, unless that is known to be on its way. */
export function resumeConnection(conn: TcpConnection, planned: boolean): void {
  if (conn.state >= TcpState.Established) {
    // The predecessor may have died between a segment and those that it joined.
    assemble(conn);
    if (planned) keepAllSent(conn);
    else resendAll(conn);
    bare(conn, conn.sndNxt, TCP_ACK);
  } else if (conn.state === TcpState.SynRcvd || conn.state === TcpState.SynSent) {
    sendSyn(conn);
  }
  conn.tcp.markDirty(conn);
}
