/**
 * The end of the frozen state: a stack that followed another one's log begins to send.
 *
 * Every connection derives its timers from its state, tells its peer where it is, and sends again
 * what is not acknowledged. With thousands of connections, those that wait for something come
 * first; connections at rest follow a few at a time.
 */
import type { TcpConnection } from './tcp/connection.js';
import { COOKIE_LIFE_US } from './tcp/handshake/syn-cookie.js';
import { resumeConnection } from './tcp/resume.js';
import { TcpState } from './tcp/state.js';
import type { Tcp } from './tcp/tcp.js';
import { timersFor } from './tcp/timers.js';

/** Connections at rest that resume at once; the others follow in batches. */
const MAX_RESUMED_AT_ONCE = 64;
const BATCH_CONNECTIONS = 32;
/** A batch is due at the latest this long after the one before, microseconds. */
const BATCH_INTERVAL_US = 3000;
/** A connection that has received nothing for this long counts as being at rest, microseconds. */
const REST_US = 1_000_000;

/** How the frozen state ends. */
interface ThawOptions {
  /** Segments for unknown connections are not answered for this long, microseconds. */
  graceUs: number;
  /** The predecessor has reported how far each connection is; nothing is sent again. */
  planned: boolean;
}

/** Resumes the connections of one stack. */
export class Thaw {
  readonly #tcp: Tcp;
  readonly #now: () => number;
  /** Connections whose peers have not heard of the takeover yet. */
  readonly #pending: TcpConnection[] = [];
  #thawedUs = 0;
  #batchUs = 0;

  /** @param now the stack's time, microseconds */
  constructor(tcp: Tcp, now: () => number) {
    this.#tcp = tcp;
    this.#now = now;
  }

  /** Whether connections still have to resume. */
  get pending(): boolean {
    return this.#pending.length > 0;
  }

  /** Ends the frozen state. */
  begin({ graceUs, planned }: ThawOptions): void {
    const tcp = this.#tcp;
    const now = this.#now();
    this.#thawedUs = now;
    this.#pending.length = 0;
    tcp.frozen = false;
    tcp.resetGraceUntilUs = now + graceUs;
    tcp.cookiesUntilUs = now + COOKIE_LIFE_US;
    let resting = 0;
    tcp.table.forEach((conn) => {
      const later = atRest(conn, now) && resting++ >= MAX_RESUMED_AT_ONCE;
      const reported = planned && conn.inheritedSndNxt >= 0;
      restoreSent(conn, reported);
      conn.rcvAdv = Math.max(conn.rcvAdv, conn.rcvNxt + conn.receiveLimit);
      conn.lastReceiveUs = now;
      conn.lastSendUs = now;
      conn.inheritedSndNxt = -1;
      timersFor(conn, now);
      if (later) {
        this.#pending.push(conn);
        return;
      }
      resumeConnection(conn, reported);
      conn.user?.onProgress(conn);
    });
  }

  /** Resumes the next batch, if it is due. @param idle whether there is nothing else to do */
  poll(idle: boolean): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    const now = this.#now();
    if (!idle && now - this.#batchUs <= BATCH_INTERVAL_US) return;
    this.#batchUs = now;
    if (this.#tcp.frozen) pending.length = 0;
    for (let n = 0; n < BATCH_CONNECTIONS; n++) {
      const conn = pending.pop();
      if (conn === undefined) return;
      // A peer that has exchanged segments with us since the takeover knows where we are.
      const untouched = conn.lastSendUs === this.#thawedUs && conn.lastReceiveUs === this.#thawedUs;
      if (untouched && !conn.removed) resumeConnection(conn, false);
      conn.user?.onProgress(conn);
    }
  }
}

/** Sets SND.NXT to what the predecessor has sent, or may have sent. */
function restoreSent(conn: TcpConnection, reported: boolean): void {
  if (reported) {
    conn.sndNxt = Math.max(conn.sndUna, conn.inheritedSndNxt);
    conn.inheritedSndMax = conn.sndNxt;
  } else if (conn.state >= TcpState.Established) {
    // Queued data that fits into the peer's window counts as sent. An acknowledgement may be for
    // more: the window may have been larger.
    conn.inheritedSndMax = conn.sndLimit;
    conn.sndNxt = Math.max(conn.sndUna, Math.min(conn.sndLimit, conn.sndUna + conn.sndWnd));
  }
}

/** Whether the connection waits for nothing, as far as a backup can know. */
function atRest(conn: TcpConnection, nowUs: number): boolean {
  return (
    conn.state === TcpState.Established &&
    conn.sndUna === conn.sndLimit &&
    conn.sndNxt === conn.sndUna &&
    !conn.finQueued &&
    conn.reassembly.empty &&
    nowUs - conn.lastReceiveUs > REST_US
  );
}
