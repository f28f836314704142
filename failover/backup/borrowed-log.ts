/**
 * A backup's received data as it lies in the log: a program that only looks at what comes (`onread`, a stream that nobody listens to)
 * costs no copy here either. The log's writer is told what is still looked at, and leaves it alone; whoever looks for too long
 * is given a copy, so that the log does not fill.
 */
import { Fifo } from '../../lib/fifo.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { MIN_IN_PLACE } from '../log/log-placement.js';
import type { RingReader } from '../log/ring-reader.js';

/** So much of the log is held back at most, and no more than a part of it. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_PART = 1 / 8;
const UNIT = 8;

export class BorrowedLog {
  readonly counters = { borrowed: 0, copied: 0 };
  readonly #reader: RingReader;
  readonly #minBytes: number;
  readonly #maxUnits: number;
  // What is lent, the oldest first: whose it is, where in its stream it ends, and where its record begins.
  readonly #owners = new Fifo<TcpConnection>();
  readonly #ends = new Fifo<number>();
  readonly #places = new Fifo<number>();

  constructor(reader: RingReader, least = MIN_IN_PLACE) {
    this.#reader = reader;
    this.#minBytes = least;
    this.#maxUnits = Math.min(MAX_BYTES, reader.ring.size * MAX_PART) / UNIT;
  }

  /** Puts the chunk of the reader's record into the connection's queue, whose stream it follows; RCV.NXT is where it was. */
  enqueue(conn: TcpConnection, from: number, length: number): void {
    const { ring, canBorrow } = this.#reader;
    if ((length < this.#minBytes && !conn.peeked) || !canBorrow) {
      conn.enqueue(conn.tcp.borrowedBuffers.copy(ring.bytes, from, length), 0, length);
      return;
    }
    this.counters.borrowed++;
    if (this.#owners.size === 0) this.#reader.borrowFrom(this.#reader.before);
    this.#owners.push(conn);
    this.#ends.push(conn.rcvNxt + length);
    this.#places.push(this.#reader.before);
    conn.enqueue(ring.bytes, from, length);
  }

  /** To be called between two events: what has been looked at is held no longer. */
  releaseRead(): void {
    const owners = this.#owners;
    if (owners.size === 0) return;
    let conn = owners.first();
    while (conn !== undefined && conn.rcvNxt - conn.receiveQueued >= this.#ends.first()!) {
      this.#drop();
      conn = owners.first();
    }
    const from = owners.size === 0 ? -1 : this.#places.first()!;
    if (from >= 0 && (this.#reader.position - from) >>> 0 > this.#maxUnits) this.releaseAll();
    else this.#reader.borrowFrom(from);
  }

  /** Nobody looks at the log any more. */
  releaseAll(): void {
    const { buffer } = this.#reader.ring;
    for (let conn = this.#owners.first(); conn !== undefined; conn = this.#owners.first()) {
      const { receiveQueue } = conn;
      for (let i = 0; i < receiveQueue.length; i++) {
        const bytes = receiveQueue.sourceAt(i);
        if (bytes.buffer !== buffer) continue;
        receiveQueue.move(i, conn.tcp.borrowedBuffers.copy(bytes, receiveQueue.fromAt(i), receiveQueue.lengthAt(i)));
        this.counters.copied++;
      }
      this.#drop();
    }
    this.#reader.borrowFrom(-1);
  }

  #drop(): void {
    this.#owners.shift();
    this.#ends.shift();
    this.#places.shift();
  }
}
