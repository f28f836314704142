/**
 * Knows when the primary is gone, and makes sure of it. Death is told by the kernel (a pidfd becomes readable); a hang is
 * the primary's main loop making no progress, seen from outside as a counter that stands still over many looks. A primary
 * that is believed dead is killed and waited for before anything else happens: it is never trusted to be dead.
 */
import { FtError } from '../../lib/errors.js';
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import { type Ring, Word } from '../log/ring.js';

const SIGKILL = 9;
/** A hang needs this many looks without progress, so that our own stall is not taken for one of the primary's. */
const LOOKS = 8;
/** How long the kernel may take to end a killed process. */
const KILL_WAIT_MS = 10_000;

/** What a backup asks of whoever watches its primary. */
export interface PrimaryWatch {
  readonly pid: number;
  /** Looks at the primary's progress; called regularly. */
  look(nowUs: number): void;
  /** A copy of one of the primary's descriptors, or -1. */
  copyDescriptor(fd: number): number;
  /** Makes sure that the primary is dead. Throws FtError ERR_FT_FENCE. */
  fence(): void;
  close(): void;
}

export class FailureDetector implements PrimaryWatch {
  readonly #native: NativeAddon;
  /** -1: it was dead before we looked. */
  readonly #pidfd: number;
  readonly #watch: NativeHandle | null;
  #dead = false;
  #lastBeat = -1;
  #stillSinceUs = 0;
  #looks = 0;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(
    native: NativeAddon,
    readonly pid: number,
    readonly ring: Ring,
    readonly hangTimeoutUs: number,
    readonly onGone: (reason: 'death' | 'hang') => void,
    /** False: the process is known to be dead, and its number may be another's by now. */
    alive = true,
  ) {
    this.#native = native;
    this.#pidfd = alive ? native.pidfdOpen(pid) : -1;
    this.#watch = alive ? native.watchOpen(this.#pidfd, false, () => this.#gone('death')) : null;
    this.#dead = !alive;
  }

  /** Looks at the primary's progress; called regularly. */
  look(nowUs: number): void {
    if (this.#dead || this.hangTimeoutUs === Number.POSITIVE_INFINITY) return;
    // While the program is still starting its main loop may well stand still.
    if (this.ring.load(Word.ready) === 0) return;
    const beat = this.ring.load(Word.heartbeat);
    if (beat !== this.#lastBeat) {
      this.#lastBeat = beat;
      this.#stillSinceUs = nowUs;
      this.#looks = 0;
      return;
    }
    this.#looks++;
    if (nowUs - this.#stillSinceUs >= this.hangTimeoutUs && this.#looks >= LOOKS) this.#gone('hang');
  }

  /** A copy of one of the primary's descriptors, or -1 where the kernel does not allow it. */
  copyDescriptor(fd: number): number {
    return this.#dead ? -1 : Math.max(-1, this.#native.pidfdGetfd(this.#pidfd, fd));
  }

  /** Kills the primary and waits until it has ended. Throws FtError ERR_FT_FENCE when it does not. */
  fence(): void {
    if (this.#pidfd < 0) return;
    this.#native.pidfdSignal(this.#pidfd, SIGKILL);
    if (!this.#native.pidfdWait(this.#pidfd, KILL_WAIT_MS)) {
      throw new FtError(
        'ERR_FT_FENCE',
        `The primary (process ${this.pid}) does not end`,
        'Nothing was taken over; end it by hand',
      );
    }
  }

  close(): void {
    if (this.#watch !== null) this.#native.watchClose(this.#watch, true);
  }

  #gone(reason: 'death' | 'hang'): void {
    if (this.#dead) return;
    this.#dead = true;
    this.onGone(reason);
  }
}
