/**
 * Explicit congestion notification. In classic ECN (RFC 3168) the receiver repeats ECE until CWR
 * tells it that the sender has slowed down. In accurate ECN (AccECN, RFC 9768) three header bits
 * count the marked packets. The SYNs negotiate which.
 *
 * The congestion controllers slow down at most once per round trip, however many marks there were.
 * So only a change of the three-bit count matters, and the byte counters of the AccECN option are
 * not needed.
 */
import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_FIN, TCP_RST, TCP_SYN, type TcpView } from '../../../lib/packet/tcp.js';
import type { TcpConnection } from '../connection.js';
import { congestionEcho } from './recovery.js';

const ALL = TCP_AE | TCP_CWR | TCP_ECE;
/** Codepoints of the IP header. */
const CE = 3;
/**
 * ACE value that reports the IP codepoint of the peer's SYN or SYN-ACK, by codepoint (RFC 9768
 * tables 2 and 3).
 */
const HANDSHAKE = [2, 3, 4, 6];
/** Initial value of both counters (section 3.2.1): not zero, which a middlebox may write. */
const FIRST_COUNT = 5;
/**
 * Marks after which an ACK is due at once: with data to acknowledge, and without (section
 * 3.2.2.5.1).
 */
const REPORT_DATA = 2;
const REPORT_NO_DATA = 3;
/**
 * Timeouts after which a SYN or SYN-ACK goes without ECN bits: they may be why it was dropped (RFC
 * 3168 section 6.1.1.1).
 */
const PLAIN_AFTER = 2;

/** The three flags as the number in the ACE field. */
function aceOf(flags: number): number {
  return (flags & TCP_AE ? 4 : 0) | (flags & TCP_CWR ? 2 : 0) | (flags & TCP_ECE ? 1 : 0);
}

function flagsOf(value: number): number {
  return (value & 4 ? TCP_AE : 0) | (value & 2 ? TCP_CWR : 0) | (value & 1 ? TCP_ECE : 0);
}

function useAccurate(conn: TcpConnection): void {
  conn.ecnOk = true;
  conn.accEcn = true;
  conn.rCep = FIRST_COUNT;
  conn.sCep = FIRST_COUNT;
}

/** Takes the ECN bits of the peer's SYN or SYN-ACK (RFC 9768 table 2). */
export function takeSyn(conn: TcpConnection, seg: TcpView): void {
  const { ecn } = conn.tcp.options;
  const said = aceOf(seg.flags);
  const passive = (seg.flags & TCP_ACK) === 0;
  if (ecn === 'off' || said === 0) return;
  if (passive) {
    // ECE and CWR without AE request classic ECN; an unknown value is taken for a later accurate
    // version.
    if (said === aceOf(TCP_ECE | TCP_CWR)) conn.ecnOk = true;
    else useAccurate(conn);
    conn.synEcn = seg.ecn;
    return;
  }
  if (ecn === 'accept' || said === aceOf(ALL)) return;
  if (said === 1 || said === 5 || ecn === 'ask') {
    conn.ecnOk = said === 1 || said === 5;
    return;
  }
  useAccurate(conn);
  conn.synEcn = seg.ecn;
  if (seg.ecn === CE) conn.rCep++;
  // Our SYN had no codepoint: a path that adds one cannot be trusted with marks (section 3.2.2.3).
  conn.ectSuppressed = said !== HANDSHAKE[0];
}

/** The ECN bits of a SYN (`asks`), or of a SYN-ACK. */
export function synFlags(conn: TcpConnection, asks: boolean): number {
  const tries = conn.rtt.backoff;
  if (asks) {
    const { ecn } = conn.tcp.options;
    if (tries >= PLAIN_AFTER || ecn === 'off' || ecn === 'accept') return 0;
    return ecn === 'accurate' ? ALL : TCP_ECE | TCP_CWR;
  }
  if (!conn.ecnOk) return 0;
  if (!conn.accEcn) return TCP_ECE;
  if (tries < PLAIN_AFTER) return flagsOf(HANDSHAKE[Math.max(0, conn.synEcn)]);
  conn.ectSuppressed = true;
  return 0;
}

/**
 * The ECN bits of a segment after the handshake.
 * @param bare it has neither data nor SACK blocks
 */
export function segmentFlags(conn: TcpConnection, flags: number, bare: boolean): number {
  if (!conn.ecnOk || (flags & (TCP_SYN | TCP_RST)) !== 0) return 0;
  if (!conn.accEcn) return conn.ecnEcho ? TCP_ECE : 0;
  conn.cePending = 0;
  if (!answersSyn(conn) || !bare || (flags & TCP_FIN) !== 0) return flagsOf(conn.rCep & 7);
  const { synEcn } = conn;
  conn.synEcn = -1;
  return flagsOf(HANDSHAKE[synEcn]);
}

