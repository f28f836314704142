/**
 * The send buffer: bytes that the user has given and the peer has not acknowledged. It holds
 * references to the user's chunks, addressed by stream offset (0 is the first byte ever written),
 * and copies nothing; a segment gathers pieces of the chunks. The user's own backpressure bounds
 * the memory (the socket's sendBuffer).
 */
import type { TxFrame } from '../../../lib/device/device.js';
import { TX_MAX_PIECES } from '../../../lib/device/device.js';
import { Pool } from '../../../lib/pool.js';

const EMPTY = new Uint8Array(0);
const FIRST_SLOTS = 8;
/** Unused rings that the pool keeps at most. */
const MAX_POOLED = 256;

/** References to chunks, and the stream offset of each one's first byte. */
class Slots {
  readonly chunks: Uint8Array[];
  readonly offsets: number[];
  constructor(size: number) {
    this.chunks = new Array<Uint8Array>(size).fill(EMPTY);
    this.offsets = new Array<number>(size).fill(0);
  }
}

/** For a connection that has nothing to send. */
const NO_SLOTS = new Slots(0);
/**
 * Idle connections need no ring: a small pool serves thousands of connections that send now and
 * then.
 */
const pool = new Pool(MAX_POOLED, () => new Slots(FIRST_SLOTS));

/** The send buffer of one connection. */
export class SendBuffer {
  /** Stream offset of the first byte held. */
  start = 0;
  /** Stream offset behind the last byte held. */
  end = 0;
  // A ring of chunks; `#offsets[i]` is the stream offset of chunk i's first byte.
  #slots = NO_SLOTS;
  #chunks = NO_SLOTS.chunks;
  #offsets = NO_SLOTS.offsets;
  #head = 0;
  #count = 0;
  // Segments mostly follow each other, so the chunk used last is the first guess.
  #hint = 0;

  /** Bytes held. */
  get length(): number {
    return this.end - this.start;
  }

  /** Adds a chunk at the end; it must not change later. */
  append(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#count === this.#chunks.length) this.#grow();
    const slot = (this.#head + this.#count) & (this.#chunks.length - 1);
    this.#chunks[slot] = chunk;
    this.#offsets[slot] = this.end;
    this.#count++;
    this.end += chunk.length;
  }

  /** Drops everything before `offset`: it has been acknowledged. */
  releaseTo(offset: number): void {
    if (offset <= this.start) return;
    const mask = this.#chunks.length - 1;
    while (this.#count > 0) {
      const slot = this.#head;
      if (this.#offsets[slot] + this.#chunks[slot].length > offset) break;
      this.#chunks[slot] = EMPTY;
      this.#head = (slot + 1) & mask;
      this.#count--;
      if (this.#hint > 0) this.#hint--;
    }
    this.start = offset;
    if (this.#count === 0) this.#release();
  }

  /**
   * Adds the bytes [offset, offset + length) to a frame as pieces.
   * @returns the bytes added: less than `length` when the frame has no room for more pieces.
   */
  gather(frame: TxFrame, offset: number, length: number): number {
    const mask = this.#chunks.length - 1;
    let index = this.#find(offset);
    let left = length;
    while (left > 0 && index < this.#count && frame.pieceCount < TX_MAX_PIECES) {
      const slot = (this.#head + index) & mask;
      const chunk = this.#chunks[slot];
      const skip = offset - this.#offsets[slot];
      const take = Math.min(left, chunk.length - skip);
      frame.addPiece(chunk, skip, take);
      offset += take;
      left -= take;
      index++;
    }
    this.#hint = index > 0 ? index - 1 : 0;
    return length - left;
  }

  /** Drops everything, e.g. after a reset. */
  clear(): void {
    for (let i = 0; i < this.#count; i++) this.#chunks[(this.#head + i) & (this.#chunks.length - 1)] = EMPTY;
    this.#count = 0;
    this.#release();
    this.start = this.end;
  }

  /** Replaces each chunk by what `replace` returns: the chunk, or a copy of borrowed bytes. */
  replaceChunks(replace: (bytes: Uint8Array) => Uint8Array): void {
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & (this.#chunks.length - 1);
      this.#chunks[slot] = replace(this.#chunks[slot]);
    }
  }

  /** A copy of the held bytes, for checkpoints and tests. */
  toBytes(): Uint8Array {
    const out = new Uint8Array(this.length);
    const mask = this.#chunks.length - 1;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & mask;
      const at = this.#offsets[slot] - this.start;
      const chunk = this.#chunks[slot];
      if (at >= 0) out.set(chunk, at);
      else out.set(chunk.subarray(-at), 0);
    }
    return out;
  }

  /** Takes over the bytes of a checkpoint; `start` is the stream offset of the first byte. */
  load(start: number, bytes: Uint8Array): void {
    this.clear();
    this.start = start;
    this.end = start;
    this.append(bytes);
  }

  /** Index (from the head) of the chunk that holds `offset`. */
  #find(offset: number): number {
    const mask = this.#chunks.length - 1;
    let low = 0;
    let high = this.#count - 1;
    for (let guess = this.#hint; guess <= this.#hint + 1 && guess < this.#count; guess++) {
      const slot = (this.#head + guess) & mask;
      const from = this.#offsets[slot];
      if (offset >= from && offset < from + this.#chunks[slot].length) return guess;
    }
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#offsets[(this.#head + middle) & mask] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Nothing is held. A ring that has grown stays, as more will follow. */
  #release(): void {
    this.#head = 0;
    this.#hint = 0;
    if (this.#slots === NO_SLOTS || this.#chunks.length > FIRST_SLOTS) return;
    pool.give(this.#slots);
    this.#use(NO_SLOTS);
  }

  #use(slots: Slots): void {
    this.#slots = slots;
    this.#chunks = slots.chunks;
    this.#offsets = slots.offsets;
  }

  #grow(): void {
    const old = this.#chunks.length;
    const slots = old === 0 ? pool.take() : new Slots(old * 2);
    const { chunks, offsets } = slots;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & (old - 1);
      chunks[i] = this.#chunks[slot];
      offsets[i] = this.#offsets[slot];
    }
    this.#use(slots);
    this.#head = 0;
  }
}
