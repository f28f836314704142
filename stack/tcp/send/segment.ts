/**
 * Builds and sends one segment. Nothing is built before it may leave, so a closed gate or a busy
 * device costs no memory: the caller tries again later, from the connection's state.
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
  type TcpFields,
  writeTcpHeader,
} from '../../../lib/packet/tcp.js';
import { type TcpConnection, Timer } from '../connection.js';
import { segmentFlags, sendsEct, synFlags } from '../loss/ecn.js';
import { advertise, synWindowField, windowField } from '../receive-window.js';
import { TcpState } from '../state.js';
import type { CommitLimit } from '../tcb/commit-limit.js';
import { outputLimit } from './output-commit.js';

const MIN_SEGMENT = 48;
/** ECN-capable transport, in the IP header (RFC 3168 section 5). */
const ECT0 = 2;
/** Bytes of options of a segment with timestamps and without SACK blocks. */
const PLAIN_OPTIONS = 12;
const OPT_FAST_OPEN = 34;
/** Of the segment that is sent; one object for all segments. */
const fields: TcpFields = {
  srcPort: 0,
  dstPort: 0,
  seq: 0,
  ack: 0,
  flags: 0,
  window: 0,
  urgent: 0,
  headerLength: 0,
};
/** MSS, length 4 (RFC 9293 section 3.7.1). */
const OPTION_MSS = 0x02040000;
/** NOP, window scale, length 3 (RFC 7323 section 2.2). */
const OPTION_SCALE = 0x01030300;
/** NOP, NOP, SACK permitted, length 2 (RFC 2018 section 2). */
const OPTION_SACK_PERMITTED = 0x01010402;
/** NOP, NOP, timestamps, length 10 (RFC 7323 section 3.2). */
const OPTION_TIMESTAMPS = 0x0101080a;
/** SACK permitted, timestamps. */
const OPTION_SACK_AND_TIMESTAMPS = 0x0402080a;
/** NOP, NOP, SACK; its length is added (RFC 2018 section 3). */
const OPTION_SACK = 0x01010500;
/** Four SACK blocks, as pairs of offsets. */
const sackScratch = new Float64Array(8);

/**
 * Payload of a full segment now: SACK blocks that have to go along leave less room (RFC 9293
 * section 3.7.1).
 */
export function segmentSize(conn: TcpConnection): number {
  if (conn.reassembly.empty || !conn.sackOk) return conn.sndMss;
  return Math.max(MIN_SEGMENT, conn.sndMss - 4 - 8 * (conn.tsOk ? 3 : 4));
}

/** Sends a segment without data. */
export function bare(conn: TcpConnection, seqOffset: number, flags: number): boolean {
  return emit(conn, seqOffset, 0, flags) >= 0;
}

/** SYN or SYN-ACK, with the options that are offered or agreed on. */
export function sendSyn(conn: TcpConnection): boolean {
  if (conn.synHeld) {
    // It waits as long as an answer would be repeated.
    conn.setTimer(Timer.Retransmit, conn.tcp.now + conn.rtt.rtoUs());
    return true;
  }
  let flags = conn.state === TcpState.SynSent ? TCP_SYN : TCP_SYN | TCP_ACK;
  flags |= synFlags(conn, conn.state === TcpState.SynSent);
  // A retransmitted SYN goes without the option, which a middlebox may have dropped (RFC 7413
  // section 4.1.3).
  if (conn.state === TcpState.SynSent && conn.rtt.backoff > 0 && conn.fastOpenCookie !== null) {
    conn.fastOpenCookie = null;
    conn.tcp.fastOpen.refused(conn.remoteAddress, conn.tcp.now);
  }
  const ok = emit(conn, 0, conn.sndNxt === 0 ? conn.synData : 0, flags) >= 0;
  if (conn.sndNxt === 0) {
    conn.sndNxt = 1 + conn.synData;
    conn.synSentUs = conn.tcp.now;
    conn.progressUs = conn.tcp.now;
  } else conn.synSentUs = -1;
  conn.setTimer(Timer.Retransmit, conn.tcp.now + conn.rtt.rtoUs());
  // Stopped by the device or the gate, it leaves as soon as possible.
  conn.synDue = !ok;
  if (!ok) conn.tcp.markDirty(conn);
  return ok;
}

/** A RST for a connection. @returns false when it could not leave */
export function sendReset(conn: TcpConnection): boolean {
  const synced = conn.state !== TcpState.SynSent;
  return synced ? bare(conn, conn.sndNxt, TCP_RST | TCP_ACK) : true;
}

/**
 * One data segment (or super-segment) from `from`, `length` sequence numbers long; a FIN is counted
 * as one.
 * @returns sequence numbers sent, 0 if nothing could be gathered, -1 if the device is busy.
 */
