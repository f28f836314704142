import { TCP_ACK } from '../../lib/packet/tcp.js';
import type { TcpConnection } from './connection.js';
import { keepAllSent, resendAll } from './loss/recovery.js';
import { assemble } from './receive/text.js';
import { bare, sendSyn } from './send/segment.js';
import { TcpState } from './state.js';

/**
 * After a takeover: tells the peer where the connection is, and sends again what was not
 * acknowledged.
 * @param planned the predecessor has said how much it had sent, so nothing needs to be sent again
 */
export function resumeConnection(conn: TcpConnection, planned: boolean): void {
  if (conn.state >= TcpState.Established) {
    // The predecessor may have died between a segment and those that it joined.
    assemble(conn);
    if (planned) keepAllSent(conn);
    else resendAll(conn);
    bare(conn, conn.sndNxt, TCP_ACK);
  } else if (conn.state === TcpState.SynRcvd || conn.state === TcpState.SynSent) {
    sendSyn(conn);
  }
  conn.tcp.markDirty(conn);
}
