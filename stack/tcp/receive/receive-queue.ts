/**
 * In-order bytes that were not read yet, as parts of whatever memory they lie in (loans.ts): where, from where, and how many. No object is
 * made for a chunk, so that a segment which is only looked at costs no memory.
 */

/** Chunks that there is room for to begin with, and what is kept when a long queue has been read. */
const LEAST = 8;
const KEPT = 256;

export class ReceiveQueue {
  /** A power of two of them, used in turn; and two numbers for each. */
  #sources: (Uint8Array | null)[] = new Array(LEAST).fill(null);
  #spans: number[] = new Array(2 * LEAST).fill(0);
  #head = 0;
  #size = 0;

  /** Chunks. */
  get length(): number {
    return this.#size;
  }

  push(bytes: Uint8Array, from: number, length: number): void {
    if (this.#size === this.#sources.length) this.#resize(2 * this.#size);
    const at = this.#at(this.#size++);
    this.#sources[at] = bytes;
    this.#spans[2 * at] = from;
    this.#spans[2 * at + 1] = length;
  }

  /** The memory of a chunk; it begins at `fromAt`. */
  sourceAt(i: number): Uint8Array {
    return this.#sources[this.#at(i)]!;
  }

  fromAt(i: number): number {
    return this.#spans[2 * this.#at(i)]!;
  }

  lengthAt(i: number): number {
    return this.#spans[2 * this.#at(i) + 1]!;
  }

  /** A view of a chunk. */
  viewAt(i: number): Uint8Array {
    const from = this.fromAt(i);
    return this.sourceAt(i).subarray(from, from + this.lengthAt(i));
  }

  /** The chunk has been put somewhere else: it is all of `bytes`. */
  move(i: number, bytes: Uint8Array): void {
    const at = this.#at(i);
    this.#sources[at] = bytes;
    this.#spans[2 * at] = 0;
  }

  /** The first chunk loses so many bytes, which is less than all, at its beginning. */
  cut(bytes: number): void {
    const at = this.#head;
    this.#spans[2 * at]! += bytes;
    this.#spans[2 * at + 1]! -= bytes;
  }

  /** The first chunk has been read. */
  drop(): void {
    if (this.#size === 0) return;
    this.#sources[this.#head] = null;
    this.#head = this.#at(1);
    if (--this.#size === 0 && this.#sources.length > KEPT) this.#resize(LEAST);
  }

  #at(i: number): number {
    return (this.#head + i) & (this.#sources.length - 1);
  }

  #resize(room: number): void {
    const sources: (Uint8Array | null)[] = new Array(room).fill(null);
    const spans: number[] = new Array(2 * room).fill(0);
    for (let i = 0; i < this.#size; i++) {
      sources[i] = this.sourceAt(i);
      spans[2 * i] = this.fromAt(i);
      spans[2 * i + 1] = this.lengthAt(i);
    }
    this.#sources = sources;
    this.#spans = spans;
    this.#head = 0;
  }
}

/** That of a connection which has received nothing yet. Nothing is put into it. */
export const NO_CHUNKS = new ReceiveQueue();
