/**
 * Keeps the local replica's process running: starts it, starts it again after a growing delay when
 * it ends, and kills it when it makes no progress.
 */
import { StallDetector } from '../../../lib/stall-detector.js';
import type { AgentHost } from './host.js';
import type { LogCopy } from './log-copy.js';

const MIN_RESTART_DELAY_US = 100_000;
const MAX_RESTART_DELAY_US = 5_000_000;
/** A program that loads may take this long. */
const MAX_STARTING_US = 10_000_000;

/** Starts, restarts and kills the local replica's process. */
export class ReplicaSupervisor {
  /**
   * A replica has been ready since the log was created. A program that fails before that fails
   * again.
   */
  everReady = false;
  #startAtUs: number | null = null;
  #startRole: 'primary' | 'backup' = 'backup';
  #restartDelayUs = MIN_RESTART_DELAY_US;
  readonly #stall = new StallDetector();

  constructor(
    readonly host: AgentHost,
    /** Main loop without progress for this long counts as hung. Milliseconds; Infinity: never. */
    readonly hangTimeoutMs: number,
  ) {}

  /** The replica's process runs. */
  get isRunning(): boolean {
    return this.host.replica.pid !== 0;
  }

  /** Starts the replica when that is due. */
  step(nowUs: number): void {
    if (this.#startAtUs === null || nowUs < this.#startAtUs || this.isRunning) return;
    this.#startAtUs = null;
    this.host.replica.start(this.#startRole);
  }

  /** Starts the replica with the next step. */
  start(role: 'primary' | 'backup'): void {
    this.#startRole = role;
    this.#startAtUs = this.host.clock.now();
  }

  /** Starts a backup again, after a delay that doubles each time. */
  restart(): void {
    this.#startRole = 'backup';
    this.#startAtUs = this.host.clock.now() + this.#restartDelayUs;
    this.#restartDelayUs = Math.min(this.#restartDelayUs * 2, MAX_RESTART_DELAY_US);
  }

  /** Kills the replica, and starts none. */
  stop(): void {
    this.#startAtUs = null;
    if (this.isRunning) this.host.replica.kill();
  }

  /** The replica begins with another log. */
  newLog(): void {
    this.everReady = false;
    this.#restartDelayUs = MIN_RESTART_DELAY_US;
  }

  /** The replica has caught up with its log. */
  markReady(): void {
    this.everReady = true;
    this.#restartDelayUs = MIN_RESTART_DELAY_US;
  }

  /** Another process, or another measure of progress, is watched from now on. */
  resetStall(): void {
    this.#stall.reset();
  }

  /** Kills a backup that has records to read and does not read them. */
  watchBackup(copy: LogCopy, isBusy: boolean): void {
    const limitUs = copy.isReady ? 2 * this.hangTimeoutMs * 1000 : MAX_STARTING_US;
    const isIdle = !isBusy || !this.isRunning;
    if (this.#stall.isStalled(this.host.clock.now(), copy.applied, isIdle, limitUs)) this.#killHung('backup-hung');
  }

  /** Kills a primary whose main loop stands still. @returns whether it did. */
  watchPrimary(nowUs: number, heartbeat: number, isIdle: boolean): boolean {
    if (!this.#stall.isStalled(nowUs, heartbeat, isIdle || !this.isRunning, this.hangTimeoutMs * 1000)) return false;
    this.#killHung('primary-hung');
    return true;
  }

  #killHung(event: 'primary-hung' | 'backup-hung'): void {
    const { replica } = this.host;
    this.host.report(event, { replicaPid: replica.pid });
    replica.kill();
  }
}
