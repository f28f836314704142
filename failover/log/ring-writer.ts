/**
 * The primary's end of the log. A record is begun, its body is written in place, and it is ended;
 * `publish` makes all ended records visible to the reader at once.
 *
 * The log is published at these points, each before something depends on it:
 *
 *   before an event   the event is in the log before the program's effects (`beginEvent`)
 *   before output     what leaves depends on records that have to survive this process (the gate)
 *   after input       frames that were taken from the device are nowhere else
 *   each turn         the heartbeat, and the end of the last event (`eventEnd`)
 *   state transfer    a reader that joins reads up to here
 *
 * A call that has nothing to publish costs two comparisons.
 */
import { type LogEnd, LogPlacement } from './log-placement.js';
import { LOG_VERSION, RECORD_HEADER, RecordType } from './records.js';
import { bytesBetweenPositions, oldestInUse, type Ring } from './ring.js';
import { Word } from './ring-header.js';

/**
 * The part of the ring that a reader may have to replay when it joins; the rest is room for new
 * records.
 */
const MAX_JOIN_PART = 0.75;

/** Writes the log. One at a time: the holder of the group's lock, or of the lease. */
export class RingWriter implements LogEnd {
  /** False while nobody reads and the beginning is lost: appends do nothing. */
  logging = true;
  readerAttached = false;
  /** The reader is an agent that ships the log to other machines. */
  clustered = false;
  /** Bytes written in all. */
  lsn = 0;
  /** Bytes of `lsn` that readers can see. */
  published = 0;
  readonly counters = { records: 0, bytes: 0, dropped: 0 };
  epoch: number;
  /** Where the device may place received payload. */
  readonly placement: LogPlacement;
  readonly #offered: Int32Array;
  /** An event runs: what is appended belongs to it, and a backup follows only when it is over. */
  #inEvent: boolean;
  #position: number;
  #at: number;
  #publishedPosition: number;
  #eventEnd: number;
  /** Behind the last record that output may depend on. */
  #dependencyEnd: number;
  /** Bytes since the beginning of the log, up to one more than the ring holds. */
  #total: number;
  /** Bytes that can be appended without asking for the reader's tail again. */
  #knownRoom = 0;

  constructor(
    readonly ring: Ring,
    /**
     * Called when a record finds no room although a reader is attached: the reader has to be
     * dropped.
     */
    readonly onOverrun: () => void,
    /** Frames from this many bytes on are read into the log. */
    minInPlace?: number,
  ) {
    this.#position = ring.load(Word.head) >>> 0;
    this.#publishedPosition = this.#position;
    this.#eventEnd = ring.load(Word.eventEnd) >>> 0;
    // A predecessor did not live to record all of its last event: this writer ends it.
    this.#inEvent = this.#eventEnd !== this.#position;
    this.#dependencyEnd = this.#position;
    this.#total = ring.words[Word.truncated] === 1 ? ring.size + 1 : bytesBetweenPositions(0, this.#position);
    this.#at = (this.#position * 8) % ring.size;
    this.epoch = ring.words[Word.epoch];
    this.placement = new LogPlacement(this, minInPlace);
    this.#offered = this.placement.next;
  }

  /** Where the log ends now. */
  get position(): number {
    return this.#position;
  }

  get publishedPosition(): number {
    return this.#publishedPosition;
  }

  get at(): number {
    return this.#at;
  }

  /** Bytes that can be appended before the reader is overrun. */
  get room(): number {
    if (!this.readerAttached) return this.ring.size;
    return this.ring.size - bytesBetweenPositions(oldestInUse(this.ring), this.#position);
  }

  get appendable(): number {
    return this.readerAttached ? this.room : this.ring.size - this.#total;
  }

  /** Whether output may wait for the reader: not while it loads its program and catches up. */
  get readerReady(): boolean {
    return this.readerAttached && this.ring.words[Word.readerReady] !== 0;
  }

  /** Behind the last record that output may depend on. */
  get dependencyEnd(): number {
    return this.#dependencyEnd;
  }

  /** How far enough other machines hold the log, or this machine's reader has applied it. */
  get #commitPosition(): number {
    return this.ring.load(this.clustered ? Word.commitPosition : Word.tail);
  }

