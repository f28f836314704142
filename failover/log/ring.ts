/**
 * The log as a ring in memory shared by the processes of a group: one writer (the primary), one reader (the active
 * backup). What is published outlives the writer's process, so in `written` mode a record is stable the moment it is
 * published, and nothing ever waits for the backup.
 *
 * Positions count 8-byte units modulo 2^32 and are compared by difference. As long as the ring has not wrapped it holds
 * the whole history of the program, and a replica that starts late replays it from the beginning. When nobody reads and
 * the ring is full, the history is given up: the writer stops logging until somebody joins.
 *
 * Header words (Int32):
 */

import { crc32cWords, LITTLE_ENDIAN } from '../../lib/crc32c.js';
import type { DirectPayload } from '../../lib/device/direct-placement.js';
import type { PayloadPlace } from '../../lib/device/rx-batch.js';
import { SLOT_BYTES } from '../../lib/device/rx-slab.js';
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { invariants } from './invariants.js';
import { LOG_VERSION, LogError, OLDEST_VERSION, RECORD_HEADER, ReceivedBody, RecordType } from './records.js';

export const RING_HEADER = 4096;
/** Bytes that are summed here, not by the addon. */
const SHORT = 64;
/** Below that a copy costs less than reading in two parts. */
export const MIN_IN_PLACE = 4096;
/** Payload is put so far behind the log's end at once: what is summed up afterwards is still in the cache. */
const MOST_IN_PLACE = 256 * 1024;
/** Part of the log that a reader who joins may have to read while the rest is written. */
const MOST_HISTORY = 0.75;
const MAGIC = 0x46544c47;

export const Word = {
  magic: 0,
  version: 1,
  units: 2,
  epoch: 3,
  /** Published end of the log. */
  head: 4,
  /** How far the reader has got. */
  tail: 5,
  writerPid: 6,
  readerPid: 7,
  readerState: 8,
  /** Counts turns of the primary's main loop. */
  heartbeat: 9,
  readerSleeping: 10,
  /** 1: the beginning of the log has been overwritten or was never written. */
  truncated: 11,
  /** Where a joining reader begins. */
  startAt: 12,
  /** Why the reader stopped: 1 diverged, 2 too slow. */
  readerFault: 13,
  ready: 14,
  /** Descriptor of the primary's device queue in its own process; 0 for none. */
  tapFd: 15,
  /** Published end of what belongs to finished events; between this and head is the event that runs now. */
  eventEnd: 16,
  /** The primary's output waits for the reader, who rings when it has caught up. */
  writerWaiting: 17,
  /** The reader's program runs and has been at the end of the log once: from then on it may be waited for. */
  readerReady: 18,
  /** 1: the primary has handed over, and says in the log how far each connection is; 2: all is over, nobody is to go on. */
  shutdown: 19,
  /** 1: no new connections; when the last one is over, the group ends. */
  draining: 20,
  /** When the primary last came round, in seconds of CLOCK_MONOTONIC. */
  heartbeatSeconds: 21,
  /** Where the primary's output waits for the reader first. */
  waitPosition: 30,
  /** Connections that the reader could not repeat (histories.ts). */
  replayFailures: 31,
  /** Units before `tail` that the reader still looks at (lent-log.ts); stored before `tail` moves, and loaded after it. */
  readerBorrowed: 32,
  /** Pid of a writer that minds `readerHolds`; those of log version 3 do not. */
  borrowSupportPid: 33,
  // --- Several machines (cluster/): the agent beside the replica ---
  /** How far the agents of enough other machines hold the log; output may leave that depends on nothing behind it. */
  commitPosition: 22,
  /** Until when the primary may speak, in milliseconds of CLOCK_MONOTONIC modulo 2^32. */
  leaseUntilMs: 23,
  /** 1: the primary on the other machine is gone, and this one is to take over; 2: it hung. */
  leaderLost: 24,
  /** Counts snapshots that were asked for, and those that have been written (at `startAt`). */
  snapshotsRequested: 25,
  snapshotsCompleted: 26,
  /** 1: the group's state says that nobody else has the log; the primary may go on alone. */
  mayServeAlone: 27,
  /** Counts how often neighbours are to be told where the group's addresses are. */
  announceCount: 28,
  /** Of the backups that protect: 1 when one of them did not see the beginning. */
  joinedLate: 29,
} as const;

export const ReaderState = { None: 0, Joining: 1, Live: 2, Refused: 3 } as const;

/** Byte offset of the shared secrets in the header page. */
const SECRET_AT = 256;
export const SECRET_LENGTH = 48;
/** Byte offset of what the group's clocks are ahead of this machine's (group-clock.ts). */
const OFFSETS_AT = 320;