export function sendSegment(conn: TcpConnection, from: number, length: number, push: boolean, slowed: boolean): number {
  const data = Math.min(length, conn.sndEnd - from);
  let flags = TCP_ACK;
  if (push && data > 0) flags |= TCP_PSH;
  if (conn.finQueued && from + length > conn.sndEnd) flags |= TCP_FIN;
  if (slowed) flags |= TCP_CWR;
  return emit(conn, from, data, flags);
}

/**
 * Builds and sends one segment.
 * @returns sequence numbers it covers, or -1 if the device is busy.
 */
function emit(conn: TcpConnection, seqOffset: number, length: number, flags: number): number {
  const { tcp, route } = conn;
  const limit = outputLimit(conn);
  if (limit !== null && !admits(limit, conn, seqOffset, length, flags)) {
    limit.waiting = true;
    return -1;
  }
  const rcv = limit === null ? conn.rcvNxt : Math.min(limit.rcv, conn.rcvNxt);
  const { frame } = tcp;
  frame.reset();
  const mss = length > conn.sndMss ? segmentSize(conn) : conn.sndMss;
  let gathered = 0;
  if (length > 0) {
    gathered = gatherPayload(conn, seqOffset, length, (flags & TCP_SYN) !== 0, mss);
    if (gathered < length) flags &= ~(TCP_FIN | TCP_PSH);
  }
  const sacks = limit === null || (limit.sacks && rcv === conn.rcvNxt);
  const options = writeOptions(conn, flags, gathered, sacks);
  const header = 20 + options;
  if ((flags & (TCP_ACK | TCP_RST)) === TCP_ACK) advertise(conn, rcv);
  if (conn.ecnOk) flags |= segmentFlags(conn, flags, gathered === 0 && options <= PLAIN_OPTIONS);
  const urgent = conn.sndUp > seqOffset ? urgentPointer(conn, seqOffset, flags, limit) : 0;
  if (urgent > 0) flags |= TCP_URG;
  let window = 0;
  if ((flags & TCP_SYN) !== 0) window = synWindowField(conn, rcv);
  else if ((flags & TCP_ACK) !== 0) window = windowField(conn, rcv);
  const seq = (conn.iss + seqOffset) >>> 0;
  const ack = (flags & TCP_ACK) !== 0 ? (conn.irs + rcv) >>> 0 : 0;
  const at = route.tcpOffset;
  const { header: bytes, view } = frame;
  fields.srcPort = conn.localPort;
  fields.dstPort = conn.remotePort;
  fields.seq = seq;
  fields.ack = ack;
  fields.flags = flags;
  fields.window = window;
  fields.urgent = urgent;
  fields.headerLength = header;
  writeTcpHeader(bytes, view, at, fields);
  frame.headerLength = at + header - TX_HEADROOM;
  writeChecksum(conn, header, gathered, mss);
  // New data only: neither retransmissions nor bare segments carry the mark (RFC 3168 section
  // 6.1.5).
  const ect = sendsEct(conn) && gathered > 0 && seqOffset >= conn.sndNxt ? ECT0 : 0;
  // A segment within the limit depends on committed records only.
  frame.committed = limit !== null;
  if (!route.send(header + gathered, ect)) return -1;
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
      if (conn.dupAcksDue === 0) conn.ackNow = false;
      conn.clearTimer(Timer.DelayedAck);
    }
  }
  return gathered + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0);
}

/** Whether a segment stays within what is committed. */
function admits(limit: CommitLimit, conn: TcpConnection, seqOffset: number, length: number, flags: number): boolean {
  // The end of a connection depends on everything before it.
  if ((flags & TCP_RST) !== 0) return false;
  const syn = (flags & TCP_SYN) !== 0;
  const end = seqOffset + length + (syn || (flags & TCP_FIN) !== 0 ? 1 : 0);
  if (end > (syn ? limit.snd : Math.max(limit.snd, conn.sndNxt))) return false;
  // An acknowledgement needs the peer's SYN to be committed.
  return (flags & TCP_ACK) === 0 || limit.rcv > 0;
}

/** Adds up to `length` bytes of data to the frame. @returns the bytes added */
function gatherPayload(conn: TcpConnection, seqOffset: number, length: number, syn: boolean, mss: number): number {
  const { frame } = conn.tcp;
  // The data of a SYN begins behind it.
  const gathered = conn.sendBuffer.gather(frame, syn ? 0 : seqOffset - 1, length);
  if (gathered === length || gathered <= mss) return gathered;
  // Too many small pieces: cut at a segment boundary so that the rest stays aligned.
  frame.reset();
  return conn.sendBuffer.gather(frame, seqOffset - 1, gathered - (gathered % mss));
}

/** The urgent pointer (RFC 9293 section 3.8.5), or 0. */
function urgentPointer(conn: TcpConnection, seqOffset: number, flags: number, limit: CommitLimit | null): number {
  if ((flags & (TCP_SYN | TCP_RST)) !== 0 || (limit !== null && conn.sndUp > limit.snd)) return 0;
  return Math.min(65_535, conn.sndUp - seqOffset);
}

