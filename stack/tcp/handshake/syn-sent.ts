/** Segments for a connection in SYN-SENT (RFC 9293 section 3.10.7.3). */
import { TCP_ACK, TCP_RST, TCP_SYN, type TcpView } from '../../../lib/packet/tcp.js';
import { unwrap } from '../../../lib/seq.js';
import { type TcpConnection, Timer } from '../connection.js';
import { establish, measureSyn } from '../receive/acknowledge.js';
import { text } from '../receive/text.js';
import { replyReset } from '../receive/unmatched.js';
import { sendSyn } from '../send/segment.js';
import { TcpState } from '../state.js';
import { takeSynOptions } from './syn-options.js';

/** Handles one segment. `bytes` is only valid during the call. */
export function synSentSegment(conn: TcpConnection, seg: TcpView, bytes: Uint8Array): void {
  const { tcp } = conn;
  const ack = unwrap(seg.ack, conn.iss, conn.sndUna);
  if ((seg.flags & TCP_ACK) !== 0 && (ack < 1 || ack > conn.sndNxt)) {
    if ((seg.flags & TCP_RST) === 0) replyReset(tcp, seg, conn.localAddress, conn.remoteAddress);
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
  takeSynOptions(conn, seg);
  if ((seg.flags & TCP_ACK) !== 0) synAcked(conn, seg, ack, bytes);
  else {
    // Simultaneous open. Only a server's SYN-ACK has a cookie (RFC 7413 section 4.1.1).
    conn.state = TcpState.SynRcvd;
    conn.fastOpenCookie = null;
    tcp.observer?.opened(conn);
    sendSyn(conn);
  }
}

/** What a SYN-ACK says about Fast Open (RFC 7413 sections 4.1.3 and 4.2.1). */
function takeFastOpenAnswer(conn: TcpConnection, seg: TcpView, ack: number, bytes: Uint8Array): void {
  const { tcp, remoteAddress } = conn;
  const { fastOpenAt, fastOpenLength } = seg;
  if (ack > 1) {
    tcp.counters.fastOpenActive++;
    tcp.fastOpen.accepted(remoteAddress);
  }
  if (fastOpenLength > 0) {
    tcp.fastOpen.remember(remoteAddress, bytes.slice(fastOpenAt, fastOpenAt + fastOpenLength), seg.mss);
  } else if (ack === 1 && conn.synData > 0 && conn.fastOpenCookie !== null) {
    tcp.fastOpen.refused(remoteAddress, tcp.now);
  }
}

/** A SYN-ACK: the connection is established. */
function synAcked(conn: TcpConnection, seg: TcpView, ack: number, bytes: Uint8Array): void {
  const { tcp } = conn;
  conn.sndWl1 = 0;
  conn.lastReceiveUs = tcp.now;
  // More than the SYN: its data was taken, or a part of it (RFC 7413 section 4.2.1). The rest is
  // sent again.
  conn.sndUna = ack;
  conn.sndNxt = ack;
  conn.sendBuffer.releaseTo(ack - 1);
  conn.scoreboard.advance(ack, tcp.now, conn.rtt.minUs);
  takeFastOpenAnswer(conn, seg, ack, bytes);
  measureSyn(conn);
  conn.rtt.backoff = 0;
  conn.clearTimer(Timer.Retransmit);
  conn.state = TcpState.SynRcvd;
  establish(conn, seg);
  conn.ackNow = true;
  if (seg.payloadLength > 0) text(conn, 1, bytes, seg.payloadOffset, seg.payloadLength);
  tcp.markDirty(conn);
}
