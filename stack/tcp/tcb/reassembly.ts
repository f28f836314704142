/**
 * The reassembly queue: out-of-order data of one connection, by sequence offset (see
 * connection.ts), until the gap before it is filled. Bytes that are held win over later copies, so
 * that a stream has one value per byte. The receive window bounds the bytes, MAX_PIECES the number
 * of pieces; data beyond that is dropped, and the peer sends it again.
 */

/** A contiguous piece of data. */
export interface Piece {
  start: number;
  end: number;
  /** Begins with the piece; there may be spare capacity behind it. */
  bytes: Uint8Array;
}

/** Out-of-order data as plain data. */
export interface SavedReassembly {
  pieces: { start: number; bytes: Uint8Array }[];
  /** Start, end, stamp. */
  blocks: [number, number, number][];
}

interface Block {
  start: number;
  end: number;
  stamp: number;
}

/** Most pieces held per connection. */
export const MAX_PIECES = 4096;
/** Most spare capacity of a piece, so that a long run does not take a piece per segment. */
const MAX_RESERVE = 65_536;

/** For a connection without out-of-order data; never changed. */
const NO_PIECES: Piece[] = [];
const NO_BLOCKS: Block[] = [];

/** The reassembly queue of one connection. */
export class Reassembly {
  /** Sorted by start, disjoint. */
  #pieces: Piece[] = NO_PIECES;
  /** Maximal contiguous ranges of the pieces, sorted; for SACK. */
  #blocks: Block[] = NO_BLOCKS;
  #stamp = 0;
  /** Bytes held. */
  bytes = 0;
  /** The end of what `overlapStart` found. */
  overlapEnd = -1;

  /** Nothing is held. */
  get empty(): boolean {
    return this.#pieces.length === 0;
  }

  /**
   * Keeps a copy of what is new in [start, start + length).
   * @returns false when nothing could be kept because the number of pieces is at its limit.
   */
  insert(start: number, source: Uint8Array, offset: number, length: number): boolean {
    if (this.#pieces === NO_PIECES) this.#pieces = [];
    if (this.#blocks === NO_BLOCKS) this.#blocks = [];
    let at = start;
    const stop = start + length;
    let index = this.#firstEndingAfter(start);
    let kept = true;
    while (at < stop) {
      const next = this.#pieces[index];
      const until = next === undefined ? stop : Math.min(stop, next.start);
      if (until > at) {
        const from = offset + (at - start);
        const before = index > 0 ? this.#pieces[index - 1] : undefined;
        const room = before?.end === at ? before.bytes.length - (at - before.start) : -1;
        if (before !== undefined && room >= until - at) {
          before.bytes.set(source.subarray(from, from + (until - at)), at - before.start);
          before.end = until;
        } else if (this.#pieces.length >= MAX_PIECES) {
          kept = false;
          break;
        } else {
          // Capacity grows with the run that the piece continues, so at most as much is spare as is
          // held.
          const size = room < 0 ? 0 : Math.min(MAX_RESERVE, 2 * (at - before!.start));
          const bytes = new Uint8Array(Math.max(size, until - at));
          bytes.set(source.subarray(from, from + (until - at)));
          this.#pieces.splice(index, 0, { start: at, end: until, bytes });
          index++;
        }
        this.bytes += until - at;
      }
      if (next === undefined || next.start >= stop) {
        at = until;
        break;
      }
      at = Math.max(until, next.end);
      index++;
    }
    this.#addToBlocks(start, Math.min(at, stop));
    return kept;
  }

  /**
   * The first part of [start, end) that is held already; it ends at `overlapEnd`.
   * @returns its start, or -1 when all of it is new
   */
  overlapStart(start: number, end: number): number {
    const pieces = this.#pieces;
    let index = this.#firstEndingAfter(start);
    if (index >= pieces.length || pieces[index].start >= end) return -1;
    const from = Math.max(start, pieces[index].start);
    let to = pieces[index].end;
    for (index++; to < end && index < pieces.length && pieces[index].start === to; index++) to = pieces[index].end;
    this.overlapEnd = Math.min(end, to);
    return from;
  }

  /**
   * Takes the piece that begins at or before `rcvNxt`, trimmed to begin there; undefined when there
   * is a gap.
   */
  take(rcvNxt: number): Uint8Array | undefined {
    for (;;) {
      const first = this.#pieces[0];
      if (first === undefined || first.start > rcvNxt) {
        this.#trimBlocks(rcvNxt);
        return undefined;
      }
      this.#pieces.shift();
      this.bytes -= first.end - first.start;
      if (first.end > rcvNxt) return first.bytes.subarray(rcvNxt - first.start, first.end - first.start);
    }
  }

  /** Drops everything before `offset`. */
  dropBelow(offset: number): void {
    const pieces = this.#pieces;
    while (pieces.length > 0 && pieces[0].end <= offset) {
      const piece = pieces.shift()!;
      this.bytes -= piece.end - piece.start;
    }
    this.#trimBlocks(offset);
  }

  /**
   * Writes up to `max` SACK blocks as pairs of sequence offsets, the most recently changed first
   * (RFC 2018 section 4), from `out[at]` on.
   * @returns the number of blocks.
   */
  sackBlocks(out: Float64Array, max: number, at = 0): number {
    const blocks = this.#blocks;
    let n = 0;
    let before = Number.POSITIVE_INFINITY;
    while (n < max && n < blocks.length) {
      let best = -1;
      for (let i = 0; i < blocks.length; i++) {
        const stamp = blocks[i].stamp;
        if (stamp < before && (best < 0 || stamp > blocks[best].stamp)) best = i;
      }
      if (best < 0) break;
      out[at + 2 * n] = blocks[best].start;
      out[at + 2 * n + 1] = blocks[best].end;
      before = blocks[best].stamp;
      n++;
    }
    return n;
  }

  /** The whole state, for `load` in another process. */
  save(): SavedReassembly {
    return {
      pieces: this.#pieces.map(({ start, end, bytes }) => ({ start, bytes: bytes.slice(0, end - start) })),
      blocks: this.#blocks.map(({ start, end, stamp }) => [start, end, stamp]),
    };
  }

  /** Takes over a saved state. */
  load(saved: SavedReassembly): void {
    this.#pieces = saved.pieces.map(({ start, bytes }) => ({ start, end: start + bytes.length, bytes }));
    this.#blocks = saved.blocks.map(([start, end, stamp]) => ({ start, end, stamp }));
    this.#stamp = Math.max(0, ...saved.blocks.map(([, , stamp]) => stamp));
    this.bytes = saved.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Drops everything. */
  clear(): void {
    this.#pieces = NO_PIECES;
    this.#blocks = NO_BLOCKS;
    this.bytes = 0;
  }

  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pieces[middle].end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #addToBlocks(start: number, end: number): void {
    if (end <= start) return;
    const blocks = this.#blocks;
    let i = 0;
    while (i < blocks.length && blocks[i].end < start) i++;
    let to = i;
    while (to < blocks.length && blocks[to].start <= end) {
      start = Math.min(start, blocks[to].start);
      end = Math.max(end, blocks[to].end);
      to++;
    }
    blocks.splice(i, to - i, { start, end, stamp: ++this.#stamp });
  }

  #trimBlocks(rcvNxt: number): void {
    const blocks = this.#blocks;
    while (blocks.length > 0 && blocks[0].end <= rcvNxt) blocks.shift();
    const first = blocks[0];
    if (first !== undefined && first.start < rcvNxt) first.start = rcvNxt;
  }
}
