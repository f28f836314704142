/**
 * Borrowed buffers: large chunks of received data stay in the device's memory until the program
 * takes them, or until the device needs the memory. A program that only looks at the data
 * (`onread`, a stream without listeners) costs no copy and no memory. Data from a log goes into
 * blocks, which are used again when the program did not keep them.
 *
 * In a receive queue, a chunk that is a Buffer belongs to the connection; any other is borrowed, or
 * a block. A chunk is a part of some memory (receive-queue.ts); an object of its own is made only
 * for a program that keeps it.
 */

import type { DirectFrames, FrameLender, RxBatch } from '../../../lib/device/rx-batch.js';
import { Pool } from '../../../lib/pool.js';
import type { ReceiveQueue } from './receive-queue.js';
import type { SendBuffer } from './send-buffer.js';

/** Below this a copy costs less than borrowing, unless the program only looks at the data. */
const MIN_BYTES = 4096;
const BLOCK_BYTES = 65_536;
/** A block is never more than half empty. */
const MIN_IN_BLOCK = BLOCK_BYTES / 2;
/** Unused blocks that the pool keeps at most. */
const MAX_POOLED = 64;

const NO_BYTES = new Uint8Array(0);

const blocks = new WeakSet<ArrayBufferLike>();

function newBlock(): ArrayBuffer {
  const block = new ArrayBuffer(BLOCK_BYTES);
  blocks.add(block);
  return block;
}

/** The part of `bytes` as a Buffer that the caller may keep: the memory itself, or a copy. */
export function owned(bytes: Uint8Array, from: number, length: number): Buffer {
  // It belongs to the connection already.
  if (bytes instanceof Buffer)
    return from === 0 && length === bytes.length ? bytes : bytes.subarray(from, from + length);
  // The caller keeps the block, so it leaves the pool.
  if (blocks.delete(bytes.buffer)) return Buffer.from(bytes.buffer, bytes.byteOffset + from, length);
  return copied(bytes, from, length);
}

function copied(bytes: Uint8Array, from: number, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  copy.set(bytes.subarray(from, from + length), 0);
  return copy;
}

/** A connection, as far as it borrows. */
interface Borrower {
  readonly receiveQueue: ReceiveQueue;
  /** Its user only looked at the data that it read last, and kept nothing. */
  readonly peeked: boolean;
  /** Where its data went by reference; null: nowhere. */
  readonly relayedTo: SendBuffer | null;
}

/** What the connections of one stack have borrowed. */
export class BorrowedBuffers {
  #lender: FrameLender | null = null;
  #bytes: Uint8Array | null = null;
  #direct: DirectFrames | null = null;
  /** Connections with chunks in the memory of a device; a connection may occur more than once. */
  readonly #inFrames: Borrower[] = [];
  /** The same for payload that was placed elsewhere (direct placement). */
  readonly #placed: Borrower[] = [];
  #placeBuffer: ArrayBufferLike | null = null;
  readonly #pool = new Pool<ArrayBufferLike>(MAX_POOLED, newBlock);
  /** A device needs its memory: what lies there is copied. */
  readonly #giveBackFrames = (): void => this.#copyOut(this.#inFrames, false);

  /** The processing of a batch begins; it lasts until `end`. */
  begin(batch: RxBatch): void {
    this.#lender = batch.lender ?? null;
    this.#bytes = batch.bytes;
    this.#direct = batch.direct ?? null;
  }

  /** The processing of the batch ends. */
  end(): void {
    this.#lender = null;
    this.#direct = null;
  }

  /** Makes the bytes of a segment contiguous up to `end`, before they are read. */
  gather(bytes: Uint8Array, end: number): void {
    const direct = this.#direct;
    if (direct !== null && end > direct.from && bytes === this.#bytes) direct.gather();
  }

  // Results of `place`: where the bytes are.
  bytes: Uint8Array = NO_BYTES;
  from = 0;

  /**
   * Decides where in-order bytes of a segment lie in the receive queue; the results are `bytes` and
   * `from`.
   */
  place(conn: Borrower, bytes: Uint8Array, from: number, length: number): void {
    const direct = this.#direct;
    const lender = this.#lender;
    const ours = bytes === this.#bytes;
    const claimed = ours && direct !== null && from + length > direct.from ? direct.claim(from, length) : -1;
    this.bytes = claimed < 0 ? bytes : direct!.place.bytes;
    this.from = claimed < 0 ? from : claimed;
    const small = length < MIN_BYTES && !conn.peeked;
    if (lender === null || !ours || (small && claimed < 0)) {
      this.bytes = copied(this.bytes, this.from, length);
      this.from = 0;
      return;
    }
    if (claimed < 0) lender.borrow(this.#giveBackFrames);
    else this.#placeBuffer = this.bytes.buffer;
    const borrowers = claimed < 0 ? this.#inFrames : this.#placed;
    // A stream brings many chunks in a row: one entry serves them.
    if (borrowers.at(-1) !== conn) borrowers.push(conn);
  }

  /** How often everything was given back. */
  returns = 0;

  /** Gives everything back to the lenders: copies what is borrowed. */
  giveBack(): void {
    this.returns++;
    this.#copyOut(this.#inFrames, false);
    this.#copyOut(this.#placed, true);
  }

  /** @param placed whether to copy payload that was placed elsewhere, or all other payload */
  #copyOut(debtors: Borrower[], placed: boolean): void {
    const isMeant = (bytes: Uint8Array): boolean =>
      !(bytes instanceof Buffer) && (bytes.buffer === this.#placeBuffer) === placed;
    for (const { receiveQueue, relayedTo } of debtors) {
      relayedTo?.replaceChunks((bytes) => (isMeant(bytes) ? owned(bytes, 0, bytes.length) : bytes));
      for (let i = 0; i < receiveQueue.length; i++) {
        const bytes = receiveQueue.sourceAt(i);
        if (isMeant(bytes)) receiveQueue.move(i, owned(bytes, receiveQueue.fromAt(i), receiveQueue.lengthAt(i)));
      }
    }
    debtors.length = 0;
  }

  /** A chunk with a copy of bytes out of a log. */
  copy(bytes: Uint8Array, from: number, length: number): Uint8Array {
    if (length < MIN_IN_BLOCK || length > BLOCK_BYTES) return copied(bytes, from, length);
    const chunk = new Uint8Array(this.#pool.take(), 0, length);
    chunk.set(bytes.subarray(from, from + length), 0);
    return chunk;
  }

  /** The program did not keep a chunk of these bytes: its block is used again. */
  recycle(bytes: Uint8Array): void {
    if (!(bytes instanceof Buffer) && blocks.has(bytes.buffer)) this.#pool.give(bytes.buffer);
  }
}
