/**
 * Segments that belong to no connection: those of connections in TIME-WAIT, and all others, which
 * are answered with RST.
 */
import { finish, sum16 } from '../../../lib/checksum.js';
import { TX_HEADROOM } from '../../../lib/device/device.js';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, type TcpView, writeTcpHeader } from '../../../lib/packet/tcp.js';
import type { TcpRoute } from '../../core/tcp-route.js';
import type { TcpContext } from '../connection.js';
import type { TimeWaitEntry } from '../time-wait.js';
import { INVALID_ANSWER_US, segmentLength } from './invalid.js';

/**
 * After we have answered a SYN in TIME-WAIT, a RST at RCV.NXT is taken for this long, microseconds:
 * more than most round trips. The peer has forgotten the connection and wants a new one.
 */
const SYN_ANSWER_US = 3_000_000;

/**
 * A segment without a connection; valid during the call that delivers it. Addresses are numbers of
 * the address book.
 */
export interface Arrival {
  seg: TcpView;
  bytes: Uint8Array;
  localAddress: number;
  remoteAddress: number;
}

/**
 * A segment for a connection in TIME-WAIT (RFC 9293 section 3.10.7.4, RFC 6191).
 * @returns true when it may open a new connection instead.
 */
export function timeWaitSegment(tcp: TcpContext, entry: TimeWaitEntry, seg: TcpView): boolean {
  const ahead = (seg.seq - entry.rcvNxt) | 0;
  const syn = (seg.flags & TCP_SYN) !== 0;
  if ((seg.flags & TCP_RST) !== 0) {
    timeWaitReset(tcp, entry, ahead);
    return false;
  }
  if (syn && (seg.flags & TCP_ACK) === 0 && isNewer(entry, seg, ahead)) {
    tcp.timeWaits.delete(entry.localAddress, entry.localPort, entry.remoteAddress, entry.remotePort);
    return true;
  }
  if (isPeersFin(entry, seg, ahead)) tcp.timeWaits.renew(entry, tcp.now + 2 * tcp.options.mslUs);
  else {
    // Two ends in TIME-WAIT that answered each other in order would never stop.
    if (ahead === 0 && segmentLength(seg) === 0) return false;
    // Fifth: in the window and without ACK it is dropped.
    if (!syn && (seg.flags & TCP_ACK) === 0 && ahead >= 0 && ahead < entry.rcvWindow) return false;
    if (tcp.now - (entry.answeredUs ?? Number.NEGATIVE_INFINITY) < INVALID_ANSWER_US) return false;
    tcp.timeWaits.answered(entry, tcp.now, syn);
  }
  answerFor(tcp, entry, TCP_ACK, false);
  return false;
}

/** Whether a SYN is later than everything of the connection before (RFC 6191 section 2). */
function isNewer(entry: TimeWaitEntry, seg: TcpView, ahead: number): boolean {
  if (!entry.tsOk || !seg.tsPresent) return ahead > 0;
  return ((seg.tsVal - entry.tsRecent) | 0) > 0 || (seg.tsVal === entry.tsRecent && ahead > 0);
}

/** Whether a segment ends with the peer's FIN, which comes again when our ACK was lost. */
function isPeersFin(entry: TimeWaitEntry, seg: TcpView, ahead: number): boolean {
  if ((seg.flags & (TCP_FIN | TCP_ACK | TCP_SYN)) !== (TCP_FIN | TCP_ACK)) return false;
  if (ahead + seg.payloadLength + 1 !== 0 || ((seg.ack - entry.sndNxt) | 0) > 0) return false;
  return !(entry.tsOk && seg.tsPresent && ((seg.tsVal - entry.tsRecent) | 0) < 0);
}

/** A RST does not end TIME-WAIT (RFC 1337 section 3), unless it answers our answer to a SYN. */
function timeWaitReset(tcp: TcpContext, entry: TimeWaitEntry, ahead: number): void {
  if (ahead !== 0 || tcp.now - (entry.synAnsweredUs ?? Number.NEGATIVE_INFINITY) > SYN_ANSWER_US) return;
  tcp.timeWaits.delete(entry.localAddress, entry.localPort, entry.remoteAddress, entry.remotePort);
}

/**
 * Sends a bare segment in the name of a connection that has ended.
 * @param committed see `TxFrame.committed`
 * @returns false when it could not leave
 */
export function answerFor(tcp: TcpContext, entry: TimeWaitEntry, flags: number, committed: boolean): boolean {
  const route = tcp.host.tcpRoute(entry.localAddress, entry.remoteAddress);
  if (route === null) return true;
  const { localPort, remotePort, sndNxt, rcvNxt, rcvWindow, tsRecent } = entry;
  const tsVal = entry.tsOk ? tcp.timestamp(entry.tsOffset) : -1;
  const segment = { localPort, remotePort, seq: sndNxt, ack: rcvNxt, flags, window: rcvWindow, tsVal, tsEcr: tsRecent };
  return sendBareSegment(tcp, route, segment, committed);
}

/** The RST that RFC 9293 section 3.10.7.1 asks for. */
export function replyReset(tcp: TcpContext, seg: TcpView, localAddress: number, remoteAddress: number): void {
  if (tcp.frozen) return;
  const route = tcp.host.tcpRoute(localAddress, remoteAddress);
  if (route === null) return;
  tcp.counters.outRsts++;
  const reset = {
    localPort: seg.dstPort,
    remotePort: seg.srcPort,
    seq: 0,
    ack: 0,
    flags: TCP_RST,
    window: 0,
    tsVal: -1,
    tsEcr: 0,
  };
  if ((seg.flags & TCP_ACK) !== 0) reset.seq = seg.ack;
  else {
    reset.ack = (seg.seq + segmentLength(seg)) >>> 0;
    reset.flags |= TCP_ACK;
  }
  sendBareSegment(tcp, route, reset, false);
}

/** A segment without data and without a connection, in the numbers of the wire. */
interface BareSegment {
  localPort: number;
  remotePort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  /** TSval, or -1 for no timestamps. */
  tsVal: number;
  tsEcr: number;
}

function sendBareSegment(tcp: TcpContext, route: TcpRoute, segment: BareSegment, committed: boolean): boolean {
  const { localPort, remotePort, seq, ack, flags, window, tsVal, tsEcr } = segment;
  const frame = tcp.frame;
  frame.reset();
  frame.committed = committed;
  const at = route.tcpOffset;
  const header = tsVal >= 0 ? 32 : 20;
  writeTcpHeader(frame.header, frame.view, at, {
    srcPort: localPort,
    dstPort: remotePort,
    seq,
    ack,
    flags,
    window,
    urgent: 0,
    headerLength: header,
  });
  if (tsVal >= 0) {
    frame.view.setUint32(at + 20, 0x0101080a);
    frame.view.setUint32(at + 24, tsVal);
    frame.view.setUint32(at + 28, tsEcr);
  }
  frame.view.setUint16(at + 16, finish(sum16(frame.header, at, header, route.pseudoSum + header)));
  frame.headerLength = at + header - TX_HEADROOM;
  tcp.counters.outSegs++;
  return route.send(header, 0);
}
