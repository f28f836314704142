/**
 * A connection's timers: a table of deadlines, and one node in the timer wheel at (or before) the
 * earliest. `timersFor` derives every deadline from the connection's state alone. The running stack
 * sets the same deadlines step by step, and a backup that takes over calls `timersFor`, so timers
 * are never replicated.
 */
import { type TcpConnection, TIMER_COUNT, Timer } from './connection.js';
import { reorderTimeout } from './loss/recovery.js';
import { output } from './send/output.js';
import { retransmitTimeout, sendKeepalive, sendTailProbe, sendWindowProbe } from './send/probes.js';
import { TcpState } from './state.js';

/** Retransmissions of an orphan (a connection without an owner) before it is given up. */
const ORPHAN_RETRIES = 8;

/** Fires the timers that are due; called when the connection's node in the wheel fires. */
export function connectionTimer(conn: TcpConnection, nowUs: number): void {
  if (conn.removed) return;
  // A probe that is due goes before the retransmission timer, and restarts it (RFC 8985 section
  // 7.2).
  if (conn.deadlines[Timer.Probe] <= nowUs) {
    conn.clearTimer(Timer.Probe);
    sendTailProbe(conn, nowUs);
  }
  for (let i = 0; i < TIMER_COUNT && !conn.removed; i++) {
    if (conn.deadlines[i] <= nowUs) {
      conn.deadlines[i] = Number.POSITIVE_INFINITY;
      fire(conn, i, nowUs);
    }
  }
  conn.rearm();
}

function fire(conn: TcpConnection, timer: number, nowUs: number): void {
  switch (timer) {
    case Timer.Retransmit:
      if (conn.rtt.backoff >= retries(conn) || userTimeout(conn, nowUs)) {
        conn.tcp.counters.timeouts++;
        conn.tcp.remove(conn, conn.softError ?? 'ETIMEDOUT');
        return;
      }
      retransmitTimeout(conn, nowUs);
      return;
    case Timer.Persist:
      if ((conn.orphan && conn.rtt.backoff >= ORPHAN_RETRIES) || userTimeout(conn, nowUs)) {
        conn.tcp.counters.timeouts++;
        conn.tcp.remove(conn, conn.softError ?? 'ETIMEDOUT');
        return;
      }
      sendWindowProbe(conn, nowUs);
      return;
    case Timer.DelayedAck:
      conn.ackNow = true;
      conn.tcp.counters.delayedAcks++;
      if (!output(conn)) conn.tcp.markDirty(conn);
      return;
    case Timer.Keepalive:
      keepalive(conn, nowUs);
      return;
    case Timer.FinWait2:
      conn.tcp.remove(conn, null);
      return;
    case Timer.Reorder:
      reorderTimeout(conn, nowUs);
      return;
    case Timer.Pace:
      conn.tcp.markDirty(conn);
      return;
    case Timer.Cork:
      conn.corked = false;
      conn.tcp.markDirty(conn);
      return;
    default:
      return;
  }
}

/** Whether data has been unacknowledged for longer than the user timeout (RFC 5482 section 3). */
function userTimeout(conn: TcpConnection, nowUs: number): boolean {
  return conn.userTimeoutUs > 0 && nowUs - conn.progressUs >= conn.userTimeoutUs;
}

function retries(conn: TcpConnection): number {
  const { options } = conn.tcp;
  if (conn.userTimeoutUs > 0) return Number.POSITIVE_INFINITY;
  if (conn.state === TcpState.SynSent) return conn.synRetries > 0 ? conn.synRetries : options.synRetries;
  if (conn.state === TcpState.SynRcvd) return options.synAckRetries;
  return conn.orphan ? ORPHAN_RETRIES : options.dataRetries;
}

function keepalive(conn: TcpConnection, nowUs: number): void {
  if (!conn.keepAlive || conn.state < TcpState.Established) return;
  const idle = nowUs - conn.lastReceiveUs;
  if (idle < conn.keepAliveUs && conn.keepAliveProbes === 0) {
    conn.setTimer(Timer.Keepalive, conn.lastReceiveUs + conn.keepAliveUs);
    return;
  }
  if (
    conn.keepAliveProbes >= conn.keepAliveCount ||
    (conn.keepAliveProbes > 0 && conn.userTimeoutUs > 0 && idle >= conn.userTimeoutUs)
  ) {
    conn.tcp.remove(conn, conn.softError ?? 'ETIMEDOUT');
    return;
  }
  conn.keepAliveProbes++;
  sendKeepalive(conn);
  conn.setTimer(Timer.Keepalive, nowUs + conn.keepAliveIntervalUs);
}

/**
 * Every deadline that the connection's state implies at `nowUs`, written into `conn.deadlines`.
 * Used at takeover; a pure function of the state otherwise.
 */
export function timersFor(conn: TcpConnection, nowUs: number): void {
  conn.deadlines.fill(Number.POSITIVE_INFINITY);
  if (conn.state === TcpState.SynSent || conn.state === TcpState.SynRcvd || conn.flightSize > 0) {
    conn.deadlines[Timer.Retransmit] = nowUs + conn.rtt.rtoUs();
  } else if (conn.sndNxt < conn.sndLimit) {
    conn.deadlines[Timer.Persist] = nowUs + conn.rtt.rtoUs();
  }
  if (conn.keepAlive && conn.state >= TcpState.Established) conn.deadlines[Timer.Keepalive] = nowUs + conn.keepAliveUs;
  if (conn.state === TcpState.FinWait2 && conn.orphan) conn.deadlines[Timer.FinWait2] = nowUs + conn.finWait2Us;
  conn.rearm();
}
