/**
 * Large chunks of received data stay where the device has put them until the program takes them, or the device needs the memory:
 * who only looks at what comes (`onread`, a stream that nobody listens to) costs no copy and no memory. What comes from a log instead is put
 * into blocks that are used again when nobody kept them. In a receive queue a chunk that is a Buffer is the connection's own; any
 * other is lent, or a block.
 */

import type { FrameLender, RxBatch } from '../../lib/device/device.js';
import type { DirectPayload } from '../../lib/device/direct.js';
import { Spare } from '../../lib/spare.js';
import type { TcpConnection } from './connection.js';

/** Below that a copy out of Buffer's pool costs less than a loan, unless nobody wants the copy. */
const LEAST_BYTES = 4096;
const BLOCK_BYTES = 65_536;
/** A block is never more than half empty. */
const LEAST_IN_BLOCK = BLOCK_BYTES / 2;
/** Blocks that are kept for another use. */
const MOST_SPARE = 64;

const blocks = new WeakSet<ArrayBufferLike>();

function newBlock(): ArrayBuffer {
  const block = new ArrayBuffer(BLOCK_BYTES);
  blocks.add(block);
  return block;
}

/** The chunk itself if it can be kept, or a copy. */
export function owned(chunk: Uint8Array): Buffer {
  if (chunk instanceof Buffer) return chunk;
  // Given away: it is nobody's block any more.
  if (blocks.delete(chunk.buffer)) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  const copy = Buffer.allocUnsafe(chunk.length);
  copy.set(chunk, 0);
  return copy;
}

export class Loans {
  #lender: FrameLender | null = null;
  #bytes: Uint8Array | null = null;
  #direct: DirectPayload | null = null;
  /** Who has chunks that are lent; some of them more than once. */
  #debtors: TcpConnection[] = [];
  readonly #spare = new Spare<ArrayBufferLike>(MOST_SPARE, newBlock);
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

  /** What to put into the receive queue for bytes of a segment that came in order. */
  chunk(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): Uint8Array {
    const direct = this.#direct;
    const lender = this.#lender;
    const claimed =
      direct !== null && from + length > direct.from && bytes === this.#bytes ? direct.claim(from, length) : null;
    const part = claimed ?? bytes.subarray(from, from + length);
    const small = length < LEAST_BYTES && !conn.glanced;
    if (lender === null || bytes !== this.#bytes || (small && claimed === null)) return owned(part);
    lender.borrow(this.giveBack);
    // One stream brings many chunks in a row.
    if (this.#debtors.at(-1) !== conn) this.#debtors.push(conn);
    return part;
  }

  /** How often all has been given back. */
  returns = 0;

  #settle(): void {
    const debtors = this.#debtors;
    this.returns++;
    for (const { receiveQueue } of debtors)
      for (let i = 0; i < receiveQueue.length; i++) receiveQueue[i] = owned(receiveQueue[i]!);
    debtors.length = 0;
  }

  /** The same for bytes out of a log. */
  copy(bytes: Uint8Array, from: number, length: number): Uint8Array {
    const part = bytes.subarray(from, from + length);
    if (length < LEAST_IN_BLOCK || length > BLOCK_BYTES) return owned(part);
    const chunk = new Uint8Array(this.#spare.take(), 0, length);
    chunk.set(part, 0);
    return chunk;
  }

  /** Nobody has kept the chunk. */
  done(chunk: Uint8Array): void {
    if (!(chunk instanceof Buffer) && blocks.has(chunk.buffer)) this.#spare.give(chunk.buffer);
  }
}