/**
 * Whether the client's next bare ACK reports the codepoint of the SYN-ACK; it goes before any data
 * (section 3.2.2.1).
 */
export function answersSyn(conn: TcpConnection): boolean {
  return conn.synEcn >= 0 && conn.accEcn && conn.listener === null;
}

/**
 * The peer's SYN or SYN-ACK has come again: our answer was lost, and the next one reports the
 * codepoint of the latest (RFC 9768 section 3.1.5).
 */
export function takeSynAgain(conn: TcpConnection, seg: TcpView): void {
  const passive = conn.listener !== null;
  if (!conn.accEcn || (passive && conn.established)) return;
  conn.synEcn = seg.ecn;
  if ((seg.flags & TCP_ACK) !== 0 && seg.ecn === CE && conn.rCep === FIRST_COUNT) conn.rCep++;
}

/**
 * The first ACK that a server gets, if it is bare, reports the codepoint of the SYN-ACK (RFC 9768
 * table 4).
 */
export function takeFirstAck(conn: TcpConnection, seg: TcpView): void {
  conn.synEcn = -1;
  if (!conn.accEcn || seg.payloadLength > 0 || seg.sackCount > 0) return;
  const said = aceOf(seg.flags);
  // Our SYN-ACK went without a codepoint.
  if (said === 0 || (said !== HANDSHAKE[0] && HANDSHAKE.includes(said))) conn.ectSuppressed = true;
  if (said !== HANDSHAKE[CE]) return;
  conn.sCep++;
  conn.ceReported++;
  congestionEcho(conn);
}

/** Counts the mark of an acceptable segment. */
export function takeMark(conn: TcpConnection, seg: TcpView): void {
  const marked = seg.ecn === CE;
  const length = seg.payloadLength;
  if (!conn.accEcn) {
    if ((seg.flags & TCP_CWR) !== 0) conn.ecnEcho = false;
    if (marked && length > 0) {
      conn.ecnEcho = true;
      conn.ackNow = true;
      conn.ceReceived++;
      conn.tcp.counters.ecnMarks++;
    }
    return;
  }
  const before = conn.lastCe;
  conn.lastCe = marked;
  if (!marked) return;
  const packets = Math.max(1, Math.ceil(length / conn.maxSegmentReceived));
  conn.rCep += packets;
  conn.cePending += packets;
  conn.ceReceived += packets;
  conn.tcp.counters.ecnMarks += packets;
  const enough = conn.rcvNxt > conn.lastAckSent || length > 0 ? REPORT_DATA : REPORT_NO_DATA;
  if ((length > 0 && !before) || conn.cePending >= enough) conn.ackNow = true;
}

/** Takes the peer's report of marks on what we sent. @param delivered the ACK reports new data */
export function takeEcho(conn: TcpConnection, seg: TcpView, delivered: boolean): void {
  if (!conn.ecnOk || (seg.flags & TCP_SYN) !== 0) return;
  if (!conn.accEcn) {
    if ((seg.flags & TCP_ECE) !== 0) {
      conn.ceReported++;
      congestionEcho(conn);
    }
    return;
  }
  const said = aceOf(seg.flags);
  if (conn.sCep < 0) conn.sCep = said;
  // Without new data the ACK may be older than the last report.
  if (!delivered) return;
  const more = (said - conn.sCep) & 7;
  if (more === 0) return;
  conn.sCep += more;
  conn.ceReported += more;
  congestionEcho(conn);
}

/** Whether new data is sent as ECN-capable, ECT(0) (RFC 3168 section 6.1.2). */
export function sendsEct(conn: TcpConnection): boolean {
  return conn.ecnOk && !conn.ectSuppressed;
}

/**
 * Whether the count survives segmentation offload: the device clears CWR in all segments but the
 * first.
 */
export function countSurvivesOffload(conn: TcpConnection): boolean {
  return !conn.accEcn || (conn.rCep & 2) === 0;
}

// --- For a replica, which sees no packets ---

const WORD_VALID = 8;
const WORD_MUTE = 16;
/** The word of a connection without marks. */
export const FIRST_MARKS_WORD = FIRST_COUNT | WORD_VALID;

/**
 * The ECN state that another replica needs to continue the count, as a word; 0: no accurate ECN.
 */
export function marksWord(conn: TcpConnection): number {
  return conn.accEcn ? (conn.rCep & 7) | WORD_VALID | (conn.ectSuppressed ? WORD_MUTE : 0) : 0;
}

/**
 * Takes over such a word. It has no count of the peer's: the peer's next report is taken as the
 * beginning.
 */
export function setMarksWord(conn: TcpConnection, word: number): void {
  if ((word & WORD_VALID) === 0) return;
  conn.rCep = word & 7;
  conn.sCep = -1;
  conn.ectSuppressed = (word & WORD_MUTE) !== 0;
}
