/**
 * SEGMENT ARRIVES in the states from SYN-RECEIVED on (RFC 9293 section 3.10.7.4). The checks are
 * the RFC's, in its order: sequence number, RST, SYN, ACK, URG, text and FIN. Nothing is sent from
 * here but a SYN: replies are marked, and leave when the batch is flushed, so that one ACK answers
 * a whole batch.
 */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG, type TcpView } from '../../../lib/packet/tcp.js';
import { unwrap } from '../../../lib/seq.js';
import type { TcpConnection } from '../connection.js';
import { takeFirstAck, takeMark, takeSynAgain } from '../loss/ecn.js';
import { sendSyn } from '../send/segment.js';
import { TcpState } from '../state.js';
import { acknowledge, establish, isAckAcceptable, newAck } from './acknowledge.js';
import { answerInvalid, segmentLength } from './invalid.js';
import { ackSoon, noteDuplicate, text } from './text.js';

/** An older timestamp protects no longer (RFC 7323 section 5.5). */
const PAWS_IDLE_US = 24 * 24 * 3600 * 1e6;

/** Counts a segment of a connection, in any state. */
export function countSegment(conn: TcpConnection, seg: TcpView): void {
  conn.segsIn++;
  if (seg.payloadLength > 0) conn.dataSegsIn++;
}

/** Measures an acceptable segment with data: the receiver's round trip, and the segment size. */
function measureText(conn: TcpConnection, seg: TcpView): void {
  if (seg.tsPresent && conn.tsOk && seg.tsEcr !== 0) {
    const us = ((conn.tcp.timestamp(conn.tsOffset) - seg.tsEcr) | 0) * 1000;
    // A running minimum: a sender that pauses echoes old timestamps.
    if (us >= 0) conn.rcvRttUs = conn.rcvRttUs === 0 ? us : Math.min(us, conn.rcvRttUs + conn.rcvRttUs / 8 + 100);
  }
  if (seg.payloadLength > conn.maxSegmentReceived) conn.maxSegmentReceived = Math.min(seg.payloadLength, conn.rcvMss);
  conn.lastDataReceivedUs = conn.tcp.now;
}

/** Handles one segment. `bytes` is only valid during the call. */
export function segmentArrives(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
  const { flags } = seg;
  // The signed distance from RCV.NXT: exact as long as the peer is within 2 GiB of it.
  const start = unwrap(seg.seq, conn.irs, conn.rcvNxt);
  if (conn.tsOk && (flags & TCP_RST) === 0 && !checkTimestamp(conn, seg)) return;
  if (!isAcceptable(conn, seg, start)) {
    unacceptable(conn, seg, start);
    return;
  }
  if ((flags & TCP_RST) !== 0) {
    checkReset(conn, start);
    return;
  }
  if ((flags & TCP_SYN) !== 0) {
    checkSyn(conn, seg, start);
    return;
  }
  if ((flags & TCP_ACK) === 0 || !checkAck(conn, seg, start, bytes)) return;
  if ((flags & TCP_URG) !== 0) checkUrgent(conn, start, seg.urgent);
  if (seg.payloadLength > 0 || (flags & TCP_FIN) !== 0) {
    if (!checkText(conn, seg, start, bytes)) return;
  }
  conn.tcp.markDirty(conn);
}

/**
 * The timestamp of a segment other than RST, on a connection with timestamps.
 * @returns false when the segment must not be processed further
 */
function checkTimestamp(conn: TcpConnection, seg: TcpView): boolean {
  const { counters } = conn.tcp;
  if (!seg.tsPresent) {
    // Without one it is dropped silently (RFC 7323 section 3.2); a SYN is challenged as ever.
    if ((seg.flags & TCP_SYN) !== 0) return true;
    counters.timestampsMissing++;
    return false;
  }
  if (!isOldDuplicate(conn, seg)) return true;
  counters.pawsDropped++;
  answerInvalid(conn, seg);
  return false;
}

/** PAWS (RFC 7323 section 5.3): the segment is older than one that has been received. */
function isOldDuplicate(conn: TcpConnection, seg: TcpView): boolean {
  return ((seg.tsVal - conn.tsRecent) | 0) < 0 && conn.tcp.now - conn.tsRecentAtUs < PAWS_IDLE_US;
}

/** First: the sequence number. Whether a part of the segment lies in the receive window. */
function isAcceptable(conn: TcpConnection, seg: TcpView, start: number): boolean {
  const window = Math.max(0, conn.rcvAdv - conn.rcvNxt);
  const length = segmentLength(seg);
  if (length > 0) return window > 0 && start < conn.rcvNxt + window && start + length > conn.rcvNxt;
  return window === 0 ? start === conn.rcvNxt : start >= conn.rcvNxt && start < conn.rcvNxt + window;
}

/**
 * Answers a segment outside of the window; its RST, its urgent pointer and its ACK field still
 * count.
 */