/** Writes the checksum, or leaves it and the cutting into segments to the device. */
function writeChecksum(conn: TcpConnection, header: number, gathered: number, mss: number): void {
  const { route } = conn;
  const { frame } = conn.tcp;
  const at = route.tcpOffset;
  const total = header + gathered;
  if (!route.canChecksum) {
    const sum = sum16(frame.header, at, header, route.pseudoSum + total);
    frame.view.setUint16(at + 16, finish(payloadSum(frame, sum)));
    return;
  }
  frame.view.setUint16(at + 16, fold(route.pseudoSum + total));
  frame.csumStart = at - TX_HEADROOM;
  frame.csumOffset = 16;
  if (gathered > mss) {
    frame.gsoVersion = route.version;
    frame.gsoSize = mss;
  }
}

/** Writes the options of a segment with `payload` bytes. @returns their length, padded */
function writeOptions(conn: TcpConnection, flags: number, payload: number, sacks: boolean): number {
  const { view } = conn.tcp.frame;
  const at = conn.route.tcpOffset + 20;
  const syn = (flags & TCP_SYN) !== 0;
  const passive = syn && (flags & TCP_ACK) !== 0;
  let n = syn ? writeSynOptions(conn, view, at, passive) : 0;
  if (conn.tsOk || (syn && !passive && conn.tcp.options.timestamps)) {
    // In a SYN the two bytes before the timestamps permit SACK: all options with the longest cookie
    // are 40 bytes, which is the limit (RFC 9293 section 3.1).
    view.setUint32(at + n, syn && offersSack(conn, passive) ? OPTION_SACK_AND_TIMESTAMPS : OPTION_TIMESTAMPS);
    view.setUint32(at + n + 4, conn.tcp.timestamp(conn.tsOffset));
    view.setUint32(at + n + 8, (flags & TCP_ACK) !== 0 ? conn.tsRecent : 0);
    n += 12;
  }
  if (syn) return conn.fastOpenCookie === null ? n : n + writeFastOpen(conn.fastOpenCookie, view, at + n);
  if (sacks && conn.sackOk && (conn.dsackStart >= 0 || !conn.reassembly.empty) && (flags & TCP_RST) === 0) {
    const max = conn.tsOk ? 3 : 4;
    if (payload === 0 || payload > conn.sndMss || payload + 4 + 8 * max <= conn.sndMss) {
      n += writeSack(conn, view, at + n, max);
    }
  }
  return n;
}

/**
 * MSS, window scale and, without timestamps, SACK permitted: as offered, or agreed on in a SYN-ACK.
 * @returns their length
 */
function writeSynOptions(conn: TcpConnection, view: DataView, at: number, passive: boolean): number {
  const { options } = conn.tcp;
  view.setUint32(at, OPTION_MSS | (conn.rcvMss & 0xffff));
  let n = 4;
  if (passive ? conn.rcvScale > 0 || conn.sndScale > 0 : options.windowScaling) {
    view.setUint32(at + n, OPTION_SCALE | conn.rcvScale);
    n += 4;
  }
  const timestamps = conn.tsOk || (!passive && options.timestamps);
  if (offersSack(conn, passive) && !timestamps) {
    view.setUint32(at + n, OPTION_SACK_PERMITTED);
    n += 4;
  }
  return n;
}

/** Whether a SYN, or a SYN-ACK (`passive`), permits SACK. */
function offersSack(conn: TcpConnection, passive: boolean): boolean {
  return passive ? conn.sackOk : conn.tcp.options.sack;
}

/** The Fast Open option (RFC 7413 section 4.1.1). @returns its length, padded */
function writeFastOpen(cookie: Uint8Array, view: DataView, at: number): number {
  view.setUint8(at, OPT_FAST_OPEN);
  view.setUint8(at + 1, 2 + cookie.length);
  for (let i = 0; i < cookie.length; i++) view.setUint8(at + 2 + i, cookie[i]);
  let n = 2 + cookie.length;
  for (; (n & 3) !== 0; n++) view.setUint8(at + n, 1);
  return n;
}

/**
 * The SACK option, a DSACK in front (RFC 2018 section 4, RFC 2883 section 4).
 * @returns its length, padded.
 */
function writeSack(conn: TcpConnection, view: DataView, at: number, max: number): number {
  let blocks = 0;
  if (conn.dsackStart >= 0) {
    sackScratch[0] = conn.dsackStart;
    sackScratch[1] = conn.dsackEnd;
    blocks = 1;
    conn.dsackStart = -1;
    conn.tcp.counters.dsacksSent++;
  }
  if (!conn.reassembly.empty) blocks += conn.reassembly.sackBlocks(sackScratch, max - blocks, 2 * blocks);
  view.setUint32(at, OPTION_SACK | (2 + 8 * blocks));
  for (let i = 0; i < 2 * blocks; i++) view.setUint32(at + 4 + 4 * i, (conn.irs + sackScratch[i]) >>> 0);
  return 4 + 8 * blocks;
}