  /** Bytes that output has to wait for. */
  get uncommitted(): number {
    return this.readerAttached ? Math.max(0, (this.#dependencyEnd - this.#commitPosition) | 0) * 8 : 0;
  }

  /** Whether output may leave that depends on nothing behind a position. */
  reached(position: number): boolean {
    return !this.readerReady || ((this.#commitPosition - position) | 0) >= 0;
  }

  /** Bytes that the reader has not applied. */
  get lag(): number {
    return this.readerAttached ? bytesBetweenPositions(this.ring.load(Word.tail) >>> 0, this.#position) : 0;
  }

  /**
   * Makes room for a record and writes its header.
   * @returns offset of its body in the ring's data area, or -1 when nothing is logged
   */
  begin(type: RecordType, conn: number, bodyLength: number): number {
    if (!this.logging) return -1;
    const { ring } = this;
    const length = (RECORD_HEADER + bodyLength + 7) & ~7;
    let need = length;
    const toEnd = ring.size - this.#at;
    if (toEnd < length) need += toEnd;
    if (!this.#ensure(need)) return -1;
    this.placement.beforeRecord(need);
    if (toEnd < length) {
      ring.view.setUint32(this.#at, toEnd, true);
      ring.view.setUint32(this.#at + 4, RecordType.Pad, true);
      this.#advance(toEnd);
    }
    const at = this.#at;
    const { view } = ring;
    view.setUint32(at, length, true);
    view.setUint32(at + 4, type | (LOG_VERSION << 8) | (this.epoch << 16), true);
    view.setUint32(at + 12, conn, true);
    return at + RECORD_HEADER;
  }

  /**
   * Completes the record begun last. Output does not wait for a hint: losing it costs a
   * retransmission.
   */
  end(hint = false): void {
    const { ring } = this;
    const at = this.#at;
    const bodyLength = ring.view.getUint32(at, true) - RECORD_HEADER;
    const seed = (ring.view.getUint32(at + 4, true) ^ ring.view.getUint32(at + 12, true)) >>> 0;
    ring.view.setUint32(at + 8, ring.checksum(at + RECORD_HEADER, bodyLength, seed), true);
    this.counters.records++;
    this.#advance(ring.view.getUint32(at, true));
    if (!hint) this.#dependencyEnd = this.#position;
  }

  /**
   * The record of an event has been appended, and the event is about to run. It may have effects
   * outside of the stack, so the log has it first.
   */
  beginEvent(): void {
    this.#inEvent = true;
    this.publish();
  }

  /** The event is over; the next publication lets a backup follow past it. */
  endEvent(): void {
    this.#inEvent = false;
  }

  /** Makes everything appended visible to the reader. @returns whether there was anything */
  publish(): boolean {
    const position = this.#position;
    const fresh = this.#publishedPosition !== position;
    if (fresh) {
      this.#publishedPosition = position;
      this.published = this.lsn;
      this.ring.store(Word.head, position | 0);
    }
    // Behind the head: a writer that dies in between must not leave a reader beyond it.
    if (!this.#inEvent && this.#eventEnd !== position) {
      this.#eventEnd = position;
      this.ring.store(Word.eventEnd, position | 0);
    }
    return fresh;
  }

  /**
   * A reader begins: at the beginning if the log has it all, else at the end.
   * @returns true for the complete log
   */
  attach(): boolean {
    const { ring } = this;
    this.publish();
    // A reader of a log that is nearly full would have to be waited for at once.
    const complete = this.#total <= ring.size * MAX_JOIN_PART && this.logging;
    if (!complete) {
      this.logging = true;
      this.#total = ring.size + 1;
      ring.words[Word.truncated] = 1;
    }
    const start = complete ? 0 : this.#position;
    ring.words[Word.startAt] = start | 0;
    ring.words[Word.tail] = start | 0;
    ring.words[Word.readerFault] = 0;
    ring.words[Word.readerReady] = 0;
    ring.words[Word.replayFailures] = 0;
    ring.words[Word.readerBorrowed] = 0;
    this.readerAttached = true;
    this.#knownRoom = 0;
    return complete;
  }

  /** An agent reads from here on, whether or not the log is complete. */
  attachAgent(): void {
    const { ring } = this;
    this.clustered = true;
    this.publish();
    if (!this.logging) {
      this.logging = true;
      ring.words[Word.truncated] = 1;
    }
    this.readerAttached = true;
    this.#knownRoom = 0;
  }

  /** The reader is gone. */
  detach(): void {
    this.readerAttached = false;
    if (this.#total > this.ring.size) this.#stopLogging();
  }

  #ensure(need: number): boolean {
    if (this.readerAttached) {
      if (this.#knownRoom >= need + 8) return true;
      const { room } = this;
      // While the log is complete, a replica may still join and read from its beginning.
      this.#knownRoom = this.#total > this.ring.size ? room : Math.min(room, this.ring.size - this.#total);
      if (room >= need + 8) return true;
      this.counters.dropped++;
      this.onOverrun();
      return this.logging && this.#ensure(need);
    }
    if (this.#total + need <= this.ring.size) return true;
    this.#stopLogging();
    return false;
  }

  #stopLogging(): void {
    this.logging = false;
    this.#total = this.ring.size + 1;
    this.ring.store(Word.truncated, 1);
  }

  #advance(bytes: number): void {
    this.#position = (this.#position + bytes / 8) >>> 0;
    this.#at += bytes;
    if (this.#at >= this.ring.size) this.#at -= this.ring.size;
    this.#knownRoom -= bytes;
    // What was offered is no longer the next payload's place.
    this.#offered[0] = -1;
    this.lsn += bytes;
    this.counters.bytes += bytes;
    if (this.#total > this.ring.size) return;
    this.#total += bytes;
    if (this.#total > this.ring.size) this.ring.store(Word.truncated, 1);
  }
}
