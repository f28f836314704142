/**
 * TIME-WAIT as a small record instead of a connection: enough to acknowledge a retransmitted FIN,
 * and to accept a new connection on the same four-tuple safely (RFC 6191, RFC 9293 MAY-2). Bounded;
 * the oldest entry gives way.
 *
 * A server that closes thousands of connections a second has hundreds of thousands of entries, so
 * they are rows of one array, which the garbage collector does not scan. All live equally long: a
 * new row goes behind the last, the first row expires first, and a row that ends early is skipped
 * when it becomes the first.
 */
import { tupleHash } from './four-tuple.js';

/** A connection in TIME-WAIT. */
export interface TimeWaitEntry {
  localAddress: number;
  remoteAddress: number;
  localPort: number;
  remotePort: number;
  /** Wire sequence numbers: our next one, and the peer's next one. */
  sndNxt: number;
  rcvNxt: number;
  tsOk: boolean;
  tsRecent: number;
  tsOffset: number;
  rcvWindow: number;
  expiresUs: number;
  /** When a segment other than the peer's FIN was last answered, and when a SYN was. */
  answeredUs?: number;
  synAnsweredUs?: number;
}

/** A connection in TIME-WAIT as data that another process can take over. */
export type TimeWaitCheckpoint = Omit<TimeWaitEntry, 'localAddress' | 'remoteAddress'> & {
  localAddress: Uint8Array;
  remoteAddress: Uint8Array;
};

/** Columns of a row. */
const Column = {
  localAddress: 0,
  remoteAddress: 1,
  localPort: 2,
  remotePort: 3,
  sndNxt: 4,
  rcvNxt: 5,
  tsOk: 6,
  tsRecent: 7,
  tsOffset: 8,
  rcvWindow: 9,
  /** NaN: the row has ended. */
  expiresUs: 10,
  answeredUs: 11,
  synAnsweredUs: 12,
} as const;
const COLUMNS = 13;

const FIRST_ROWS = 64;
const NONE = -1;

