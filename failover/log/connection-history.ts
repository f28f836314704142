/**
 * Histories of independent connections. A history holds all events of one connection since it
 * began, and the timers and operations that were begun in them (the connection is their owner). A
 * replica may join when the log has lost its beginning. It then replays the history of each live
 * connection, at the numbers and times that the events had, and its program reaches the state of
 * the primary's. This requires that no event depends on another connection: the program says so
 * (`listen({ independent: true })`), and the connection's checksum shows it.
 *
 * A history is discarded when it exceeds the limit, when all histories together do, or when an
 * event of another connection used this one, because that event would be missing. Records are kept
 * as in the log (records.ts), without checksums.
 */
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { MAX_BODY, RECORD_HEADER, type RecordType } from './records.js';

/** Default limit of one connection's history, bytes. */
export const HISTORY_LIMIT = 256 * 1024;
/** All histories together may have the length of this many full ones. */
const MAX_FULL_HISTORIES = 256;
const MIN_BUFFER_BYTES = 512;

/** One connection's history. */
export class ConnectionHistory {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  length = 0;

  /** Begins a record. @returns where its body of `bodyLength` bytes is to be written */
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

/** All histories of this replica, within a common limit. */
export class ConnectionHistories {
  readonly #histories = new Map<number, ConnectionHistory>();
  /**
   * Bytes of all histories; histories discarded for their length, and for an event of another
   * connection.
   */
  readonly counters = { bytes: 0, tooLong: 0, crossConnection: 0 };

  constructor(
    /** Limit of one history, bytes; 0: none are kept. */
    readonly limit: number,
    /** Whether a connection belongs to an independent server. */
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

  /**
   * Makes room for a record in a connection's history; null when no history is kept, or not any
   * more.
   */
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

  /**
   * Copies a record that was read from the log.
   * @returns false when no history is kept, or none any more
   */
  copy(conn: number, type: RecordType, body: Uint8Array): boolean {
    const history = this.open(conn, body.length);
    if (history === null) return false;
    const at = history.append(type, body.length);
    history.bytes.set(body, at);
    return true;
  }

  /** An event of another connection used this one: its history is not complete any more. */
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
