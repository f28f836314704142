/**
 * Congestion marks: classic (RFC 3168), where the receiver repeats "there was a mark" until it hears that the sender has slowed
 * down, and accurate (AccECN, RFC 9768), where three header bits count the marked packets. Which one is agreed on with the SYNs.
 *
 * The accurate count is three bits wide. The congestion controllers here slow down at most once per round trip, however many
 * marks there were, so that only its change matters, and the byte counters of the AccECN option are not needed.
 */
import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_FIN, TCP_RST, TCP_SYN, type TcpView } from '../../../lib/packet/tcp.js';
import type { TcpConnection } from '../connection.js';
import { congestionEcho } from './recovery.js';

const ALL = TCP_AE | TCP_CWR | TCP_ECE;
/** Codepoints of the IP header. */
const CE = 3;
/** What the handshake says of the IP header's codepoint with which its other packet came (RFC 9768 tables 2 and 3). */
const HANDSHAKE = [2, 3, 4, 6];
/** Both counters begin here (section 3.2.1): no count is zero, as a middlebox may make it. */
const FIRST_COUNT = 5;
/** So many marks are reported at once: with data that is not acknowledged yet, and without (section 3.2.2.5.1). */
const REPORT_DATA = 2;
const REPORT_NO_DATA = 3;
/** A SYN or SYN-ACK that has gone unanswered so often may have been dropped for its bits (RFC 3168 section 6.1.1.1). */
const PLAIN_AFTER = 2;

/** The three bits as a number, as the ACE field has them. */
function bits(flags: number): number {
  return (flags & TCP_AE ? 4 : 0) | (flags & TCP_CWR ? 2 : 0) | (flags & TCP_ECE ? 1 : 0);
}

function flagsOf(value: number): number {
  return (value & 4 ? TCP_AE : 0) | (value & 2 ? TCP_CWR : 0) | (value & 1 ? TCP_ECE : 0);
}

function beAccurate(conn: TcpConnection): void {
  conn.ecnOk = true;
  conn.accEcn = true;
  conn.rCep = FIRST_COUNT;
  conn.sCep = FIRST_COUNT;
}

/** The peer's SYN or SYN-ACK: what is agreed on (RFC 9768 table 2). */
export function takeSyn(conn: TcpConnection, seg: TcpView): void {
  const { ecn } = conn.tcp.options;
  const said = bits(seg.flags);
  const passive = (seg.flags & TCP_ACK) === 0;
  if (ecn === 'off' || said === 0) return;
  if (passive) {
    // Both lower bits without the upper one are the classic request; what is not known is a later accurate one.
    if (said === bits(TCP_ECE | TCP_CWR)) conn.ecnOk = true;
    else beAccurate(conn);
    conn.synEcn = seg.ecn;
    return;
  }
  if (ecn === 'accept' || said === bits(ALL)) return;
  if (said === 1 || said === 5 || ecn === 'ask') {
    conn.ecnOk = said === 1 || said === 5;
    return;
  }
  beAccurate(conn);
  conn.synEcn = seg.ecn;
  if (seg.ecn === CE) conn.rCep++;
  // Our SYN went without a codepoint: whoever gave it one may do so to others (section 3.2.2.3).
  conn.ecnMute = said !== HANDSHAKE[0];
}

/** What a SYN asks for, or a SYN-ACK agrees to. */
export function synFlags(conn: TcpConnection, asks: boolean): number {
  const tries = conn.rtt.backoff;
  if (asks) {
    const { ecn } = conn.tcp.options;
    if (tries >= PLAIN_AFTER || ecn === 'off' || ecn === 'accept') return 0;
    return ecn === 'accurate' ? ALL : TCP_ECE | TCP_CWR;
  }
  if (!conn.ecnOk) return 0;
  if (!conn.accEcn) return TCP_ECE;
  if (tries < PLAIN_AFTER) return flagsOf(HANDSHAKE[Math.max(0, conn.synEcn)]!);
  conn.ecnMute = true;
  return 0;
}

/** The bits of a segment after the handshake. `bare`: it has neither data nor SACK blocks. */
export function segmentFlags(conn: TcpConnection, flags: number, bare: boolean): number {
  if (!conn.ecnOk || (flags & (TCP_SYN | TCP_RST)) !== 0) return 0;
  if (!conn.accEcn) return conn.ecnEcho ? TCP_ECE : 0;
  conn.cePending = 0;
  if (!answersSyn(conn) || !bare || (flags & TCP_FIN) !== 0) return flagsOf(conn.rCep & 7);
  const { synEcn } = conn;
  conn.synEcn = -1;
  return flagsOf(HANDSHAKE[synEcn]!);
}