/** The mapped file: what both sides see. */
export class Ring {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #cells: Int32Array;
  /** Microseconds of the monotonic clock, milliseconds of the wall clock; 0 on the machine that the group began on. */
  readonly offsets: Float64Array;
  /** Bytes of the data area. */
  readonly size: number;

  constructor(
    readonly native: NativeAddon,
    readonly buffer: ArrayBuffer,
  ) {
    this.size = buffer.byteLength - RING_HEADER;
    this.words = new Int32Array(buffer, 0, 64);
    this.bytes = new Uint8Array(buffer, RING_HEADER, this.size);
    this.view = new DataView(buffer, RING_HEADER, this.size);
    this.#cells = new Int32Array(buffer, RING_HEADER, this.size >>> 2);
    this.offsets = new Float64Array(buffer, OFFSETS_AT, 2);
  }

  /** Prepares a new, empty log. Throws FtError ERR_FT_LOG_SIZE. */
  format(secret: Uint8Array): void {
    const { words } = this;
    // Positions wrap at 2^32 units, which must be the beginning of the data area again.
    if (!isPowerOfTwo(this.size)) {
      throw new FtError(
        'ERR_FT_LOG_SIZE',
        `A log of ${this.size} bytes is not a power of two`,
        'Choose a power of two, e.g. 64 MiB',
      );
    }
    words.fill(0);
    this.offsets.fill(0);
    words[Word.version] = LOG_VERSION;
    words[Word.units] = this.size / 8;
    words[Word.epoch] = 1;
    new Uint8Array(this.buffer, SECRET_AT, SECRET_LENGTH).set(secret);
    this.store(Word.magic, MAGIC);
  }

  /** Throws LogError when this is not a log that we can follow. */
  check(): void {
    if (this.load(Word.magic) !== MAGIC) throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has no valid header');
    const version = this.words[Word.version]!;
    if (version < OLDEST_VERSION || version > LOG_VERSION) {
      throw new LogError(
        'ERR_FT_LOG_VERSION',
        `The primary writes log version ${version}, this program reads versions ${OLDEST_VERSION} to ${LOG_VERSION}`,
      );
    }
    if (this.words[Word.units] !== this.size / 8)
      throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has an unexpected size');
  }

  get secret(): Uint8Array {
    return new Uint8Array(this.buffer, SECRET_AT, SECRET_LENGTH);
  }

  get writerPid(): number {
    return this.load(Word.writerPid);
  }

  load(word: number): number {
    return this.native.loadAcquire(this.words, word);
  }

  /** CRC-32C of bytes of the data area; both numbers are multiples of 8. */
  sum(at: number, length: number, seed: number): number {
    if (length <= SHORT && LITTLE_ENDIAN) return crc32cWords(this.#cells, at >>> 2, length >>> 2, seed);
    return this.native.crc32c(this.bytes, at, length, seed);
  }

  store(word: number, value: number): void {
    this.native.storeRelease(this.words, word, value);
  }
}

export function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}

/** Before that position nothing is looked at by the reader. */
export function heldFrom(ring: Ring): number {
  const tail = ring.load(Word.tail);
  return (tail - ring.load(Word.readerBorrowed)) >>> 0;
}

/** Bytes between two positions, for positions less than 32 GiB apart. */
function distance(from: number, to: number): number {
  return ((to - from) >>> 0) * 8;
}

/** Who reads received bytes where the log has them, until they are to be overwritten. */
export interface LogLender {
  /** Counts how often all has been given back. */
  readonly returns: number;
  giveBack(): void;
}

/** The primary's end. Payload is read from the device to where the next record will have it. */
export class RingWriter implements PayloadPlace {
  /** False while nobody reads and the history is lost: appends do nothing. */
  logging = true;
  readerAttached = false;
  /** The reader is an agent that brings the log to other machines. */
  clustered = false;
  /** An event runs: what is appended now belongs to it, and a backup follows only when it is over. */
  inEvent = false;
  /** Bytes written in all. */
  lsn = 0;
  /** Bytes of `lsn` that readers can see. */
  published = 0;
  readonly counters = { records: 0, bytes: 0, dropped: 0 };
  epoch: number;
  #units: number;
  #at: number;
  #publishedUnits: number;
  #completeUnits: number;
  /** Behind the last record that output may depend on. */
  #must: number;
  #total: number;
  /** Bytes that can be appended for certain, as the reader has got on since that was found. */
  #spare = 0;
  readonly next = Int32Array.of(-1, 0);
  parked: DirectPayload | null = null;
  #lender: LogLender | null = null;
  /** Where the oldest record is that somebody may look at, and when it was lent. */
  #lentAt = 0;
  #lentIn = 0;

