/**
 * What the peer has reported by SACK (RFC 2018), and from it which bytes count as lost (RFC 6675). Ranges are sequence
 * offsets (see connection.ts). Loss is expressed by one number, `lostEnd`: every byte below it that is not SACKed is lost.
 */

/** Most ranges remembered; further ones are ignored, which only costs retransmissions. */
const MAX_RANGES = 256;
const DUP_THRESH = 3;

export class Scoreboard {
  // Sorted, disjoint, above SND.UNA.
  readonly #start: number[] = [];
  readonly #end: number[] = [];
  /** Bytes SACKed above SND.UNA. */
  sacked = 0;

  get empty(): boolean {
    return this.#start.length === 0;
  }

  get count(): number {
    return this.#start.length;
  }

  /** Highest offset SACKed, or 0. */
  get highest(): number {
    const n = this.#end.length;
    return n === 0 ? 0 : this.#end[n - 1]!;
  }

  /** Records [start, end). @returns true when it tells anything new. */
  add(start: number, end: number): boolean {
    const starts = this.#start;
    const ends = this.#end;
    let i = 0;
    while (i < starts.length && ends[i]! < start) i++;
    if (i < starts.length && starts[i]! <= start && ends[i]! >= end) return false;
    let to = i;
    let covered = 0;
    while (to < starts.length && starts[to]! <= end) {
      covered += ends[to]! - starts[to]!;
      start = Math.min(start, starts[to]!);
      end = Math.max(end, ends[to]!);
      to++;
    }
    if (to === i && starts.length >= MAX_RANGES) return false;
    starts.splice(i, to - i, start);
    ends.splice(i, to - i, end);
    this.sacked += end - start - covered;
    return true;
  }

  /** Forgets everything below SND.UNA. */
  advance(sndUna: number): void {
    const starts = this.#start;
    const ends = this.#end;
    while (starts.length > 0 && ends[0]! <= sndUna) {
      this.sacked -= ends[0]! - starts[0]!;
      starts.shift();
      ends.shift();
    }
    if (starts.length > 0 && starts[0]! < sndUna) {
      this.sacked -= sndUna - starts[0]!;
      starts[0] = sndUna;
    }
  }

  /** Offset below which unSACKed bytes are lost: three segments' worth or three ranges were SACKed above (RFC 6675 IsLost). */
  lostBelow(mss: number): number {
    const starts = this.#start;
    let bytes = 0;
    for (let i = starts.length - 1, ranges = 1; i >= 0; i--, ranges++) {
      bytes += this.#end[i]! - starts[i]!;
      if (bytes > (DUP_THRESH - 1) * mss || ranges >= DUP_THRESH) return starts[i]!;
    }
    return 0;
  }

  /** First offset at or above `from` that is not SACKed. */
  nextHole(from: number): number {
    for (let i = 0; i < this.#start.length; i++) {
      if (from < this.#start[i]!) return from;
      if (from < this.#end[i]!) from = this.#end[i]!;
    }
    return from;
  }

  /** Start of the first SACKed range above `from`, or Infinity. */
  nextSacked(from: number): number {
    for (let i = 0; i < this.#start.length; i++) if (this.#start[i]! > from) return this.#start[i]!;
    return Number.POSITIVE_INFINITY;
  }

  /** SACKed bytes in [from, to). */
  sackedIn(from: number, to: number): number {
    let n = 0;
    for (let i = 0; i < this.#start.length; i++) {
      const a = Math.max(from, this.#start[i]!);
      const b = Math.min(to, this.#end[i]!);
      if (b > a) n += b - a;
    }
    return n;
  }

  clear(): void {
    this.#start.length = 0;
    this.#end.length = 0;
    this.sacked = 0;
  }
}