/** The client's next bare acknowledgement says how the SYN-ACK came; it goes before any data (section 3.2.2.1). */
export function answersSyn(conn: TcpConnection): boolean {
  return conn.synEcn >= 0 && conn.accEcn && conn.listener === null;
}

/** The SYN-ACK has come again: the answer to the first was lost. */
export function takeSynAgain(conn: TcpConnection, seg: TcpView): void {
  if (!conn.accEcn || conn.listener !== null) return;
  conn.synEcn = seg.ecn;
  if (seg.ecn === CE && conn.rCep === FIRST_COUNT) conn.rCep++;
}

/** The first acknowledgement that a server gets, if it is a bare one, has a meaning of its own (RFC 9768 table 4). */
export function takeFirstAck(conn: TcpConnection, seg: TcpView): void {
  conn.synEcn = -1;
  if (!conn.accEcn || seg.payloadLength > 0 || seg.sackCount > 0) return;
  const said = bits(seg.flags);
  // Our SYN-ACK went without a codepoint.
  if (said === 0 || (said !== HANDSHAKE[0] && HANDSHAKE.includes(said))) conn.ecnMute = true;
  if (said !== HANDSHAKE[CE]) return;
  conn.sCep++;
  conn.marksHeard++;
  congestionEcho(conn);
}

/** An acceptable segment: was it marked? */
export function takeMark(conn: TcpConnection, seg: TcpView): void {
  const marked = seg.ecn === CE;
  const length = seg.payloadLength;
  if (!conn.accEcn) {
    if ((seg.flags & TCP_CWR) !== 0) conn.ecnEcho = false;
    if (marked && length > 0) {
      conn.ecnEcho = true;
      conn.ackNow = true;
      conn.marksSeen++;
      conn.tcp.counters.ecnMarks++;
    }
    return;
  }
  const before = conn.lastCe;
  conn.lastCe = marked;
  if (!marked) return;
  const packets = Math.max(1, Math.ceil(length / conn.peerSegment));
  conn.rCep += packets;
  conn.cePending += packets;
  conn.marksSeen += packets;
  conn.tcp.counters.ecnMarks += packets;
  const enough = conn.rcvNxt > conn.lastAckSent || length > 0 ? REPORT_DATA : REPORT_NO_DATA;
  if ((length > 0 && !before) || conn.cePending >= enough) conn.ackNow = true;
}

/** What an acknowledgement says of marks on what we sent. `delivered`: it reports new data. */
export function takeEcho(conn: TcpConnection, seg: TcpView, delivered: boolean): void {
  if (!conn.ecnOk || (seg.flags & TCP_SYN) !== 0) return;
  if (!conn.accEcn) {
    if ((seg.flags & TCP_ECE) !== 0) {
      conn.marksHeard++;
      congestionEcho(conn);
    }
    return;
  }
  const said = bits(seg.flags);
  if (conn.sCep < 0) conn.sCep = said;
  // One that reports nothing new may be older than what has been counted.
  if (!delivered) return;
  const more = (said - conn.sCep) & 7;
  if (more === 0) return;
  conn.sCep += more;
  conn.marksHeard += more;
  congestionEcho(conn);
}

/** Whether new data is marked as one that understands marks (RFC 3168 section 6.1.2). */
export function capable(conn: TcpConnection): boolean {
  return conn.ecnOk && !conn.ecnMute;
}

/** Segments that go as one to a device that multiplies them lose the second bit of the count in all copies but the first. */
export function countSurvivesOffload(conn: TcpConnection): boolean {
  return !conn.accEcn || (conn.rCep & 2) === 0;
}

// --- For a replica, which sees no packets ---

const WORD_VALID = 8;
const WORD_MUTE = 16;
export const FIRST_MARKS_WORD = FIRST_COUNT | WORD_VALID;

/** What another replica has to know to count on. */
export function marksWord(conn: TcpConnection): number {
  return conn.accEcn ? (conn.rCep & 7) | WORD_VALID | (conn.ecnMute ? WORD_MUTE : 0) : 0;
}

/** What the peer has reported of our marks is not told: its next report is taken as the beginning. */
export function setMarksWord(conn: TcpConnection, word: number): void {
  if ((word & WORD_VALID) === 0) return;
  conn.rCep = word & 7;
  conn.sCep = -1;
  conn.ecnMute = (word & WORD_MUTE) !== 0;
}
