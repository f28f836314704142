/**
 * A connection needs a scoreboard and the state of loss recovery only while it has something in
 * flight, or while a loss has left a trace. Idle connections share one empty object of each; a
 * small pool serves thousands of connections that send now and then.
 */
import { Pool } from '../../../lib/pool.js';
import type { TcpConnection } from '../connection.js';
import { NO_RECOVERY, Recovery } from '../tcb/recovery-state.js';
import { EMPTY_SCOREBOARD, Scoreboard } from '../tcb/scoreboard.js';

/** Unused objects that a pool keeps at most. */
const MAX_POOLED = 256;

const scoreboards = new Pool(MAX_POOLED, () => new Scoreboard());
const recoveries = new Pool(MAX_POOLED, () => new Recovery());

/**
 * Gives the connection a scoreboard and a recovery state of its own; call it before either is
 * written.
 */
export function attachLossState(conn: TcpConnection): Scoreboard {
  if (conn.scoreboard !== EMPTY_SCOREBOARD) return conn.scoreboard;
  const scoreboard = scoreboards.take();
  scoreboard.begin(conn.sndUna);
  conn.scoreboard = scoreboard;
  conn.recovery = recoveries.take();
  return scoreboard;
}

/** Returns both to the pools when nothing is in flight and nothing needs to be remembered. */
export function releaseLossState(conn: TcpConnection): void {
  const { scoreboard, recovery } = conn;
  if (scoreboard === EMPTY_SCOREBOARD || conn.sndUna !== conn.sndNxt || scoreboard.count > 0 || !recovery.isIdle)
    return;
  recovery.clear();
  conn.scoreboard = EMPTY_SCOREBOARD;
  conn.recovery = NO_RECOVERY;
  scoreboards.give(scoreboard);
  recoveries.give(recovery);
}