/** The connections in TIME-WAIT of one stack. */
export class TimeWaitTable {
  /** A ring of rows: from `#head`, `#used` of them, ended ones among them. */
  #rows = new Float64Array(0);
  #head = 0;
  #used = 0;
  /** First row of each chain, and the next one of each row. */
  #buckets = new Int32Array(0);
  #next = new Int32Array(0);
  readonly #limit: number;
  /** Entries at present. */
  size = 0;
  /** Entries that gave way before their time. */
  evicted = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get #capacity(): number {
    return this.#next.length;
  }

  /** A copy of the entry of a four-tuple. */
  get(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): TimeWaitEntry | undefined {
    const row = this.#find(localAddress, localPort, remoteAddress, remotePort);
    return row === NONE ? undefined : this.#entry(row);
  }

  /** Whether the four-tuple is in TIME-WAIT. */
  has(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): boolean {
    return this.#find(localAddress, localPort, remoteAddress, remotePort) !== NONE;
  }

  /** Adds an entry, in place of one with the same four-tuple. */
  add(entry: TimeWaitEntry): void {
    const { localAddress, localPort, remoteAddress, remotePort } = entry;
    this.delete(localAddress, localPort, remoteAddress, remotePort);
    if (this.size >= this.#limit) {
      this.#skipEnded();
      this.#dropFirst();
      this.evicted++;
    }
    if (this.#used === this.#capacity) this.#rebuild();
    const row = (this.#head + this.#used) & (this.#capacity - 1);
    const at = row * COLUMNS;
    const rows = this.#rows;
    rows[at + Column.localAddress] = localAddress;
    rows[at + Column.remoteAddress] = remoteAddress;
    rows[at + Column.localPort] = localPort;
    rows[at + Column.remotePort] = remotePort;
    rows[at + Column.sndNxt] = entry.sndNxt;
    rows[at + Column.rcvNxt] = entry.rcvNxt;
    rows[at + Column.tsOk] = entry.tsOk ? 1 : 0;
    rows[at + Column.tsRecent] = entry.tsRecent;
    rows[at + Column.tsOffset] = entry.tsOffset;
    rows[at + Column.rcvWindow] = entry.rcvWindow;
    rows[at + Column.expiresUs] = entry.expiresUs;
    rows[at + Column.answeredUs] = entry.answeredUs ?? Number.NEGATIVE_INFINITY;
    rows[at + Column.synAnsweredUs] = entry.synAnsweredUs ?? Number.NEGATIVE_INFINITY;
    this.#used++;
    this.size++;
    this.#link(row);
  }

  /** Restarts the entry's 2 MSL. */
  renew(entry: TimeWaitEntry, expiresUs: number): void {
    this.add({ ...entry, expiresUs });
  }

  /** Notes that a segment for the entry was answered; `syn`: it was a SYN. */
  answered(entry: TimeWaitEntry, nowUs: number, syn: boolean): void {
    const row = this.#find(entry.localAddress, entry.localPort, entry.remoteAddress, entry.remotePort);
    if (row === NONE) return;
    this.#rows[row * COLUMNS + Column.answeredUs] = nowUs;
    if (syn) this.#rows[row * COLUMNS + Column.synAnsweredUs] = nowUs;
  }

  /** Removes an entry, if there is one. */
  delete(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): void {
    const row = this.#find(localAddress, localPort, remoteAddress, remotePort);
    if (row !== NONE) this.#end(row);
  }

  /** Removes entries whose time is over. */
  expire(nowUs: number): void {
    while (this.#used > 0) {
      this.#skipEnded();
      if (this.#used === 0 || this.#rows[this.#head * COLUMNS + Column.expiresUs] > nowUs) return;
      this.#dropFirst();
    }
  }

  /** Copies of all entries, the oldest first. */
  *values(): Generator<TimeWaitEntry> {
    for (let n = 0; n < this.#used; n++) {
      const row = (this.#head + n) & (this.#capacity - 1);
      if (!this.#ended(row)) yield this.#entry(row);
    }
  }

  /** Removes all entries. */
  clear(): void {
    this.#rows = new Float64Array(0);
    this.#buckets = new Int32Array(0);
    this.#next = new Int32Array(0);
    this.#head = this.#used = this.size = 0;
  }

  #ended(row: number): boolean {
    return Number.isNaN(this.#rows[row * COLUMNS + Column.expiresUs]);
  }

  #entry(row: number): TimeWaitEntry {
    const at = row * COLUMNS;
    const rows = this.#rows;
    return {
      localAddress: rows[at + Column.localAddress],
      remoteAddress: rows[at + Column.remoteAddress],
      localPort: rows[at + Column.localPort],
      remotePort: rows[at + Column.remotePort],
      sndNxt: rows[at + Column.sndNxt],
      rcvNxt: rows[at + Column.rcvNxt],
      tsOk: rows[at + Column.tsOk] === 1,
      tsRecent: rows[at + Column.tsRecent],
      tsOffset: rows[at + Column.tsOffset],
      rcvWindow: rows[at + Column.rcvWindow],
      expiresUs: rows[at + Column.expiresUs],
      answeredUs: rows[at + Column.answeredUs],
      synAnsweredUs: rows[at + Column.synAnsweredUs],
    };
  }

  #find(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): number {
    if (this.size === 0) return NONE;
    const rows = this.#rows;
    let row = this.#buckets[tupleHash(remoteAddress, remotePort, localPort) & (this.#buckets.length - 1)];
    for (; row !== NONE; row = this.#next[row]) {
      const at = row * COLUMNS;
      if (
        rows[at + Column.remotePort] === remotePort &&
        rows[at + Column.remoteAddress] === remoteAddress &&
        rows[at + Column.localPort] === localPort &&
        rows[at + Column.localAddress] === localAddress
      )
        return row;
    }
    return NONE;
  }

  #bucket(row: number): number {
    const at = row * COLUMNS;
    const rows = this.#rows;
    const remoteAddress = rows[at + Column.remoteAddress];
    const hash = tupleHash(remoteAddress, rows[at + Column.remotePort], rows[at + Column.localPort]);
    return hash & (this.#buckets.length - 1);
  }

  #link(row: number): void {
    const bucket = this.#bucket(row);
    this.#next[row] = this.#buckets[bucket];
    this.#buckets[bucket] = row;
  }

  /** The row has ended; its place is free when it is the first. */
  #end(row: number): void {
    const bucket = this.#bucket(row);
    let at = this.#buckets[bucket];
    if (at === row) this.#buckets[bucket] = this.#next[row];
    else {
      while (this.#next[at] !== row) at = this.#next[at];
      this.#next[at] = this.#next[row];
    }
    this.#rows[row * COLUMNS + Column.expiresUs] = Number.NaN;
    this.size--;
  }

  #skipEnded(): void {
    while (this.#used > 0 && this.#ended(this.#head)) {
      this.#head = (this.#head + 1) & (this.#capacity - 1);
      this.#used--;
    }
  }

  /** The oldest one ends; there is one, and it stands first. */
  #dropFirst(): void {
    if (this.#used === 0) return;
    this.#end(this.#head);
    this.#skipEnded();
  }

  /** All places are taken: those of ended rows are given back, or there are twice as many. */
  #rebuild(): void {
    const old = this.#rows;
    const oldCapacity = this.#capacity;
    const wanted = Math.max(FIRST_ROWS, 2 * this.size);
    const capacity = 2 ** Math.ceil(Math.log2(wanted));
    const rows = new Float64Array(capacity * COLUMNS);
    let kept = 0;
    for (let n = 0; n < this.#used; n++) {
      const from = ((this.#head + n) & (oldCapacity - 1)) * COLUMNS;
      if (Number.isNaN(old[from + Column.expiresUs])) continue;
      rows.set(old.subarray(from, from + COLUMNS), kept * COLUMNS);
      kept++;
    }
    this.#rows = rows;
    this.#buckets = new Int32Array(capacity).fill(NONE);
    this.#next = new Int32Array(capacity).fill(NONE);
    this.#head = 0;
    this.#used = kept;
    for (let row = 0; row < kept; row++) this.#link(row);
  }
}
