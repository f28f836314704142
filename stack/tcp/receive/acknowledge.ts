/**
 * The ACK field of a segment (RFC 9293 section 3.10.7.4, fifth step): SND.UNA, the send window, the
 * round-trip time, the congestion window, and what is found to be lost.
 */
import { TCP_FIN, TCP_SYN, type TcpView } from '../../../lib/packet/tcp.js';
import { unwrap } from '../../../lib/seq.js';
import { type TcpConnection, Timer } from '../connection.js';
import { takeEcho } from '../loss/ecn.js';
import { releaseLossState } from '../loss/loss-state.js';
import { probeAcked } from '../loss/mtu-probe.js';
import { afterAck, duplicateAck, takeSack } from '../loss/recovery.js';
import { TcpState } from '../state.js';
import { answerInvalid, mayAnswer } from './invalid.js';

/** The handshake is complete: ESTABLISHED, or FIN-WAIT-1 when the user has closed already. */
export function establish(conn: TcpConnection, seg: TcpView): void {
  const { tcp } = conn;
  conn.state = TcpState.Established;
  conn.established = true;
  conn.sndWnd = (seg.flags & TCP_SYN) !== 0 ? seg.window : seg.window << conn.sndScale;
  conn.maxSndWnd = Math.max(conn.maxSndWnd, conn.sndWnd);
  tcp.connectionEstablished(conn);
  if (conn.finQueued) conn.enterFinState();
}

/**
 * Whether the ACK field is acceptable (RFC 5961 section 5.2); otherwise the segment is answered,
 * and discarded before it has changed anything.
 */
export function isAckAcceptable(conn: TcpConnection, seg: TcpView): boolean {
  const { tcp } = conn;
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  if (ack > conn.sndNxt && ack <= conn.inheritedSndMax) conn.sndNxt = ack;
  if (ack > conn.sndNxt) {
    // RFC 9293 section 3.10.7.4: acknowledges what was never sent.
    tcp.counters.ackedUnsent++;
    answerInvalid(conn, seg);
    return false;
  }
  if (ack < conn.sndUna - conn.maxSndWnd - 1) {
    if (mayAnswer(conn, seg)) tcp.challengeAck(conn);
    return false;
  }
  return true;
}

/** Processes an acceptable ACK field; `start` is SEG.SEQ as an offset. */
export function acknowledge(conn: TcpConnection, seg: TcpView, start: number): void {
  const { tcp } = conn;
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  conn.scoreboard.beginAck();
  const fresh = conn.sackOk && seg.sackCount > 0 ? takeSack(conn, seg, ack) : 0;
  const before = conn.sndUna;
  const windowChanged = takeWindow(conn, seg, start, ack);
  if (ack > conn.sndUna) newAck(conn, seg, ack, fresh);
  else if (ack === conn.sndUna && conn.flightSize > 0) {
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
    if (conn.flightSize === 0) releaseLossState(conn);
    conn.ackHint = true;
    tcp.markDirty(conn);
  }
}

/**
 * SND.WND, from a segment that is not older than the one which set it last.
 * @returns whether it changed
 */
function takeWindow(conn: TcpConnection, seg: TcpView, start: number, ack: number): boolean {
  if (ack < conn.sndUna || start < conn.sndWl1 || (start === conn.sndWl1 && ack < conn.sndWl2)) return false;
  const window = seg.window << conn.sndScale;
  const changed = window !== conn.sndWnd;
  conn.sndWnd = window;
  if (window > conn.maxSndWnd) conn.maxSndWnd = window;
  conn.sndWl1 = start;
  conn.sndWl2 = ack;
  if (changed && window > 0 && conn.deadlines[Timer.Persist] !== Number.POSITIVE_INFINITY) {
    conn.clearTimer(Timer.Persist);
    conn.rtt.backoff = 0;
  }
  return changed;
}

/** SND.UNA moves to `ack`; SACK has reported `fresh` bytes. */
export function newAck(conn: TcpConnection, seg: TcpView, ack: number, fresh: number): void {
  const { tcp, recovery } = conn;
  const acked = ack - conn.sndUna;
  const limited = pipeLimited(conn);
  const recovering = recovery.active || recovery.afterTimeout;
  const synced = conn.sndUna > 0;
  conn.sndUna = ack;
  conn.progressUs = tcp.now;
  conn.softError = null;
  conn.sendBuffer.releaseTo(Math.min(ack - 1, conn.sendBuffer.end));
  conn.scoreboard.advance(ack, tcp.now, conn.rtt.minUs);
  if (!synced) measureSyn(conn);
  // Data that waited behind a hole does not time a round trip; data that SACK has just reported
  // does.
  else if (conn.sackOk ? fresh > 0 || !recovering : !recovering && recovery.dupAcks === 0) measure(conn);
  conn.rtt.backoff = 0;
  recovery.limitedTransmit = 0;
  if (conn.mtuProbeEnd >= 0) probeAcked(conn, ack);
  if (recovery.tlpEnd >= 0 && !recovery.tlpIsRetransmission && ack >= recovery.tlpEnd) recovery.tlpEnd = -1;
  afterAck(conn, seg, acked, limited);
  if (conn.flightSize > 0) conn.setTimer(Timer.Retransmit, tcp.now + conn.rtt.rtoUs());
  else {
    conn.clearTimer(Timer.Retransmit);
    conn.clearTimer(Timer.Probe);
    conn.clearTimer(Timer.Reorder);
  }
  if (conn.finQueued && ack === conn.sndEnd + 1) finAcked(conn);
  if (!conn.removed) conn.user?.onProgress(conn);
}

/**
 * Whether the congestion window limited us, so that it may grow (RFC 9438 section 5.8, RFC 7661).
 */
function pipeLimited(conn: TcpConnection): boolean {
  return conn.flightSize * 2 >= conn.cc.cwnd;
}

/** Samples the round trip of the latest data that arrived now and was sent only once. */
function measure(conn: TcpConnection): void {
  if (conn.scoreboard.onceUs >= 0) sampleRtt(conn, conn.scoreboard.onceUs);
}

/** The round trip of the handshake, if the SYN was sent once. */
export function measureSyn(conn: TcpConnection): void {
  if (conn.synSentUs >= 0) sampleRtt(conn, conn.synSentUs);
}

function sampleRtt(conn: TcpConnection, sentUs: number): void {
  const rttUs = Math.max(1, conn.tcp.now - sentUs);
  conn.rtt.sample(rttUs);
  conn.tcp.rtts.add(rttUs);
}

/** Our FIN has been acknowledged. */
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
