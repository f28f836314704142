/**
 * Received data on a backup, borrowed from the log. A program that only looks at data (`onread`, a
 * stream without a listener) costs no copy here either: the receive queue refers to the log. The
 * log's writer is told what is borrowed, and does not overwrite it. What is borrowed for too long
 * is copied, so that the log does not fill.
 */
import { Fifo } from '../../lib/fifo.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { MIN_IN_PLACE } from '../log/log-placement.js';
import type { RingReader } from '../log/ring-reader.js';

/** At most this much of the log is borrowed, in bytes and as a part of it. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_PART = 1 / 8;
const UNIT_BYTES = 8;

/** Lends the log to receive queues, and releases it. */
export class BorrowedLog {
  readonly counters = { borrowed: 0, copied: 0 };
  readonly #reader: RingReader;
  readonly #minBytes: number;
  readonly #maxUnits: number;
  // What is borrowed, oldest first: its connection, where in the stream it ends, and the position
  // of its record.
  readonly #owners = new Fifo<TcpConnection>();
  readonly #ends = new Fifo<number>();
  readonly #places = new Fifo<number>();

  constructor(reader: RingReader, minBytes = MIN_IN_PLACE) {
    this.#reader = reader;
    this.#minBytes = minBytes;
    this.#maxUnits = Math.min(MAX_BYTES, reader.ring.size * MAX_PART) / UNIT_BYTES;
  }

  /** Queues the chunk of the reader's record. RCV.NXT still points to its first byte. */
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

  /** Called between two events: releases what the program has read. */
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

  /** Releases everything; what is still queued is copied. */
  releaseAll(): void {
    const { buffer } = this.#reader.ring;
    for (let conn = this.#owners.first(); conn !== undefined; conn = this.#owners.first()) {
      const { receiveQueue, relayedTo } = conn;
      relayedTo?.replaceChunks((bytes) => (bytes.buffer === buffer ? this.#copy(conn, bytes) : bytes));
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

  #copy(conn: TcpConnection, bytes: Uint8Array): Uint8Array {
    this.counters.copied++;
    return conn.tcp.borrowedBuffers.copy(bytes, 0, bytes.length);
  }

  #drop(): void {
    this.#owners.shift();
    this.#ends.shift();
    this.#places.shift();
  }
}
