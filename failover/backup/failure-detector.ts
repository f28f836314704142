/**
 * Detects the loss of a primary on this machine, and fences it.
 *
 * The kernel reports death twice. It marks the robust futex of the primary's event loop when that
 * thread begins to exit. When the process's memory has been torn down, 70 ms later per GB, its
 * pidfd becomes readable. A hang is seen from outside: the heartbeat counter in the log's header
 * stands still over several looks. A primary that counts as lost is killed, and waited for, before
 * anything else happens. It is never trusted to be dead.
 */
import { FtError } from '../../lib/errors.js';
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import { StallDetector } from '../../lib/stall-detector.js';
import type { Ring } from '../log/ring.js';
import { Word } from '../log/ring-header.js';
import type { Detection, FenceProof, LossReason, PrimaryWatch } from './primary-watch.js';

const SIGKILL = 9;
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
  /**
   * State mode: a program that is loaded for longer than this means a hang, microseconds (default:
   * never). Elsewhere the backup's program takes as long.
   */
  loadTimeoutUs?: number;
  /** Called once, when the primary is lost. */
  onLost: (reason: LossReason) => void;
  /**
   * False: the process is known to be dead, and its number may belong to another one by now.
   * Default true.
   */
  alive?: boolean;
  /** Watches its threads (watchThreads); null: that is not possible. Default: not possible. */
  watchThreads?: (onEnd: () => void) => NativeHandle | null;
}

/** Watches a process of this machine by the futexes of its threads, pidfd and heartbeat. */
export class FailureDetector implements PrimaryWatch {
  readonly pid: number;
  detectedBy: Detection = 'lock';
  readonly #native: NativeAddon;
  readonly #ring: Ring;
  readonly #hangTimeoutUs: number;
  readonly #onLost: (reason: LossReason) => void;
  /** -1: the process was dead before we looked. */
  readonly #pidfd: number;
  readonly #watch: NativeHandle | null;
  readonly #threads: NativeHandle | null;
  #lost = false;
  readonly #stall = new StallDetector();
  readonly #loading = new StallDetector();
  readonly #loadTimeoutUs: number;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(options: FailureDetectorOptions) {
    const { native, pid, ring, hangTimeoutUs, onLost, alive = true } = options;
    this.pid = pid;
    this.#native = native;
    this.#ring = ring;
    this.#hangTimeoutUs = hangTimeoutUs;
    this.#loadTimeoutUs = options.loadTimeoutUs ?? Number.POSITIVE_INFINITY;
    this.#onLost = onLost;
    this.#pidfd = alive ? native.pidfdOpen(pid) : -1;
    this.#watch = alive ? native.watchOpen(this.#pidfd, false, () => this.#lose('death', 'pidfd')) : null;
    // After the pidfd, so that both name the same process.
    this.#threads = alive ? (options.watchThreads?.(() => this.#lose('death', 'futex')) ?? null) : null;
    this.#lost = !alive;
  }

  get hasDied(): boolean {
    return this.#lost || this.#pidfd < 0 || this.#native.pidfdWait(this.#pidfd, 0);
  }

  look(nowUs: number): void {
    if (this.#lost || this.#hangTimeoutUs === Number.POSITIVE_INFINITY) return;
    // While the program is still loading, its main loop may well stand still.
    if (this.#ring.load(Word.ready) === 0) {
      if (this.#loading.isStalled(nowUs, 0, false, this.#loadTimeoutUs)) this.#lose('hang', 'heartbeat');
      return;
    }
    this.#loading.reset();
    if (this.#stall.isStalled(nowUs, this.#ring.load(Word.heartbeat), false, this.#hangTimeoutUs))
      this.#lose('hang', 'heartbeat');
  }

  copyDescriptor(fd: number): number {
    return this.#lost ? -1 : Math.max(-1, this.#native.pidfdGetfd(this.#pidfd, fd));
  }

  /**
   * Kills the primary and waits until it has ended, or, if it may linger, until all its threads are
   * exiting. Throws FtError ERR_FT_FENCE when they are not.
   */
  fence(mayLinger: boolean): FenceProof {
    if (this.#pidfd < 0) return 'process';
    this.#native.pidfdSignal(this.#pidfd, SIGKILL);
    const threads = mayLinger ? this.#threads : null;
    if (threads !== null && this.#native.threadsWait(threads, this.#pidfd, KILL_WAIT_MS)) return 'threads';
    if (!this.#native.pidfdWait(this.#pidfd, KILL_WAIT_MS)) {
      throw new FtError(
        'ERR_FT_FENCE',
        `The primary (process ${this.pid}) does not end`,
        'Nothing was taken over; end the process by hand',
      );
    }
    return 'process';
  }

  close(): void {
    if (this.#watch !== null) this.#native.watchClose(this.#watch, true);
    if (this.#threads !== null) this.#native.threadsClose(this.#threads);
  }

  #lose(reason: LossReason, detectedBy: Detection): void {
    if (this.#lost) return;
    this.#lost = true;
    this.detectedBy = detectedBy;
    this.#onLost(reason);
  }
}
