/**
 * The receive queue: in-order bytes that the user has not read. Each chunk is a part of some memory
 * (borrowed-buffers.ts): the array, an offset and a length. No object is made for a chunk, so data
 * that is only looked at costs no memory.
 */

/** Initial capacity in chunks, and the capacity that is kept when a long queue has been read. */
const MIN_CAPACITY = 8;
const MAX_KEPT = 256;
const NO_BYTES = new Uint8Array(0);

/** The receive queue of one connection. */
export class ReceiveQueue {
  /** Rings of a power of two: the memory of each chunk, and its offset and length. */
  #sources: Uint8Array[] = new Array(MIN_CAPACITY).fill(NO_BYTES);
  #spans: number[] = new Array(2 * MIN_CAPACITY).fill(0);
  #head = 0;
  #size = 0;

  /** Number of chunks. */
  get length(): number {
    return this.#size;
  }

  /** Bytes in all chunks. */
  get bytes(): number {
    let sum = 0;
    for (let i = 0; i < this.#size; i++) sum += this.lengthAt(i);
    return sum;
  }

  /** Adds a chunk at the end. */
  push(bytes: Uint8Array, from: number, length: number): void {
    if (this.#size === this.#sources.length) this.#resize(2 * this.#size);
    const at = this.#at(this.#size++);
    this.#sources[at] = bytes;
    this.#spans[2 * at] = from;
    this.#spans[2 * at + 1] = length;
  }

  /** The memory of a chunk; it begins at `fromAt`. */
  sourceAt(i: number): Uint8Array {
    return this.#sources[this.#at(i)];
  }

  /** Where the chunk begins in its memory. */
  fromAt(i: number): number {
    return this.#spans[2 * this.#at(i)];
  }

  /** Bytes of the chunk. */
  lengthAt(i: number): number {
    return this.#spans[2 * this.#at(i) + 1];
  }

  /** A view of a chunk. */
  viewAt(i: number): Uint8Array {
    const from = this.fromAt(i);
    return this.sourceAt(i).subarray(from, from + this.lengthAt(i));
  }

  /** The chunk has moved: it is all of `bytes` now. */
  move(i: number, bytes: Uint8Array): void {
    const at = this.#at(i);
    this.#sources[at] = bytes;
    this.#spans[2 * at] = 0;
  }

  /** Removes `bytes` bytes, less than all, from the beginning of the first chunk. */
  cut(bytes: number): void {
    const at = this.#head;
    this.#spans[2 * at] += bytes;
    this.#spans[2 * at + 1] -= bytes;
  }

  /** Takes the first chunk out, which must exist: as it lies, borrowed or not. */
  takeFirst(): Uint8Array {
    const bytes = this.sourceAt(0);
    const from = this.fromAt(0);
    const length = this.lengthAt(0);
    this.drop();
    return from === 0 && length === bytes.length ? bytes : bytes.subarray(from, from + length);
  }

  /** Removes the first chunk. */
  drop(): void {
    if (this.#size === 0) return;
    this.#sources[this.#head] = NO_BYTES;
    this.#head = this.#at(1);
    if (--this.#size === 0 && this.#sources.length > MAX_KEPT) this.#resize(MIN_CAPACITY);
  }

  #at(i: number): number {
    return (this.#head + i) & (this.#sources.length - 1);
  }

  #resize(capacity: number): void {
    const sources: Uint8Array[] = new Array(capacity).fill(NO_BYTES);
    const spans: number[] = new Array(2 * capacity).fill(0);
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

/** The queue of a connection that has received nothing; shared, always empty. */
export const NO_CHUNKS = new ReceiveQueue();
