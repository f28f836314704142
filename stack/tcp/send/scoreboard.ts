/**
 * What is in flight, as ranges of sequence offsets (see connection.ts): when each was last sent, whether the peer has
 * reported it (RFC 2018), whether it counts as lost and has not been sent again, and whether it was ever sent twice.
 * The ranges cover [SND.UNA, SND.NXT) without gaps. What was sent in one batch is one range until an acknowledgement, a
 * loss or a retransmission divides it, so a lossless transfer needs a handful of them; they live in arrays that are reused.
 *
 * Acknowledgements are taken between `beginAck` and the reading of the results, which are fields: no call allocates.
 */
import { Pool } from '../../../lib/pool.js';

/** Reported by the peer. */
export const SACKED = 1;
/** Counts as lost, and has not been sent again since. */
export const LOST = 2;
/** Was sent more than once. */
export const RETRANSMITTED = 4;

/** Most ranges; what would divide further is not taken down, which only costs retransmissions. */
const MAX_RANGES = 8192;

/** A list as plain data. */
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

/** Ranges that there is room for at first: as many as fit into a typed array that lies in V8's own heap. */
const FIRST_ROOM = 8;
/** Rooms that nobody uses at most. */
const MOST_SPARE = 256;

/** Where ranges are: the end of each, when it was sent, and what is known of it. */
class Room {
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
const NONE = new Room(0);
/** Who has nothing in flight needs none: a few serve thousands of connections that send now and then. */
const rooms = new Pool(MOST_SPARE, () => new Room(FIRST_ROOM));

export class Scoreboard {
  #in = NONE;
  #end = NONE.end;
  #sentUs = NONE.sentUs;
  #flags = NONE.flags;
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
  /** Where the range ends that `nextLost` found. */
  lostRangeEnd = 0;
  /** No range that is lost begins below it. */
  #lostFrom = Number.POSITIVE_INFINITY;

  // Results of one acknowledgement.
  /** Bytes that the peer has now and did not have before, as far as we know. */
  delivered = 0;
  /** When the youngest range among them was sent, and its end; -1 for none (RFC 8985 section 6.2 step 2). */
  newestUs = -1;
  newestEnd = 0;
  /** When the youngest one that was sent only once was sent; -1 for none. Times a round trip (Karn's rule). */
  onceUs = -1;
  /** Something that was sent only once arrived behind something sent later (RFC 8985 section 6.2 step 3). */
  reordered = false;

  get count(): number {
    return this.#tail - this.#head;
  }

  /** Offset behind the last range. */
  get end(): number {
    return this.#tail === this.#head ? this.base : this.#end[this.#tail - 1]!;
  }

  /** Whether the first byte in flight was reported by SACK: the peer has thrown away what it reported (RFC 2018 section 8). */
  get reneged(): boolean {
    return this.#tail > this.#head && (this.#flags[this.#head]! & SACKED) !== 0;
  }

  /** When the first range was last sent; -1 when nothing is in flight. */
  get oldestUs(): number {
    return this.#tail === this.#head ? -1 : this.#sentUs[this.#head]!;
  }

  /** Nothing is in flight, and all before `base` has arrived. */
  begin(base: number): void {
    this.fack = 0;
    this.reset(base);
    this.beginAck();
  }

  /** Forgets all; `base` is SND.UNA. */
  reset(base: number): void {
    this.#vacate();
    this.base = base;
    this.sacked = 0;
    this.lost = 0;
    this.fack = Math.max(this.fack, base);
    this.#lostFrom = Number.POSITIVE_INFINITY;
  }

