/**
 * A connection's timers. There is one table of deadlines per connection and one node in the wheel at (or before) the
 * earliest. `timersFor` derives every deadline from the connection's state alone; the running stack sets the same ones
 * as it goes, and a backup that takes over calls `timersFor`, so nothing about timers is ever replicated.
 */
import { type TcpConnection, TIMER_COUNT, Timer } from './connection.js';
import { reorderTimeout } from './loss/recovery.js';
import { output, retransmitTimeout, sendKeepalive, sendProbe, sendTailProbe } from './send/output.js';
import { TcpState } from './state.js';

/** An orphan's peer that does not answer is given up sooner. */
const ORPHAN_RETRIES = 8;

/** Puts the node where the earliest deadline is, if that is sooner than where it stands. */
export function rearm(conn: TcpConnection): void {
  if (conn.tcp.frozen || conn.removed) return;
  let first = Number.POSITIVE_INFINITY;
  for (let i = 0; i < TIMER_COUNT; i++) if (conn.deadlines[i]! < first) first = conn.deadlines[i]!;
  const node = conn.timerNode;
  if (first === Number.POSITIVE_INFINITY) return;
  if (!node.active || first < node.deadline) conn.tcp.wheel.schedule(node, first);
}

/** Fires what is due; called by the wheel. */
export function connectionTimer(conn: TcpConnection, nowUs: number): void {
  if (conn.removed) return;
  for (let i = 0; i < TIMER_COUNT && !conn.removed; i++) {
    if (conn.deadlines[i]! <= nowUs) {
      conn.deadlines[i] = Number.POSITIVE_INFINITY;
      fire(conn, i, nowUs);
    }
  }
  rearm(conn);
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
      sendProbe(conn, nowUs);
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
    case Timer.Probe:
      sendTailProbe(conn, nowUs);
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

/** Whether what was sent has gone unanswered for as long as the user wants to wait (RFC 5482 section 3). */
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
  if (conn.state === TcpState.SynSent || conn.state === TcpState.SynRcvd || conn.flight > 0) {
    conn.deadlines[Timer.Retransmit] = nowUs + conn.rtt.rtoUs();
  } else if (conn.sndNxt < conn.sndLimit) {
    conn.deadlines[Timer.Persist] = nowUs + conn.rtt.rtoUs();
  }
  if (conn.keepAlive && conn.state >= TcpState.Established) conn.deadlines[Timer.Keepalive] = nowUs + conn.keepAliveUs;
  if (conn.state === TcpState.FinWait2 && conn.orphan) conn.deadlines[Timer.FinWait2] = nowUs + conn.finWait2Us;
  rearm(conn);
}
