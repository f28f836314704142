/**
 * The SACK scoreboard (RFC 6675): what is in flight, as ranges of sequence offsets (see
 * connection.ts). For each range it knows when it was last sent, whether the peer has reported it
 * (RFC 2018), whether it counts as lost and was not sent again, and whether it was ever
 * retransmitted. The ranges cover [SND.UNA, SND.NXT) without gaps. Data sent in one batch is one
 * range until an acknowledgement, a loss or a retransmission divides it, so a lossless transfer
 * needs a handful of ranges. They live in arrays that are reused.
 *
 * `beginAck` begins an acknowledgement; its results are fields, so that no call allocates.
 */
import { Pool } from '../../../lib/pool.js';

/** Reported by the peer. */
export const SACKED = 1;
/** Counts as lost, and was not sent again since. */
export const LOST = 2;
/** Was retransmitted. */
export const RETRANSMITTED = 4;

/**
 * Most ranges of a connection; further divisions are not recorded, which only costs
 * retransmissions.
 */
const MAX_RANGES = 8192;

/** A scoreboard as plain data. */
export interface SavedScoreboard {
  base: number;
  sacked: number;
  lost: number;
  fack: number;
  lostFrom: number;
  ends: number[];
  times: number[];
  flags: number[];
}

/** Initial capacity: the most ranges whose typed arrays V8 still keeps in its own heap. */
const FIRST_CAPACITY = 8;
/** Unused arrays that the pool keeps at most. */
const MAX_POOLED = 256;

/** The arrays of the ranges: the end of each, when it was last sent, and its flags. */
class Ranges {
  readonly end: Float64Array;
  readonly sentUs: Float64Array;
  readonly flags: Uint8Array;
  constructor(size: number) {
    this.end = new Float64Array(size);
    this.sentUs = new Float64Array(size);
    this.flags = new Uint8Array(size);
  }
}

/** For a connection that has nothing in flight. */
const NO_RANGES = new Ranges(0);
/**
 * Idle connections need no arrays: a small pool serves thousands of connections that send now and
 * then.
 */
const pool = new Pool(MAX_POOLED, () => new Ranges(FIRST_CAPACITY));

/** The ranges in flight of one connection. */
export class Scoreboard {
  #ranges = NO_RANGES;
  #end = NO_RANGES.end;
  #sentUs = NO_RANGES.sentUs;
  #flags = NO_RANGES.flags;
  #head = 0;
  #tail = 0;
  /** Where the first range begins: SND.UNA. */
  base = 0;
  /** Bytes reported by SACK. */
  sacked = 0;
  /** Bytes that count as lost and were not sent again. */
  lost = 0;
  /** Highest offset that was ever delivered (RFC 8985 RACK.fack). */
  fack = 0;
  /** End of the range that `nextLost` found. */
  lostRangeEnd = 0;
  /** No range that is lost begins below it. */
  #lostFrom = Number.POSITIVE_INFINITY;

  // Results of one acknowledgement.
  /** Bytes newly delivered, by ACK or SACK. */
  delivered = 0;
  /**
   * When the most recently sent range among them was sent, and its end; -1 for none (RFC 8985
   * section 6.2 step 2).
   */
  newestUs = -1;
  newestEnd = 0;
  /**
   * The same for ranges that were sent only once; -1 for none. It times a round trip (Karn's rule).
   */
  onceUs = -1;
  /**
   * Something that was sent only once arrived behind something sent later (RFC 8985 section 6.2
   * step 3).
   */
  reordered = false;

  /** Ranges in use. */
  get count(): number {
    return this.#tail - this.#head;
  }

  /** Offset behind the last range. */
  get end(): number {
    return this.#tail === this.#head ? this.base : this.#end[this.#tail - 1];
  }

  /**
   * Whether the first byte in flight was reported by SACK: the peer has thrown away what it
   * reported (RFC 2018 section 8).
   */
  get reneged(): boolean {
    return this.#tail > this.#head && (this.#flags[this.#head] & SACKED) !== 0;
  }

  /** When the first range was last sent; -1 when nothing is in flight. */
  get oldestUs(): number {
    return this.#tail === this.#head ? -1 : this.#sentUs[this.#head];
  }

