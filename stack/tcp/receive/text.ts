/**
 * Text and FIN of a segment (RFC 9293 section 3.10.7.4, seventh and eighth step): data in order
 * goes to the user, data out of order waits for what is missing, and an acknowledgement of both
 * becomes due.
 */
import { type TcpConnection, Timer } from '../connection.js';
import { TcpState } from '../state.js';

/** An acknowledgement waits no longer than that (RFC 9293 section 3.8.6.3 allows 500 ms). */
const DELAYED_ACK_US = 40_000;
/** Duplicate ACKs that may be due at once. */
const MAX_DUP_ACKS = 64;

/** The peer must hear from us: one ACK per batch. */
export function ackSoon(conn: TcpConnection): void {
  conn.ackNow = true;
  conn.tcp.markDirty(conn);
}

/** Data that was here already: the next acknowledgement reports it (DSACK, RFC 2883). */
export function noteDuplicate(conn: TcpConnection, start: number, end: number): void {
  if (!conn.sackOk || end <= start) return;
  conn.dsackStart = start;
  conn.dsackEnd = end;
}

/**
 * Notes the first part of a segment's text that waits in the reassembly queue already (RFC 2883
 * section 4.2), unless a part before RCV.NXT has been noted, which comes first.
 */
function noteHeld(conn: TcpConnection, start: number, length: number): void {
  const { reassembly } = conn;
  if (reassembly.empty || !conn.sackOk || (conn.dsackStart >= 0 && conn.dsackEnd === start)) return;
  const from = reassembly.overlapStart(start, start + length);
  if (from >= 0) noteDuplicate(conn, from, reassembly.overlapEnd);
}

/** Takes data of a segment, trimmed to the window, and the FIN that was noted in `peerFinAt`. */
export function text(conn: TcpConnection, start: number, bytes: Uint8Array, from: number, length: number): void {
  if (start === conn.rcvNxt) {
    if (length > 0) {
      noteHeld(conn, start, length);
      const { borrowedBuffers } = conn.tcp;
      borrowedBuffers.place(conn, bytes, from, length);
      accept(conn, borrowedBuffers.bytes, borrowedBuffers.from, length);
      assemble(conn);
    }
    if (conn.peerFinAt === conn.rcvNxt) finArrives(conn);
    if (!conn.removed) {
      scheduleAck(conn);
      conn.user?.onProgress(conn);
    }
    return;
  }
  if (length > 0) keepOutOfOrder(conn, start, bytes, from, length);
  conn.tcp.counters.outOfOrder++;
  conn.outOfOrder++;
  // An immediate duplicate ACK for each, so that the peer finds the loss soon (RFC 5681 section
  // 4.2).
  conn.ackNow = true;
  if (conn.dupAcksDue < MAX_DUP_ACKS) conn.dupAcksDue++;
}

/** Keeps data until the gap before it is filled. */
function keepOutOfOrder(conn: TcpConnection, start: number, bytes: Uint8Array, from: number, length: number): void {
  const { tcp, reassembly } = conn;
  const before = reassembly.bytes;
  if (before + length > conn.receiveLimit) {
    tcp.counters.reassemblyFull++;
    return;
  }
  tcp.borrowedBuffers.gather(bytes, from + length);
  noteHeld(conn, start, length);
  if (!reassembly.insert(start, bytes, from, length)) tcp.counters.reassemblyFull++;
  else if (reassembly.bytes > before) {
    tcp.observer?.outOfOrder(conn, start, bytes.subarray(from, from + length));
    if (conn.commitLimit !== null) conn.commitLimit.sackPosition = tcp.host.gate?.end ?? 0;
  }
}

/** Moves data that is in order now out of the reassembly queue. */
export function assemble(conn: TcpConnection): void {
  const { reassembly } = conn;
  if (reassembly.empty) return;
  for (let more = reassembly.take(conn.rcvNxt); more !== undefined; more = reassembly.take(conn.rcvNxt)) {
    accept(conn, Buffer.from(more.buffer, more.byteOffset, more.byteLength), 0, more.byteLength);
  }
  conn.ackNow = true;
}

/** Takes bytes that are in order. */
function accept(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void {
  conn.rcvNxt += length;
  conn.enqueue(bytes, from, length);
  conn.tcp.observer?.received(conn, bytes, from, length);
}

/**
 * Every second full segment is acknowledged at once, or soon if the device has more frames at hand;
 * others within 40 ms (RFC 9293 section 3.8.6.3).
 */
function scheduleAck(conn: TcpConnection): void {
  if (conn.ackNow) return;
  const bytes = conn.rcvNxt - conn.lastAckSent;
  if (conn.peerFin || bytes >= 2 * conn.maxSegmentReceived) {
    if (conn.peerFin || !conn.tcp.moderateAck(conn, bytes)) conn.ackNow = true;
    return;
  }
  if (!conn.ackPending) {
    conn.ackPending = true;
    conn.setTimer(Timer.DelayedAck, conn.tcp.now + DELAYED_ACK_US);
  }
}

/** The peer's FIN is in order. */
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