function unacceptable(conn: TcpConnection, seg: TcpView, start: number): void {
  const { tcp } = conn;
  const { flags } = seg;
  // A closed window hides neither RST nor urgency (RFC 9293 MUST-66).
  if ((flags & TCP_RST) !== 0) {
    if (start === conn.rcvNxt) reset(conn);
    return;
  }
  if (start === conn.rcvNxt && (flags & (TCP_URG | TCP_SYN)) === TCP_URG) checkUrgent(conn, start, seg.urgent);
  if (conn.state === TcpState.SynRcvd && (flags & TCP_SYN) !== 0 && start === 0) {
    repeatedSyn(conn, seg);
    return;
  }
  tcp.counters.outOfWindow++;
  const length = seg.payloadLength;
  if ((flags & TCP_SYN) !== 0 && start === 0) takeSynAgain(conn, seg);
  if (length > 0 && start < conn.rcvNxt) noteDuplicate(conn, start, Math.min(start + length, conn.rcvNxt));
  answerInvalid(conn, seg);
  // Two peers with closed windows would starve each other if the ACK of an unacceptable segment
  // were not processed.
  if ((flags & (TCP_ACK | TCP_SYN)) !== TCP_ACK || conn.state < TcpState.Established) return;
  if (isAckAcceptable(conn, seg)) acknowledge(conn, seg, start);
}

/** In SYN-RECEIVED the peer's SYN has come again. */
function repeatedSyn(conn: TcpConnection, seg: TcpView): void {
  // Simultaneous open: the peer's SYN-ACK repeats its SYN and acknowledges ours (RFC 9293 figure
  // 7).
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  if ((seg.flags & TCP_ACK) !== 0 && ack >= 1 && ack <= conn.sndNxt) {
    keepSynData(conn, ack);
    establish(conn, seg);
    conn.scoreboard.beginAck();
    newAck(conn, seg, ack, 0);
    ackSoon(conn);
  } else {
    // Our SYN-ACK was lost.
    takeSynAgain(conn, seg);
    sendSyn(conn);
  }
}

/** After a simultaneous open: data of our SYN that the peer did not take is new data again. */
function keepSynData(conn: TcpConnection, ack: number): void {
  if (conn.synData > 0) conn.sndNxt = ack;
}

/** Second: RST. Only one that is exactly in order resets the connection (RFC 5961 section 3.2). */
function checkReset(conn: TcpConnection, start: number): void {
  if (start === conn.rcvNxt) reset(conn);
  else conn.tcp.challengeAck(conn);
}

function reset(conn: TcpConnection): void {
  const { tcp, state } = conn;
  tcp.counters.resetsReceived++;
  if (conn.fastOpened && state === TcpState.SynRcvd) tcp.remove(conn, 'ECONNRESET');
  else if (state === TcpState.SynRcvd) tcp.remove(conn, conn.listener !== null ? null : 'ECONNREFUSED');
  else tcp.remove(conn, state >= TcpState.Closing ? null : 'ECONNRESET');
}

/** Fourth: a SYN in the window is an attack or a stale duplicate (RFC 5961 section 4.2). */
function checkSyn(conn: TcpConnection, seg: TcpView, start: number): void {
  if (conn.state === TcpState.SynRcvd && start === 0) repeatedSyn(conn, seg);
  else conn.tcp.challengeAck(conn);
}

/** Fifth: the ACK field. @returns false when the segment must not be processed further */
function checkAck(conn: TcpConnection, seg: TcpView, start: number, bytes: Uint8Array): boolean {
  const { tcp } = conn;
  const handshake = conn.state === TcpState.SynRcvd;
  if (handshake) {
    const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
    if (ack < 1 || ack > conn.sndNxt) {
      tcp.wrongHandshakeAck(conn, seg, bytes);
      return false;
    }
  } else if (!isAckAcceptable(conn, seg)) return false;
  if (conn.tsOk && seg.tsPresent && start <= conn.lastAckSent && ((seg.tsVal - conn.tsRecent) | 0) >= 0) {
    conn.tsRecent = seg.tsVal;
    conn.tsRecentAtUs = tcp.now;
  }
  if (handshake) {
    keepSynData(conn, unwrap(seg.ack, conn.iss, conn.sndUna));
    establish(conn, seg);
    takeFirstAck(conn, seg);
  }
  conn.lastReceiveUs = tcp.now;
  conn.keepAliveProbes = 0;
  acknowledge(conn, seg, start);
  if (conn.removed) return false;
  if (conn.ecnOk) takeMark(conn, seg);
  return true;
}

/**
 * Sixth: URG. The peer's urgent data ends before `start + pointer`; it stays in the stream (RFC
 * 9293 section 3.8.5).
 */
function checkUrgent(conn: TcpConnection, start: number, pointer: number): void {
  const end = start + pointer;
  if (conn.peerFin || end <= conn.rcvUp || end <= conn.rcvNxt) return;
  conn.rcvUp = end;
  conn.tcp.counters.urgent++;
  conn.user?.onUrgent?.(conn);
}

/** Seventh: text, and eighth: FIN. @returns false when neither was taken */
function checkText(conn: TcpConnection, seg: TcpView, start: number, bytes: Uint8Array): boolean {
  if (conn.peerFin) return false;
  let length = seg.payloadLength;
  if (length > 0) measureText(conn, seg);
  if (conn.orphan && length > 0) {
    // There is no reader any more (RFC 1122 section 4.2.2.13).
    conn.tcp.abort(conn);
    return false;
  }
  let fin = (seg.flags & TCP_FIN) !== 0;
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
  return true;
}
