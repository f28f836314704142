/**
 * The bytes a connection has been given to send and that the peer has not acknowledged: references to the writer's
 * chunks, addressed by stream offset (0 is the first byte ever written). Bytes are never copied here; a segment gathers
 * pieces of the chunks. Memory is bounded by the writer's own backpressure (the socket's sendBuffer).
 */
import type { TxFrame } from '../../../lib/device/device.js';
import { TX_MAX_PIECES } from '../../../lib/device/device.js';
import { Pool } from '../../../lib/pool.js';

const EMPTY = new Uint8Array(0);
const FIRST_SLOTS = 8;
/** Rings that nobody uses at most. */
const MOST_SPARE = 256;

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
const NONE = new Slots(0);
/** Who has nothing to send needs none: a few serve thousands of connections that send now and then. */
const rings = new Pool(MOST_SPARE, () => new Slots(FIRST_SLOTS));

export class SendBuffer {
  /** Stream offset of the first byte held. */
  start = 0;
  /** Stream offset behind the last byte held. */
  end = 0;
  // A ring of chunks; `#offsets[i]` is the stream offset of chunk i's first byte.
  #in = NONE;
  #chunks = NONE.chunks;
  #offsets = NONE.offsets;
  #head = 0;
  #count = 0;
  // Segments are mostly cut one behind the other: the chunk used last is the first guess.
  #hint = 0;

  get length(): number {
    return this.end - this.start;
  }

  append(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#count === this.#chunks.length) this.#grow();
    const slot = (this.#head + this.#count) & (this.#chunks.length - 1);
    this.#chunks[slot] = chunk;
    this.#offsets[slot] = this.end;
    this.#count++;
    this.end += chunk.length;
  }

  /** Forgets everything before `offset`. */
  releaseTo(offset: number): void {
    if (offset <= this.start) return;
    const mask = this.#chunks.length - 1;
    while (this.#count > 0) {
      const slot = this.#head;
      if (this.#offsets[slot]! + this.#chunks[slot]!.length > offset) break;
      this.#chunks[slot] = EMPTY;
      this.#head = (slot + 1) & mask;
      this.#count--;
      if (this.#hint > 0) this.#hint--;
    }
    this.start = offset;
    if (this.#count === 0) this.#vacate();
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
      const chunk = this.#chunks[slot]!;
      const skip = offset - this.#offsets[slot]!;
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
    this.#vacate();
    this.start = this.end;
  }

  /** Copies the held bytes out, for checkpoints and tests. */
  toBytes(): Uint8Array {
    const out = new Uint8Array(this.length);
    const mask = this.#chunks.length - 1;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & mask;
      const at = this.#offsets[slot]! - this.start;
      const chunk = this.#chunks[slot]!;
      if (at >= 0) out.set(chunk, at);
      else out.set(chunk.subarray(-at), 0);
    }
    return out;
  }

  /** Begins anew with bytes that were copied out elsewhere; `start` is the stream offset of the first one. */
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
      const from = this.#offsets[slot]!;
      if (offset >= from && offset < from + this.#chunks[slot]!.length) return guess;
    }
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#offsets[(this.#head + middle) & mask]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Nothing is held. A ring that has grown stays: more will follow. */
  #vacate(): void {
    this.#head = 0;
    this.#hint = 0;
    if (this.#in === NONE || this.#chunks.length > FIRST_SLOTS) return;
    rings.give(this.#in);
    this.#move(NONE);
  }

  #move(slots: Slots): void {
    this.#in = slots;
    this.#chunks = slots.chunks;
    this.#offsets = slots.offsets;
  }

  #grow(): void {
    const old = this.#chunks.length;
    const slots = old === 0 ? rings.take() : new Slots(old * 2);
    const { chunks, offsets } = slots;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & (old - 1);
      chunks[i] = this.#chunks[slot]!;
      offsets[i] = this.#offsets[slot]!;
    }
    this.#move(slots);
    this.#head = 0;
  }
}
