/** Size of a slab; also the longest chunk that a run of small writes becomes. */
const SLAB_SIZE = 65536;

/**
 * Where small writes are copied to. A slab is shared by all sockets and never written twice in the
 * same place, so the chunks taken from it may be kept as long as needed. Pieces added between two
 * `take`s are contiguous; where chunks are cut depends only on the pieces, not on how full the slab
 * happens to be.
 */
class WriteSlab {
  #slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
  #start = 0;
  #end = 0;

  /** Whether `length` more bytes still fit into the run. */
  fits(length: number): boolean {
    return this.#end - this.#start + length <= SLAB_SIZE;
  }

  /** Adds bytes to the run; the caller has asked `fits`. */
  addBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#slab.set(bytes, this.#end);
    this.#end += bytes.byteLength;
  }

  /** Adds text to the run; `length` is an upper bound of its bytes, for which `fits` was true. */
  addText(text: string, encoding: BufferEncoding, length: number): void {
    this.#reserve(length);
    this.#end += this.#slab.write(text, this.#end, length, encoding);
  }

  /** The run as one chunk, or null if it is empty; a new run begins. */
  take(): Buffer | null {
    if (this.#end === this.#start) return null;
    const chunk = this.#slab.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return chunk;
  }

  #reserve(length: number): void {
    if (this.#end + length <= SLAB_SIZE) return;
    const next = Buffer.allocUnsafeSlow(SLAB_SIZE);
    this.#slab.copy(next, 0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    this.#slab = next;
  }
}

/** The slab of this process. */
export const writeSlab = new WriteSlab();
