/**
 * Large chunks of received data stay where the device has put them until the program takes them, or the device needs the memory:
 * who only looks at what comes (`onread`, a stream that nobody listens to) costs no copy and no memory. What comes from a log instead is put
 * into blocks that are used again when nobody kept them. In a receive queue a chunk that is a Buffer is the connection's own; any
 * other is lent, or a block. A chunk is a part of some memory (receive-queue.ts); only who keeps it is given an object of its own.
 */

import type { DirectFrames, FrameLender, RxBatch } from '../../../lib/device/rx-batch.js';
import { Pool } from '../../../lib/pool.js';
import type { TcpConnection } from '../connection.js';

/** Below that a copy out of Buffer's pool costs less than a loan, unless nobody wants the copy. */
const LEAST_BYTES = 4096;
const BLOCK_BYTES = 65_536;
/** A block is never more than half empty. */
const LEAST_IN_BLOCK = BLOCK_BYTES / 2;
/** Blocks that are kept for another use. */
const MOST_SPARE = 64;

const NOTHING = new Uint8Array(0);

const blocks = new WeakSet<ArrayBufferLike>();

function newBlock(): ArrayBuffer {
  const block = new ArrayBuffer(BLOCK_BYTES);
  blocks.add(block);
  return block;
}

/** The part of `bytes` itself if it can be kept, or a copy. */
export function owned(bytes: Uint8Array, from: number, length: number): Buffer {
  // The connection's own.
  if (bytes instanceof Buffer)
    return from === 0 && length === bytes.length ? bytes : bytes.subarray(from, from + length);
  // Given away: it is nobody's block any more.
  if (blocks.delete(bytes.buffer)) return Buffer.from(bytes.buffer, bytes.byteOffset + from, length);
  return copied(bytes, from, length);
}

function copied(bytes: Uint8Array, from: number, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  copy.set(bytes.subarray(from, from + length), 0);
  return copy;
}

export class BorrowedBuffers {
  #lender: FrameLender | null = null;
  #bytes: Uint8Array | null = null;
  #direct: DirectFrames | null = null;
  /** Who has chunks that are lent; some of them more than once. */
  #debtors: TcpConnection[] = [];
  readonly #spare = new Pool<ArrayBufferLike>(MOST_SPARE, newBlock);
  /** Whatever is lent is copied. */
  readonly giveBack = (): void => this.#settle();

  /** A batch is looked at from now on, until `end`. */
  begin(batch: RxBatch): void {
    this.#lender = batch.lender ?? null;
    this.#bytes = batch.bytes;
    this.#direct = batch.direct ?? null;
  }

  end(): void {
    this.#lender = null;
    this.#direct = null;
  }

  /** Before bytes of a segment are looked at up to `end`: they are all there. */
  gather(bytes: Uint8Array, end: number): void {
    const direct = this.#direct;
    if (direct !== null && end > direct.from && bytes === this.#bytes) direct.gather();
  }

  // Where the bytes are that `place` was asked for.
  bytes: Uint8Array = NOTHING;
  from = 0;

  /** Says in `bytes` and `from` what to put into the receive queue for bytes of a segment that came in order. */
  place(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void {
    const direct = this.#direct;
    const lender = this.#lender;
    const ours = bytes === this.#bytes;
    const claimed = ours && direct !== null && from + length > direct.from ? direct.claim(from, length) : -1;
    this.bytes = claimed < 0 ? bytes : direct!.place.bytes;
    this.from = claimed < 0 ? from : claimed;
    const small = length < LEAST_BYTES && !conn.glanced;
    if (lender === null || !ours || (small && claimed < 0)) {
      this.bytes = copied(this.bytes, this.from, length);
      this.from = 0;
      return;
    }
    lender.borrow(this.giveBack);
    // One stream brings many chunks in a row.
    if (this.#debtors.at(-1) !== conn) this.#debtors.push(conn);
  }

  /** How often all has been given back. */
  returns = 0;

  #settle(): void {
    const debtors = this.#debtors;
    this.returns++;
    for (const { receiveQueue } of debtors) {
      for (let i = 0; i < receiveQueue.length; i++) {
        const bytes = receiveQueue.sourceAt(i);
        if (!(bytes instanceof Buffer))
          receiveQueue.move(i, owned(bytes, receiveQueue.fromAt(i), receiveQueue.lengthAt(i)));
      }
    }
    debtors.length = 0;
  }

  /** The same for bytes out of a log. */
  copy(bytes: Uint8Array, from: number, length: number): Uint8Array {
    if (length < LEAST_IN_BLOCK || length > BLOCK_BYTES) return copied(bytes, from, length);
    const chunk = new Uint8Array(this.#spare.take(), 0, length);
    chunk.set(bytes.subarray(from, from + length), 0);
    return chunk;
  }

  /** Nobody has kept a chunk of these bytes. */
  done(bytes: Uint8Array): void {
    if (!(bytes instanceof Buffer) && blocks.has(bytes.buffer)) this.#spare.give(bytes.buffer);
  }
}