  /** [end of the last range, `end`) was sent now. Times that differ by no more than `grainUs` count as one. */
  push(end: number, nowUs: number, grainUs: number): void {
    const last = this.#tail - 1;
    const together = last >= this.#head && this.#flags[last] === 0 && nowUs - this.#sentUs[last]! <= grainUs;
    if (together || this.count >= MAX_RANGES) {
      if ((this.#flags[last]! & LOST) !== 0) this.lost += end - this.#end[last]!;
      else if ((this.#flags[last]! & SACKED) !== 0) {
        // Cannot be known of what was just sent: only at the limit of ranges.
        this.sacked += end - this.#end[last]!;
      }
      this.#end[last] = end;
      return;
    }
    this.#room();
    const at = this.#tail++;
    this.#end[at] = end;
    this.#sentUs[at] = nowUs;
    this.#flags[at] = 0;
  }

  // --- Acknowledgements ---

  beginAck(): void {
    this.delivered = 0;
    this.newestUs = -1;
    this.newestEnd = 0;
    this.onceUs = -1;
    this.reordered = false;
  }

  /** SND.UNA moves to `una`. `minRttUs` tells which retransmissions cannot have been answered yet. */
  advance(una: number, nowUs: number, minRttUs: number): void {
    while (this.#head < this.#tail) {
      const at = this.#head;
      const end = this.#end[at]!;
      const to = Math.min(end, una);
      if (to <= this.base) break;
      this.#take(at, this.base, to, nowUs, minRttUs);
      this.base = to;
      if (to < end) break;
      this.#head++;
    }
    if (this.#head === this.#tail) this.#vacate();
    if (this.base < una) this.base = una;
    if (una > this.fack) this.fack = una;
  }

  /** The peer has [from, to). @returns bytes of it that were not reported before. */
  sack(from: number, to: number, nowUs: number, minRttUs: number): number {
    if (!this.#divide(from) || !this.#divide(to)) return 0;
    let fresh = 0;
    let start = this.base;
    const first = this.#find(from);
    if (first > this.#head) start = this.#end[first - 1]!;
    let at = first;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at]!;
      if ((this.#flags[at]! & SACKED) === 0) {
        this.#take(at, start, end, nowUs, minRttUs);
        this.#flags[at] = (this.#flags[at]! & ~LOST) | SACKED;
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

  /** Accounts for [start, end) of a range whose arrival is news; changes no range. */
  #take(at: number, start: number, end: number, nowUs: number, minRttUs: number): void {
    const flags = this.#flags[at]!;
    const bytes = end - start;
    if ((flags & SACKED) !== 0) {
      this.sacked -= bytes;
      return;
    }
    this.delivered += bytes;
    if ((flags & LOST) !== 0) this.lost -= bytes;
    const sent = this.#sentUs[at]!;
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
   * Marks as lost what was sent so long before the youngest delivered segment that it should have arrived
   * (RFC 8985 section 6.2 step 5).
   * @returns microseconds until more would be lost, 0 when nothing is left to decide; `lost` tells what was marked.
   */
  detect(nowUs: number, newestUs: number, newestEnd: number, waitUs: number): number {
    let timeout = 0;
    let start = this.base;
    for (let at = this.#head; at < this.#tail; at++) {
      const end = this.#end[at]!;
      const flags = this.#flags[at]!;
      const sent = this.#sentUs[at]!;
      if ((flags & (SACKED | LOST)) === 0) {
        if (sent > newestUs || (sent === newestUs && end > newestEnd)) {
          // Ranges that were sent once stand in the order of their times.
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

  /** [from, to) is lost, as far as it was not reported. */
  markLost(from: number, to: number): void {
    this.#divide(from);
    this.#divide(to);
    let at = this.#find(from);
    let start = at > this.#head ? this.#end[at - 1]! : this.base;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at]!;
      if ((this.#flags[at]! & (SACKED | LOST)) === 0) this.#lose(at, start, end);
      start = end;
    }
  }

  /** What was marked as lost was not. */
  unmarkLost(): void {
    for (let at = this.#head; at < this.#tail; at++) this.#flags[at]! &= ~LOST;
    this.lost = 0;
    this.#lostFrom = Number.POSITIVE_INFINITY;
  }

  /** Forgets what SACK has reported. */
  forgetSacked(): void {
    for (let at = this.#head; at < this.#tail; at++) this.#flags[at]! &= ~SACKED;
    this.sacked = 0;
    this.fack = this.base;
  }

  /** Where the first lost range begins, or -1; `lostRangeEnd` says where it ends. */
  nextLost(): number {
    if (this.lost === 0) return -1;
    let at = this.#find(Math.max(this.base, this.#lostFrom));
    let start = at > this.#head ? this.#end[at - 1]! : this.base;
    for (; at < this.#tail; at++) {
      if ((this.#flags[at]! & LOST) !== 0) {
        this.#lostFrom = start;
        this.lostRangeEnd = this.#end[at]!;
        return start;
      }
      start = this.#end[at]!;
    }
    return -1;
  }

  /** [from, to) was sent again now. */
  resent(from: number, to: number, nowUs: number): void {
    this.#divide(from);
    this.#divide(to);
    let at = this.#find(from);
    let start = at > this.#head ? this.#end[at - 1]! : this.base;
    for (; at < this.#tail && start < to; at++) {
      const end = this.#end[at]!;
      const flags = this.#flags[at]!;
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

  /** Everything that `load` needs to go on in another process; times are moved by `shiftUs` there. */
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

  /** Segments in flight that were sent more than once. */
  retransmittedCount(mss: number): number {
    let count = 0;
    let start = this.base;
    for (let at = this.#head; at < this.#tail; at++) {
      const end = this.#end[at]!;
      if ((this.#flags[at]! & (RETRANSMITTED | SACKED)) === RETRANSMITTED) count += Math.ceil((end - start) / mss);
      start = end;
    }
    return count;
  }

  // --- Ranges ---

  #lose(at: number, start: number, end: number): void {
    this.#flags[at]! |= LOST;
    this.lost += end - start;
    if (start < this.#lostFrom) this.#lostFrom = start;
  }

  /** Index of the range that holds `offset`, or of the first behind it. */
  #find(offset: number): number {
    let low = this.#head;
    let high = this.#tail;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#end[middle]! > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Makes `offset` the border of two ranges. @returns false when there may be no more ranges. */
  #divide(offset: number): boolean {
    if (offset <= this.base || offset >= this.end) return true;
    const at = this.#find(offset);
    const start = at > this.#head ? this.#end[at - 1]! : this.base;
    if (start === offset) return true;
    if (this.count >= MAX_RANGES) return false;
    const before = this.#head;
    this.#room();
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
      if ((this.#flags[at]! & SACKED) !== 0 && (this.#flags[at - 1]! & SACKED) !== 0) {
        this.#end[at - 1] = this.#end[at]!;
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

  /** Nothing is in flight. A room that has grown stays: more will follow. */
  #vacate(): void {
    this.#head = 0;
    this.#tail = 0;
    if (this.#in === NONE || this.#end.length > FIRST_ROOM) return;
    rooms.give(this.#in);
    this.#move(NONE);
  }

  #move(room: Room): void {
    this.#in = room;
    this.#end = room.end;
    this.#sentUs = room.sentUs;
    this.#flags = room.flags;
  }

  /** Makes room for one more range behind the last. */
  #room(): void {
    if (this.#tail < this.#end.length) return;
    if (this.#head > 0 && this.#head >= this.#end.length / 2) {
      this.#end.copyWithin(0, this.#head, this.#tail);
      this.#sentUs.copyWithin(0, this.#head, this.#tail);
      this.#flags.copyWithin(0, this.#head, this.#tail);
    } else {
      const size = this.#end.length * 2;
      const room = size === 0 ? rooms.take() : new Room(size);
      if (this.#tail > this.#head) {
        room.end.set(this.#end.subarray(this.#head, this.#tail));
        room.sentUs.set(this.#sentUs.subarray(this.#head, this.#tail));
        room.flags.set(this.#flags.subarray(this.#head, this.#tail));
      }
      this.#move(room);
    }
    this.#tail -= this.#head;
    this.#head = 0;
  }
}
