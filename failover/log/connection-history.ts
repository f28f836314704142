/**
 * What each connection of an independent server has been told since it began, and what came of it: its events, and those of timers and
 * operations that were begun in them (a connection is their owner). A replica that joins when the log has lost its beginning repeats
 * this for each connection that lives, at the numbers and times that the events had, and its program is where the primary's is. That
 * is so only if a connection's events depend on no other's, which the program says (`listen({ independent: true })`) and the
 * connection's sum shows.
 *
 * A history is given up when it is longer than the limit, when all of them are, and when somebody else's event did something with the
 * connection: it would be missing. What is kept are records as in the log (record.ts), without sums.
 */
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { MAX_BODY, RECORD_HEADER, type RecordType } from './records.js';

/** Bytes of a connection's history, at most. */
export const HISTORY_LIMIT = 256 * 1024;
/** So many of them may be as long as that. */
const MAX_FULL_HISTORIES = 256;
const MIN_BUFFER_BYTES = 512;

/** One connection's. */
export class ConnectionHistory {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  length = 0;

  /** @returns where a body of so many bytes is to be written */
  append(type: RecordType, bodyLength: number): number {
    const at = this.length;
    const size = (RECORD_HEADER + bodyLength + 7) & ~7;
    if (at + size > this.bytes.length) {
      const old = this.bytes;
      this.bytes = new Uint8Array(Math.max(MIN_BUFFER_BYTES, 2 * old.length, at + size));
      this.bytes.set(old.subarray(0, at));
      this.view = new DataView(this.bytes.buffer);
    }
    this.view.setUint32(at, RECORD_HEADER + bodyLength, true);
    this.view.setUint8(at + 4, type);
    this.length = at + size;
    return at + RECORD_HEADER;
  }

  /** Calls back for each record. */
  forEach(fn: (type: RecordType, body: Uint8Array) => void): void {
    for (let at = 0; at < this.length; ) {
      const end = at + this.view.getUint32(at, true);
      fn(this.view.getUint8(at + 4) as RecordType, this.bytes.subarray(at + RECORD_HEADER, end));
      at = (end + 7) & ~7;
    }
  }
}

export class ConnectionHistories {
  readonly #histories = new Map<number, ConnectionHistory>();
  /** Bytes of all; given up so far: for their length, and because somebody else's event had to do with the connection. */
  readonly counters = { bytes: 0, tooLong: 0, crossConnection: 0 };

  constructor(
    /** Bytes of one connection's, at most; 0: none are kept. */
    readonly limit: number,
    /** Whether a connection is an independent server's. */
    readonly isIndependent: (conn: TcpConnection) => boolean,
  ) {}

  get size(): number {
    return this.#histories.size;
  }

  /** A connection begins here. */
  begin(conn: TcpConnection): void {
    if (this.limit > 0 && !this.#histories.has(conn.id) && this.isIndependent(conn))
      this.#histories.set(conn.id, new ConnectionHistory());
  }

  get(conn: number): ConnectionHistory | undefined {
    return this.#histories.size === 0 ? undefined : this.#histories.get(conn);
  }

  /** Room for a record in a connection's history; null when none is kept, or none any more. */
  open(conn: number, bodyLength: number): ConnectionHistory | null {
    const history = this.get(conn);
    if (history === undefined) return null;
    const { counters, limit } = this;
    const size = RECORD_HEADER + bodyLength + 7;
    if (size > MAX_BODY || history.length + size > limit || counters.bytes + size > limit * MAX_FULL_HISTORIES) {
      counters.tooLong++;
      this.forget(conn);
      return null;
    }
    counters.bytes += (RECORD_HEADER + bodyLength + 7) & ~7;
    return history;
  }

  /** A record that was read from the log. @returns false when no history is kept, or none any more */
  copy(conn: number, type: RecordType, body: Uint8Array): boolean {
    const history = this.open(conn, body.length);
    if (history === null) return false;
    const at = history.append(type, body.length);
    history.bytes.set(body, at);
    return true;
  }

  /** The event of another one had to do with it. */
  recordCrossConnection(conn: number): void {
    if (!this.#histories.has(conn)) return;
    this.counters.crossConnection++;
    this.forget(conn);
  }

  forget(conn: number): void {
    const history = this.#histories.get(conn);
    if (history === undefined) return;
    this.counters.bytes -= history.length;
    this.#histories.delete(conn);
  }
}
