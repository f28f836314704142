/**
 * What is known of bytes in flight is only needed while there are any, or when something went wrong with them: who idles after an
 * orderly exchange has none of it. A few such objects serve thousands of connections that send now and then.
 */
import { Pool } from '../../../lib/pool.js';
import type { TcpConnection } from '../connection.js';
import { Recovery } from '../loss/recovery-state.js';
import { Scoreboard } from './scoreboard.js';

/** Objects that nobody uses at most. */
const MOST_SPARE = 256;

/** Of who has nothing in flight. Only looked at: what is to be written calls `fly` first. */
export const NOTHING = new Scoreboard();
export const CALM = new Recovery();

const lists = new Pool(MOST_SPARE, () => new Scoreboard());
const recoveries = new Pool(MOST_SPARE, () => new Recovery());

/** Something is about to be sent, or noted. */
export function fly(conn: TcpConnection): Scoreboard {
  if (conn.sent !== NOTHING) return conn.sent;
  const sent = lists.take();
  sent.begin(conn.sndUna);
  conn.sent = sent;
  conn.recovery = recoveries.take();
  return sent;
}

/** All that was sent has arrived, and nothing of it need be remembered. */
export function land(conn: TcpConnection): void {
  const { sent, recovery } = conn;
  if (sent === NOTHING || conn.sndUna !== conn.sndNxt || sent.count > 0 || !recovery.calm) return;
  recovery.clear();
  conn.sent = NOTHING;
  conn.recovery = CALM;
  lists.give(sent);
  recoveries.give(recovery);
}
