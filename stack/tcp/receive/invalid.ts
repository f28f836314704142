/**
 * Answers to segments that are not acceptable. A segment with data, SYN or FIN is answered each
 * time, because its sender waits for an acknowledgement. One without is answered once in 100 ms:
 * two ends would otherwise answer each other for ever (RFC 5961 section 7).
 */
import { TCP_FIN, TCP_SYN, type TcpView } from '../../../lib/packet/tcp.js';
import type { TcpConnection } from '../connection.js';
import { ackSoon } from './text.js';

/** Time between two answers to segments without sequence numbers, microseconds. */
export const INVALID_ANSWER_US = 100_000;

/** SEG.LEN (RFC 9293 section 3.3.1): the data, and one each for SYN and FIN. */
export function segmentLength(seg: TcpView): number {
  return seg.payloadLength + ((seg.flags & TCP_FIN) !== 0 ? 1 : 0) + ((seg.flags & TCP_SYN) !== 0 ? 1 : 0);
}

/** Whether a segment that is not acceptable may be answered now; an answer counts from now on. */
export function mayAnswer(conn: TcpConnection, seg: TcpView): boolean {
  if (segmentLength(seg) > 0) return true;
  const { now } = conn.tcp;
  if (now - conn.invalidAnsweredUs < INVALID_ANSWER_US) return false;
  conn.invalidAnsweredUs = now;
  return true;
}

/** Acknowledges a segment that is not acceptable, if it may be answered. */
export function answerInvalid(conn: TcpConnection, seg: TcpView): void {
  if (mayAnswer(conn, seg)) ackSoon(conn);
}