  /** Begins with nothing in flight; all before `base` has arrived. */
  begin(base: number): void {
    this.fack = 0;
    this.reset(base);
    this.beginAck();
  }

  /** Forgets all; `base` is SND.UNA. */
  reset(base: number): void {
    this.#clear();
    this.base = base;
    this.sacked = 0;
    this.lost = 0;
    this.fack = Math.max(this.fack, base);
    this.#lostFrom = Number.POSITIVE_INFINITY;
  }

  /**
   * Adds [end of the last range, `end`) as sent now. Times that differ by at most `grainUs` count
   * as one.
   */
  push(end: number, nowUs: number, grainUs: number): void {
    const last = this.#tail - 1;
    const together = last >= this.#head && this.#flags[last] === 0 && nowUs - this.#sentUs[last] <= grainUs;
    if (together || this.count >= MAX_RANGES) {
      if ((this.#flags[last] & LOST) !== 0) this.lost += end - this.#end[last];
      else if ((this.#flags[last] & SACKED) !== 0) {
        // New data cannot have been reported: this happens only at the limit of ranges.
        this.sacked += end - this.#end[last];
      }
      this.#end[last] = end;
      return;
    }
    this.#reserve();
    const at = this.#tail++;
    this.#end[at] = end;
    this.#sentUs[at] = nowUs;
    this.#flags[at] = 0;
  }

  // --- Acknowledgements ---

  /** Begins an acknowledgement: clears the results. */
  beginAck(): void {
    this.delivered = 0;
    this.newestUs = -1;
    this.newestEnd = 0;
    this.onceUs = -1;
    this.reordered = false;
  }

  /**
   * SND.UNA moves to `una`.
   * @param minRttUs a retransmission younger than this cannot have been answered
   */
  advance(una: number, nowUs: number, minRttUs: number): void {
    while (this.#head < this.#tail) {
      const at = this.#head;
      const end = this.#end[at];
      const to = Math.min(end, una);
      if (to <= this.base) break;
      this.#take(at, this.base, to, nowUs, minRttUs);
      this.base = to;
      if (to < end) break;
      this.#head++;
    }
    if (this.#head === this.#tail) this.#clear();
    if (this.base < una) this.base = una;
    if (una > this.fack) this.fack = una;
  }

  /** SACK reports [from, to). @returns bytes that were not reported before */
  sack(from: number, to: number, nowUs: number, minRttUs: number): number {
    if (!this.#divide(from) || !this.#divide(to)) return 0;
    let fresh = 0;
    let start = this.base;
    const first = this.#find(from);
    if (first > this.#head) start = this.#end[first - 1];
    let at = first;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at];
      if ((this.#flags[at] & SACKED) === 0) {
        this.#take(at, start, end, nowUs, minRttUs);
        this.#flags[at] = (this.#flags[at] & ~LOST) | SACKED;
        this.sacked += end - start;
        fresh += end - start;
      }
      start = end;
    }
    if (fresh > 0) {
      if (to > this.fack) this.fack = to;
      this.#joinSacked(first, at);
    }
    return fresh;
  }

  /**
   * Counts [start, end) of a range as delivered, if it was not reported before; changes no range.
   */
  #take(at: number, start: number, end: number, nowUs: number, minRttUs: number): void {
    const flags = this.#flags[at];
    const bytes = end - start;
    if ((flags & SACKED) !== 0) {
      this.sacked -= bytes;
      return;
    }
    this.delivered += bytes;
    if ((flags & LOST) !== 0) this.lost -= bytes;
    const sent = this.#sentUs[at];
    const twice = (flags & RETRANSMITTED) !== 0;
    if (!twice) {
      if (sent > this.onceUs) this.onceUs = sent;
      if (end < this.fack) this.reordered = true;
    } else if (nowUs - sent < minRttUs) return;
    if (sent > this.newestUs || (sent === this.newestUs && end > this.newestEnd)) {
      this.newestUs = sent;
      this.newestEnd = end;
    }
  }

  // --- Loss ---

  /**
   * Marks as lost what was sent more than `waitUs` ago and before the latest delivered segment (RFC
   * 8985 section 6.2 step 5).
   * @returns microseconds until more would be lost, 0 when nothing is left to decide; `lost` tells
   * what was marked
   */
  detectLost(nowUs: number, newestUs: number, newestEnd: number, waitUs: number): number {
    let timeout = 0;
    let start = this.base;
    for (let at = this.#head; at < this.#tail; at++) {
      const end = this.#end[at];
      const flags = this.#flags[at];
      const sent = this.#sentUs[at];
      if ((flags & (SACKED | LOST)) === 0) {
        if (sent > newestUs || (sent === newestUs && end > newestEnd)) {
          // Ranges that were sent once are in the order of their times.
          if ((flags & RETRANSMITTED) === 0) break;
        } else {
          const remaining = sent + waitUs - nowUs;
          if (remaining <= 0) this.#lose(at, start, end);
          else if (remaining > timeout) timeout = remaining;
        }
      }
      start = end;
    }
    return timeout;
  }

  /** Marks [from, to) as lost, except what was reported. */
  markLost(from: number, to: number): void {
    this.#divide(from);
    this.#divide(to);
    let at = this.#find(from);
    let start = at > this.#head ? this.#end[at - 1] : this.base;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at];
      if ((this.#flags[at] & (SACKED | LOST)) === 0) this.#lose(at, start, end);
      start = end;
    }
  }

  /** Nothing was lost: clears all marks. */
  unmarkLost(): void {
    for (let at = this.#head; at < this.#tail; at++) this.#flags[at] &= ~LOST;
    this.lost = 0;
    this.#lostFrom = Number.POSITIVE_INFINITY;
  }

  /** Forgets the reports of SACK, after the peer has reneged (RFC 2018 section 8). */
  forgetSacked(): void {
    for (let at = this.#head; at < this.#tail; at++) this.#flags[at] &= ~SACKED;
    this.sacked = 0;
    this.fack = this.base;
  }

  /** Where the first lost range begins, or -1; `lostRangeEnd` says where it ends. */
  nextLost(): number {
    if (this.lost === 0) return -1;
    let at = this.#find(Math.max(this.base, this.#lostFrom));
    let start = at > this.#head ? this.#end[at - 1] : this.base;
    for (; at < this.#tail; at++) {
      if ((this.#flags[at] & LOST) !== 0) {
        this.#lostFrom = start;
        this.lostRangeEnd = this.#end[at];
        return start;
      }
      start = this.#end[at];
    }
    return -1;
  }

  /** Notes that [from, to) was sent again now. */
  markRetransmitted(from: number, to: number, nowUs: number): void {
    this.#divide(from);
    this.#divide(to);
    let at = this.#find(from);
    let start = at > this.#head ? this.#end[at - 1] : this.base;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at];
      const flags = this.#flags[at];
      if ((flags & LOST) !== 0) this.lost -= end - start;
      if ((flags & SACKED) === 0) {
        this.#flags[at] = RETRANSMITTED;
        this.#sentUs[at] = nowUs;
        if (at > this.#head && this.#flags[at - 1] === RETRANSMITTED && this.#sentUs[at - 1] === nowUs) {
          this.#end[at - 1] = end;
          this.#remove(at, 1);
          at--;
        }
      }
      start = end;
    }
  }

  /** The whole state, for `load` in another process. */
  save(): SavedScoreboard {
    const { base, sacked, lost, fack } = this;
    return {
      base,
      sacked,
      lost,
      fack,
      lostFrom: this.#lostFrom,
      ends: Array.from(this.#end.subarray(this.#head, this.#tail)),
      times: Array.from(this.#sentUs.subarray(this.#head, this.#tail)),
      flags: Array.from(this.#flags.subarray(this.#head, this.#tail)),
    };
  }

  /** Takes over a saved state; `shiftUs` moves its times to this clock. */
  load(saved: SavedScoreboard, shiftUs: number): void {
    this.#end = Float64Array.from(saved.ends);
    this.#sentUs = Float64Array.from(saved.times, (time) => time + shiftUs);
    this.#flags = Uint8Array.from(saved.flags);
    this.#head = 0;
    this.#tail = saved.ends.length;
    this.base = saved.base;
    this.sacked = saved.sacked;
    this.lost = saved.lost;
    this.fack = saved.fack;
    this.#lostFrom = saved.lostFrom;
  }

  /** Segments in flight that were retransmitted, of `mss` bytes each. */
  retransmittedCount(mss: number): number {
    let count = 0;
    let start = this.base;
    for (let at = this.#head; at < this.#tail; at++) {
      const end = this.#end[at];
      if ((this.#flags[at] & (RETRANSMITTED | SACKED)) === RETRANSMITTED) count += Math.ceil((end - start) / mss);
      start = end;
    }
    return count;
  }

  // --- Ranges ---

  #lose(at: number, start: number, end: number): void {
    this.#flags[at] |= LOST;
    this.lost += end - start;
    if (start < this.#lostFrom) this.#lostFrom = start;
  }

  /** Index of the range that holds `offset`, or of the first behind it. */
  #find(offset: number): number {
    let low = this.#head;
    let high = this.#tail;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#end[middle] > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Makes `offset` the border of two ranges. @returns false when there may be no more ranges. */
  #divide(offset: number): boolean {
    if (offset <= this.base || offset >= this.end) return true;
    const at = this.#find(offset);
    const start = at > this.#head ? this.#end[at - 1] : this.base;
    if (start === offset) return true;
    if (this.count >= MAX_RANGES) return false;
    const before = this.#head;
    this.#reserve();
    const from = at - before + this.#head;
    this.#end.copyWithin(from + 1, from, this.#tail);
    this.#sentUs.copyWithin(from + 1, from, this.#tail);
    this.#flags.copyWithin(from + 1, from, this.#tail);
    this.#tail++;
    this.#end[from] = offset;
    return true;
  }

  /** Neighbouring ranges that were reported become one. */
  #joinSacked(first: number, behind: number): void {
    const from = Math.max(this.#head + 1, first);
    let at = Math.min(behind, this.#tail - 1);
    for (; at >= from; at--) {
      if ((this.#flags[at] & SACKED) !== 0 && (this.#flags[at - 1] & SACKED) !== 0) {
        this.#end[at - 1] = this.#end[at];
        this.#remove(at, 1);
      }
    }
  }

  #remove(at: number, n: number): void {
    this.#end.copyWithin(at, at + n, this.#tail);
    this.#sentUs.copyWithin(at, at + n, this.#tail);
    this.#flags.copyWithin(at, at + n, this.#tail);
    this.#tail -= n;
  }

  /** Nothing is in flight. Arrays that have grown stay, as more will follow. */
  #clear(): void {
    this.#head = 0;
    this.#tail = 0;
    if (this.#ranges === NO_RANGES || this.#end.length > FIRST_CAPACITY) return;
    pool.give(this.#ranges);
    this.#use(NO_RANGES);
  }

  #use(ranges: Ranges): void {
    this.#ranges = ranges;
    this.#end = ranges.end;
    this.#sentUs = ranges.sentUs;
    this.#flags = ranges.flags;
  }

  /** Makes room for one more range at the end. */
  #reserve(): void {
    if (this.#tail < this.#end.length) return;
    if (this.#head > 0 && this.#head >= this.#end.length / 2) {
      this.#end.copyWithin(0, this.#head, this.#tail);
      this.#sentUs.copyWithin(0, this.#head, this.#tail);
      this.#flags.copyWithin(0, this.#head, this.#tail);
    } else {
      const size = this.#end.length * 2;
      const ranges = size === 0 ? pool.take() : new Ranges(size);
      if (this.#tail > this.#head) {
        ranges.end.set(this.#end.subarray(this.#head, this.#tail));
        ranges.sentUs.set(this.#sentUs.subarray(this.#head, this.#tail));
        ranges.flags.set(this.#flags.subarray(this.#head, this.#tail));
      }
      this.#use(ranges);
    }
    this.#tail -= this.#head;
    this.#head = 0;
  }
}

/** The scoreboard of a connection that has nothing in flight; shared, never written. */
export const EMPTY_SCOREBOARD = new Scoreboard();
