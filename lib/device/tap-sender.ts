/**
 * The thread that hands a TAP device's small frames to the kernel (native/sender.c): its life, its
 * lease, and the frames that it could not send.
 */
import type { NativeAddon, NativeHandle } from '../native/native.js';
import type { TxFrame } from './device.js';
import { errnoName } from './tap-errors.js';

/**
 * Words that the thread writes: frames refused, errno of the last of them, frames after the lease's
 * end.
 */
const STATS_WORDS = 3;
const ERRORS = 0;
const LAST_ERROR = 1;
const AFTER_LEASE = 2;

/**
 * Until when frames may leave: milliseconds modulo 2^32 in `words[index]`, of a clock that is
 * CLOCK_MONOTONIC plus `offset[0]` microseconds.
 */
export interface SendLease {
  words: Int32Array;
  index: number;
  offset: Float64Array;
}

/** How a sending thread works. */
export interface SenderOptions {
  /** Time that the thread looks for frames before it sleeps, microseconds. */
  lookUs: number;
  /** Where the thread says that it is alive (NativeAddon.threadsCreate); default: nowhere. */
  threads?: NativeHandle | null;
}

/** The sending thread of one device; closed at first. */
export class TapSender {
  readonly #native: NativeAddon;
  readonly #busyPollUs: number;
  readonly #threads: NativeHandle | null;
  readonly #refused: (code: string, frames: number) => void;
  #handle: NativeHandle | null = null;
  #lease: SendLease | null = null;
  /** What the thread has counted, and how much of that has been reported. */
  readonly #stats = new Int32Array(STATS_WORDS);
  readonly #reported = new Int32Array(STATS_WORDS);

  /** @param refused told of frames that did not leave, with the error's name */
  constructor(native: NativeAddon, options: SenderOptions, refused: (code: string, frames: number) => void) {
    this.#native = native;
    this.#busyPollUs = options.lookUs;
    this.#threads = options.threads ?? null;
    this.#refused = refused;
  }

  /**
   * Starts the thread for a queue, with the first frame after `startMs` milliseconds. Before that
   * the caller of `send` writes.
   */
  open(fd: number, startMs = 0): void {
    this.#stats.fill(0);
    this.#reported.fill(0);
    this.#handle = this.#native.senderOpen(fd, this.#busyPollUs, this.#stats, this.#threads, startMs);
    if (this.#lease !== null) this.obey(this.#lease);
  }

  /** Ends the thread. */
  close(): void {
    if (this.#handle === null) return;
    this.#native.senderClose(this.#handle);
    this.count();
    this.#handle = null;
  }

  /**
   * Frames do not leave any more once the lease is over; they are then counted as errors (ESTALE).
   */
  obey(lease: SendLease): void {
    this.#lease = lease;
    if (this.#handle !== null) this.#native.senderLease(this.#handle, lease.words, lease.index, lease.offset);
  }

  /** Returns when all frames have left, or the device takes no more. */
  finish(): void {
    if (this.#handle !== null) this.#native.senderFinish(this.#handle);
  }

  /**
   * Sends a frame whose header begins at `offset` and has `length` bytes.
   * @returns its bytes, or a negative errno
   */
  send(frame: TxFrame, offset: number, length: number): number {
    // A sender is open whenever frames are sent.
    const handle = this.#handle as NativeHandle;
    const { header, pieces, spans, pieceCount } = frame;
    return this.#native.senderSend(handle, header, offset, length, pieces, spans, pieceCount);
  }

  /** Reports frames that were taken and did not leave. */
  count(): void {
    const stats = this.#stats;
    const reported = this.#reported;
    const errors = stats[ERRORS] - reported[ERRORS];
    const late = stats[AFTER_LEASE] - reported[AFTER_LEASE];
    reported[ERRORS] = stats[ERRORS];
    reported[AFTER_LEASE] = stats[AFTER_LEASE];
    if (errors > 0) this.#refused(errnoName(-stats[LAST_ERROR]), errors);
    if (late > 0) this.#refused('ESTALE', late);
  }
}
