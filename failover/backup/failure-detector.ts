/**
 * Detects the loss of a primary on this machine, and fences it.
 *
 * The kernel reports death: a pidfd becomes readable. A hang is seen from outside: the heartbeat
 * counter in the log's header stands still over several looks. A primary that counts as lost is
 * killed and waited for before anything else happens. It is never trusted to be dead.
 */
import { FtError } from '../../lib/errors.js';
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { Ring } from '../log/ring.js';
import { Word } from '../log/ring-header.js';
import type { LossReason, PrimaryWatch } from './primary-watch.js';

const SIGKILL = 9;
/**
 * A hang needs this many looks without progress: the backup's own stall must not count as one of
 * the primary.
 */
const MIN_LOOKS = 8;
/** Time for the kernel to end a killed process. */
const KILL_WAIT_MS = 10_000;

/** What a {@link FailureDetector} watches. */
export interface FailureDetectorOptions {
  native: NativeAddon;
  /** The primary's process. */
  pid: number;
  /** Its log, with the heartbeat. */
  ring: Ring;
  /** A heartbeat that stands still for this time means a hang, microseconds; Infinity: never. */
  hangTimeoutUs: number;
  /** Called once, when the primary is lost. */
  onLost: (reason: LossReason) => void;
  /**
   * False: the process is known to be dead, and its number may belong to another one by now.
   * Default true.
   */
  alive?: boolean;
}

/** Watches a process of this machine by pidfd and heartbeat. */
export class FailureDetector implements PrimaryWatch {
  readonly pid: number;
  readonly #native: NativeAddon;
  readonly #ring: Ring;
  readonly #hangTimeoutUs: number;
  readonly #onLost: (reason: LossReason) => void;
  /** -1: the process was dead before we looked. */
  readonly #pidfd: number;
  readonly #watch: NativeHandle | null;
  #lost = false;
  #lastBeat = -1;
  #lastProgressUs = 0;
  #looks = 0;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(options: FailureDetectorOptions) {
    const { native, pid, ring, hangTimeoutUs, onLost, alive = true } = options;
    this.pid = pid;
    this.#native = native;
    this.#ring = ring;
    this.#hangTimeoutUs = hangTimeoutUs;
    this.#onLost = onLost;
    this.#pidfd = alive ? native.pidfdOpen(pid) : -1;
    this.#watch = alive ? native.watchOpen(this.#pidfd, false, () => this.#lose('death')) : null;
    this.#lost = !alive;
  }

  look(nowUs: number): void {
    if (this.#lost || this.#hangTimeoutUs === Number.POSITIVE_INFINITY) return;
    // While the program is still loading, its main loop may well stand still.
    if (this.#ring.load(Word.ready) === 0) return;
    const beat = this.#ring.load(Word.heartbeat);
    if (beat !== this.#lastBeat) {
      this.#lastBeat = beat;
      this.#lastProgressUs = nowUs;
      this.#looks = 0;
      return;
    }
    this.#looks++;
    if (nowUs - this.#lastProgressUs >= this.#hangTimeoutUs && this.#looks >= MIN_LOOKS) this.#lose('hang');
  }

  copyDescriptor(fd: number): number {
    return this.#lost ? -1 : Math.max(-1, this.#native.pidfdGetfd(this.#pidfd, fd));
  }

  /**
   * Kills the primary and waits until it has ended. Throws FtError ERR_FT_FENCE when it does not.
   */
  fence(): void {
    if (this.#pidfd < 0) return;
    this.#native.pidfdSignal(this.#pidfd, SIGKILL);
    if (!this.#native.pidfdWait(this.#pidfd, KILL_WAIT_MS)) {
      throw new FtError(
        'ERR_FT_FENCE',
        `The primary (process ${this.pid}) does not end`,
        'Nothing was taken over; end the process by hand',
      );
    }
  }

  close(): void {
    if (this.#watch !== null) this.#native.watchClose(this.#watch, true);
  }

  #lose(reason: LossReason): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#onLost(reason);
  }
}
