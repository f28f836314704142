/**
 * The calls of a connection's user (RFC 9293 section 3.10): SEND, RECEIVE, CLOSE and ABORT. OPEN is
 * in handshake/, STATUS in info.ts. The calls change state and mark what is to be sent; segments
 * leave at the next flush.
 */
import { type TcpConnection, Timer } from './connection.js';
import { chunkRead } from './receive-window.js';
import { TcpState } from './state.js';
import { owned } from './tcb/borrowed-buffers.js';

/** How long a corked connection holds back a short segment, in microseconds. */
const CORK_US = 200_000;

/**
 * SEND. Bytes given after the connection has ended, or after `shutdown`, are dropped. The chunk
 * must not change later.
 */
export function send(conn: TcpConnection, chunk: Uint8Array): void {
  if (conn.finQueued || conn.removed || conn.orphan) return;
  conn.sendBuffer.append(chunk);
  conn.tcp.markDirty(conn);
}

/** RECEIVE: takes the next chunk of in-order data; undefined when there is none. */
export function receive(conn: TcpConnection): Buffer | undefined {
  const { receiveQueue } = conn;
  if (receiveQueue.length === 0) return undefined;
  const chunk = owned(receiveQueue.sourceAt(0), receiveQueue.fromAt(0), receiveQueue.lengthAt(0));
  readFirst(conn);
  return chunk;
}

/** RECEIVE of at most `max` bytes; undefined when there are none. */
export function receiveSome(conn: TcpConnection, max: number): Buffer | undefined {
  const { receiveQueue } = conn;
  if (receiveQueue.length === 0 || max <= 0) return undefined;
  const length = receiveQueue.lengthAt(0);
  if (length <= max) return receive(conn);
  // The rest of a chunk that is cut keeps its memory, so the chunk must be the connection's own.
  const whole = owned(receiveQueue.sourceAt(0), receiveQueue.fromAt(0), length);
  receiveQueue.move(0, whole);
  receiveQueue.cut(max);
  chunkRead(conn, max);
  return whole.subarray(0, max);
}

/**
 * Drops the first chunk, which must exist; its bytes stay valid until the current turn of the event
 * loop ends.
 */
export function readFirst(conn: TcpConnection): void {
  const { receiveQueue } = conn;
  const length = receiveQueue.lengthAt(0);
  receiveQueue.drop();
  chunkRead(conn, length);
}

/** CLOSE of the sending half: a FIN follows the last byte. */
export function shutdown(conn: TcpConnection): void {
  if (conn.finQueued || conn.removed) return;
  conn.finQueued = true;
  if (conn.state === TcpState.SynSent) {
    conn.tcp.remove(conn, null);
    return;
  }
  conn.enterFinState();
  conn.tcp.markDirty(conn);
}

/**
 * CLOSE: the user gives the connection up. Unread data makes it an abort (RFC 2525 section 2.17).
 */
export function close(conn: TcpConnection): void {
  if (conn.removed || conn.orphan) return;
  if (conn.receiveQueued > 0 || conn.state === TcpState.SynSent) {
    abort(conn);
    return;
  }
  conn.orphan = true;
  conn.user = null;
  shutdown(conn);
  if (conn.state === TcpState.FinWait2) conn.setTimer(Timer.FinWait2, conn.tcp.now + conn.finWait2Us);
}

/** ABORT: sends a RST and forgets everything. */
export function abort(conn: TcpConnection): void {
  if (conn.removed) return;
  conn.user = null;
  conn.orphan = true;
  conn.tcp.abort(conn);
}

/** Holds short segments back for at most 200 ms (Linux: TCP_CORK), or releases them. */
export function cork(conn: TcpConnection, on: boolean): void {
  conn.corked = on;
  if (on) {
    if (conn.deadlines[Timer.Cork] === Number.POSITIVE_INFINITY) conn.setTimer(Timer.Cork, conn.tcp.now + CORK_US);
  } else {
    conn.clearTimer(Timer.Cork);
    conn.tcp.markDirty(conn);
  }
}

/** Keepalive (RFC 9293 section 3.8.4) on or off; `delayMs` 0 leaves the idle time as it is. */
export function setKeepAlive(conn: TcpConnection, on: boolean, delayMs: number): void {
  conn.keepAlive = on;
  if (delayMs > 0) conn.keepAliveUs = delayMs * 1000;
  if (on && !conn.removed) conn.setTimer(Timer.Keepalive, conn.tcp.now + conn.keepAliveUs);
  else conn.clearTimer(Timer.Keepalive);
}
