/**
 * The log as a ring in memory that the processes of a group share: one writer (the primary) and one
 * reader (the active backup, or the agent). What is published outlives the writer's process. In the
 * commit mode `written` a record is therefore stable once it is published, and output never waits
 * for the backup.
 *
 * Positions count 8-byte units modulo 2^32 and are compared by difference. Until the ring wraps it
 * holds the complete log, and a replica that starts late replays it from the beginning. When the
 * ring is full and nobody reads, the writer gives the beginning up and stops logging until a reader
 * joins.
 *
 * In the terms of other systems: `head` is the last index of the log, `tail` the reader's applied
 * index, and `commitPosition` the commit index. `eventEnd` is the end of the last finished event.
 */
import { crc32cWords, LITTLE_ENDIAN } from '../../lib/crc32c.js';
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { LOG_VERSION, LogError, OLDEST_VERSION } from './records.js';
import {
  CLOCK_OFFSETS_OFFSET,
  HEADER_WORD_COUNT,
  MAGIC,
  RING_HEADER,
  SECRET_LENGTH,
  SECRET_OFFSET,
  Word,
} from './ring-header.js';

/** Up to this many bytes are checksummed in JavaScript: a call of the addon costs more. */
const MAX_JS_CHECKSUM_BYTES = 64;

/** The mapped file, as its writer and its reader see it. */
export class Ring {
  /** The header's words; their indices are `Word`. */
  readonly words: Int32Array;
  /** The data area. */
  readonly bytes: Uint8Array;
  /** The data area. */
  readonly view: DataView;
  readonly #cells: Int32Array;
  /**
   * Clock offsets: monotonic microseconds, wall milliseconds; 0 on the machine that the group began
   * on.
   */
  readonly offsets: Float64Array;
  /** Bytes of the data area. */
  readonly size: number;

  constructor(
    readonly native: NativeAddon,
    readonly buffer: ArrayBuffer,
  ) {
    this.size = buffer.byteLength - RING_HEADER;
    this.words = new Int32Array(buffer, 0, HEADER_WORD_COUNT);
    this.bytes = new Uint8Array(buffer, RING_HEADER, this.size);
    this.view = new DataView(buffer, RING_HEADER, this.size);
    this.#cells = new Int32Array(buffer, RING_HEADER, this.size >>> 2);
    this.offsets = new Float64Array(buffer, CLOCK_OFFSETS_OFFSET, 2);
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
    new Uint8Array(this.buffer, SECRET_OFFSET, SECRET_LENGTH).set(secret);
    this.store(Word.magic, MAGIC);
  }

  /** Throws LogError when this program cannot follow the log. */
  check(): void {
    if (this.load(Word.magic) !== MAGIC) throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has no valid header');
    const version = this.words[Word.version];
    if (version < OLDEST_VERSION || version > LOG_VERSION) {
      throw new LogError(
        'ERR_FT_LOG_VERSION',
        `The primary writes log version ${version}, this program reads versions ${OLDEST_VERSION} to ${LOG_VERSION}`,
      );
    }
    if (this.words[Word.units] !== this.size / 8)
      throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has an unexpected size');
  }

  /** The group's shared secrets, SECRET_LENGTH bytes. */
  get secret(): Uint8Array {
    return new Uint8Array(this.buffer, SECRET_OFFSET, SECRET_LENGTH);
  }

  get writerPid(): number {
    return this.load(Word.writerPid);
  }

  /** Acquire load of a header word. */
  load(word: number): number {
    return this.native.loadAcquire(this.words, word);
  }

  /** Release store of a header word. */
  store(word: number, value: number): void {
    this.native.storeRelease(this.words, word, value);
  }

  /** CRC-32C of bytes of the data area; `at` and `length` are multiples of 8. */
  checksum(at: number, length: number, seed: number): number {
    if (length <= MAX_JS_CHECKSUM_BYTES && LITTLE_ENDIAN) return crc32cWords(this.#cells, at >>> 2, length >>> 2, seed);
    return this.native.crc32c(this.bytes, at, length, seed);
  }
}

/** Whether a log may have this size, in bytes. */
export function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}

/** The oldest position that the reader still uses: what it borrows, or its tail. */
export function oldestInUse(ring: Ring): number {
  // In this order: the reader stores `readerBorrowed` before `tail`.
  const tail = ring.load(Word.tail);
  return (tail - ring.load(Word.readerBorrowed)) >>> 0;
}

/** Bytes from one position to a later one, for positions less than 32 GiB apart. */
export function bytesBetweenPositions(from: number, to: number): number {
  return ((to - from) >>> 0) * 8;
}