  constructor(
    readonly ring: Ring,
    /** Called when a record finds no room although a reader is attached: the reader is to be dropped. */
    readonly onOverrun: () => void,
    /** Frames from so many bytes on are read into the log. */
    readonly least = MIN_IN_PLACE,
  ) {
    this.#units = ring.load(Word.head) >>> 0;
    this.#publishedUnits = this.#units;
    this.#completeUnits = this.#units;
    this.#must = this.#units;
    ring.store(Word.eventEnd, this.#units | 0);
    this.#total = ring.words[Word.truncated] === 1 ? ring.size + 1 : distance(0, this.#units);
    this.#at = (this.#units * 8) % ring.size;
    this.epoch = ring.words[Word.epoch]!;
  }

  /** Bytes that can be appended before the reader is overrun. */
  get room(): number {
    if (!this.readerAttached) return this.ring.size;
    return this.ring.size - distance(heldFrom(this.ring), this.#units);
  }

  get bytes(): Uint8Array {
    return this.ring.bytes;
  }

  // A received chunk's record can be nowhere else than here, if it is the next one.
  offer(): void {
    const { next } = this;
    const free = this.readerAttached ? this.room : this.ring.size - this.#total;
    const bytes = this.logging ? Math.min(free - 8, this.ring.size - this.#at, MOST_IN_PLACE) : 0;
    next[1] = this.#at + bytes;
    next[0] = bytes >= SLOT_BYTES ? this.here : -1;
  }

  readonly gap = RECORD_HEADER + ReceivedBody.size;

  get here(): number {
    return this.#at + RECORD_HEADER + ReceivedBody.size;
  }

  /** The record written last is looked at where it is, until it may be overwritten. */
  lend(lender: LogLender): void {
    if (this.#lender !== lender || this.#lentIn !== lender.returns) this.#lentAt = this.#publishedUnits;
    this.#lentIn = lender.returns;
    this.#lender = lender;
  }

  /** Whether output may wait for the reader: not while it loads its program and reads what happened before. */
  get readerReady(): boolean {
    return this.readerAttached && this.ring.words[Word.readerReady] !== 0;
  }

  /** Behind the last record that output may depend on. */
  get must(): number {
    return this.#must;
  }

  /** How far enough other machines hold the log, or the reader of this one has processed it. */
  get #stable(): number {
    return this.ring.load(this.clustered ? Word.commitPosition : Word.tail);
  }

  /** Bytes that output has to wait for. */
  get unstable(): number {
    return this.readerAttached ? Math.max(0, (this.#must - this.#stable) | 0) * 8 : 0;
  }

  /** Whether output may leave that depends on nothing behind a position. */
  reached(position: number): boolean {
    return !this.readerReady || ((this.#stable - position) | 0) >= 0;
  }

  /** Bytes the reader has not processed. */
  get lag(): number {
    return this.readerAttached ? distance(this.ring.load(Word.tail) >>> 0, this.#units) : 0;
  }

  /**
   * Makes room for a record and writes its header.
   * @returns offset of its body in the ring's data area, or -1 when nothing is logged.
   */
  begin(type: RecordType, conn: number, bodyLength: number): number {
    if (!this.logging) return -1;
    const { ring } = this;
    const length = (RECORD_HEADER + bodyLength + 7) & ~7;
    let need = length;
    const toEnd = ring.size - this.#at;
    if (toEnd < length) need += toEnd;
    if (!this.#ensure(need)) return -1;
    if (invariants.P1) this.parked?.yield();
    if (this.#lender !== null && distance(this.#lentAt, this.#units) + need > ring.size / 2) {
      if (this.#lender.returns === this.#lentIn) this.#lender.giveBack();
      this.#lender = null;
    }
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

  /** Completes the record begun last. Nothing waits for a hint: that it is lost costs a retransmission. */
  end(hint = false): void {
    const { ring } = this;
    const at = this.#at;
    const bodyLength = ring.view.getUint32(at, true) - RECORD_HEADER;
    const seed = (ring.view.getUint32(at + 4, true) ^ ring.view.getUint32(at + 12, true)) >>> 0;
    ring.view.setUint32(at + 8, ring.sum(at + RECORD_HEADER, bodyLength, seed), true);
    this.counters.records++;
    this.#advance(ring.view.getUint32(at, true));
    if (!hint) this.#must = this.#units;
  }

  /** Where the log ends now. */
  get position(): number {
    return this.#units;
  }

  // Nothing behind that is published; for the mutation check only (rules.ts).
  #heldAt = -1;

  letGo(): void {
    this.#heldAt = -1;
  }

  holdAt(units: number): void {
    if (this.#heldAt < 0) this.#heldAt = units;
  }

  /** Makes everything appended visible to the reader. */
  publish(): boolean {
    const units = this.#heldAt < 0 ? this.#units : this.#heldAt;
    const fresh = this.#publishedUnits !== units;
    if (fresh) {
      this.#publishedUnits = units;
      this.published = this.lsn;
      this.ring.store(Word.head, units | 0);
    }
    // Behind the head: a writer that dies in between must not leave a reader beyond it.
    if (!this.inEvent && this.#completeUnits !== units) {
      this.#completeUnits = units;
      this.ring.store(Word.eventEnd, units | 0);
    }
    return fresh;
  }

  /** A reader begins: at the beginning if the log has it all, else at the end. @returns true for the whole history. */
  attach(): boolean {
    const { ring } = this;
    this.publish();
    // A reader of a log that is nearly full would have to be waited for at once.
    const whole = this.#total <= ring.size * MOST_HISTORY && this.logging;
    if (!whole) {
      this.logging = true;
      this.#total = ring.size + 1;
      ring.words[Word.truncated] = 1;
    }
    const start = whole ? 0 : this.#units;
    ring.words[Word.startAt] = start | 0;
    ring.words[Word.tail] = start | 0;
    ring.words[Word.readerFault] = 0;
    ring.words[Word.readerReady] = 0;
    ring.words[Word.replayFailures] = 0;
    ring.words[Word.readerBorrowed] = 0;
    this.readerAttached = true;
    this.#spare = 0;
    return whole;
  }

  /** An agent reads from here on, whatever becomes of the history. */
  keep(): void {
    const { ring } = this;
    this.clustered = true;
    this.publish();
    if (!this.logging) {
      this.logging = true;
      ring.words[Word.truncated] = 1;
    }
    this.readerAttached = true;
    this.#spare = 0;
  }

  detach(): void {
    this.readerAttached = false;
    if (this.#total > this.ring.size) this.#giveUpHistory();
  }

  #ensure(need: number): boolean {
    if (this.readerAttached) {
      if (this.#spare >= need + 8) return true;
      const { room } = this;
      // While the log has its beginning, somebody may still come and read from there.
      this.#spare = this.#total > this.ring.size ? room : Math.min(room, this.ring.size - this.#total);
      if (room >= need + 8) return true;
      this.counters.dropped++;
      this.onOverrun();
      return this.logging && this.#ensure(need);
    }
    if (this.#total + need <= this.ring.size) return true;
    this.#giveUpHistory();
    return false;
  }

  #giveUpHistory(): void {
    this.logging = false;
    this.#total = this.ring.size + 1;
    this.ring.store(Word.truncated, 1);
  }

  #advance(bytes: number): void {
    this.#units = (this.#units + bytes / 8) >>> 0;
    this.#at += bytes;
    if (this.#at >= this.ring.size) this.#at -= this.ring.size;
    this.#spare -= bytes;
    this.next[0] = -1;
    this.lsn += bytes;
    this.counters.bytes += bytes;
    if (this.#total > this.ring.size) return;
    this.#total += bytes;
    if (this.#total > this.ring.size) this.ring.store(Word.truncated, 1);
  }
}

/** The backup's end. */
export class RingReader {
  // The current record, after `next` has returned true.
  type: RecordType = RecordType.Pad;
  conn = 0;
  /** Of the log's format. */
  version = 0;
  /** Offset of the body in the ring's data area, and its length (padding included). */
  body = 0;
  bodyLength = 0;
  epoch = 0;
  #units: number;
  #consumed: number;
  #before = 0;
  #end: typeof Word.head | typeof Word.eventEnd = Word.eventEnd;

  constructor(readonly ring: Ring) {
    this.#units = ring.words[Word.startAt]! >>> 0;
    this.#consumed = this.#units;
  }

  /** Bytes that can be read now. */
  get lag(): number {
    return distance(this.#units, this.ring.load(this.#end) >>> 0);
  }

  /** The writer is dead: the event that it was in is read, too. */
  readAll(): void {
    this.#end = Word.head;
  }

  get position(): number {
    return this.#units;
  }

  /** The current record belongs to an event that the writer did not finish. */
  get unfinished(): boolean {
    return ((this.#before - this.ring.load(Word.eventEnd)) | 0) >= 0;
  }

  /** Connection of the event that the dead writer was in, 0 for an event of none, -1 when it was in none. */
  get lastConn(): number {
    const { ring } = this;
    const head = ring.load(Word.head) >>> 0;
    let units = ring.load(Word.eventEnd) >>> 0;
    while (units !== head) {
      const at = (units * 8) % ring.size;
      const type = ring.view.getUint8(at + 4);
      if (type === RecordType.Event) return ring.view.getUint32(at + 12, true);
      if (type === RecordType.Runtime) return 0;
      // Nobody has looked at these records before.
      const length = ring.view.getUint32(at, true);
      if (length < 8 || (length & 7) !== 0 || length > distance(units, head)) return -1;
      units = (units + length / 8) >>> 0;
    }
    return -1;
  }

  /** Moves to the next record. @returns false at the end of the log. Throws LogError for a record that cannot be used. */
  next(): boolean {
    return this.#read();
  }

  /**
   * Looks at the record behind the current one without moving. @returns its body offset if it has this type, else -1.
   */
  peek(type: RecordType, skip: number): number {
    const { ring } = this;
    let units = this.#units;
    const head = ring.load(this.#end) >>> 0;
    for (;;) {
      if (units === head) return -1;
      const at = (units * 8) % ring.size;
      const kind = ring.view.getUint8(at + 4);
      const length = ring.view.getUint32(at, true);
      if (kind === type && skip-- === 0) return at + RECORD_HEADER;
      if (kind === RecordType.Event || kind === RecordType.Runtime || length < 8) return -1;
      units = (units + length / 8) >>> 0;
    }
  }

  /** Steps back before the current record, so that the next call of `next` gives it again. */
  unread(): void {
    this.#units = this.#before;
  }

  /** Tells the writer that everything up to here has been processed. */
  release(): void {
    if (this.#consumed === this.#units) return;
    this.#consumed = this.#units;
    if (this.#heldFrom >= 0) this.hold(this.#heldFrom);
    this.ring.store(Word.tail, this.#units | 0);
  }

  /** Where the current record begins. */
  get before(): number {
    return this.#before;
  }

  /** Whether the writer leaves alone what is held. */
  get canHold(): boolean {
    const { words } = this.ring;
    return words[Word.borrowSupportPid] !== 0 && words[Word.borrowSupportPid] === words[Word.writerPid];
  }

  #heldFrom = -1;

  /** Records from there on are still looked at, wherever `release` says that reading has got; -1: none. */
  hold(from: number): void {
    this.#heldFrom = from;
    // What has not been released is left alone anyway.
    const units = from < 0 ? 0 : Math.max(0, (this.#consumed - from) | 0);
    if (this.ring.words[Word.readerBorrowed] !== units) this.ring.store(Word.readerBorrowed, units);
  }

  #read(): boolean {
    const { ring } = this;
    const { view } = ring;
    for (;;) {
      const head = ring.load(this.#end) >>> 0;
      if (this.#units === head) return false;
      const at = (this.#units * 8) % ring.size;
      const length = view.getUint32(at, true);
      const type = view.getUint8(at + 4);
      if (length < 8 || (length & 7) !== 0 || length > distance(this.#units, head) || at + length > ring.size) {
        throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has a record of impossible length');
      }
      if (type !== RecordType.Pad && length < RECORD_HEADER)
        throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has a record of impossible length');
      if (type === RecordType.Pad) {
        this.#units = (this.#units + length / 8) >>> 0;
        continue;
      }
      const version = view.getUint8(at + 5);
      if (version < OLDEST_VERSION || version > LOG_VERSION) {
        throw new LogError('ERR_FT_LOG_VERSION', `The shared log has a record of version ${version}`);
      }
      const epoch = view.getUint16(at + 6, true);
      if (epoch < this.epoch)
        throw new LogError('ERR_FT_LOG_EPOCH', `The shared log has a record of the older epoch ${epoch}`);
      this.type = type as RecordType;
      this.version = version;
      this.conn = view.getUint32(at + 12, true);
      this.body = at + RECORD_HEADER;
      this.bodyLength = length - RECORD_HEADER;
      this.#verify(at);
      this.epoch = epoch;
      this.#before = this.#units;
      this.#units = (this.#units + length / 8) >>> 0;
      return true;
    }
  }

  #verify(at: number): void {
    const { ring } = this;
    const seed = (ring.view.getUint32(at + 4, true) ^ ring.view.getUint32(at + 12, true)) >>> 0;
    if (ring.sum(this.body, this.bodyLength, seed) !== ring.view.getUint32(at + 8, true)) {
      throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has a record with a wrong checksum');
    }
  }
}
