/**
 * The turns of the event loop. The addon calls `turn` from libuv's loop, and again as long as a
 * turn did something. One turn delivers one event to the program. Between two turns ticks and
 * microtasks drain, so that all that the event causes happens before the next one.
 */
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import { hasUncaughtHandler, type Quarantine } from '../backup/quarantine.js';
import type { Runtime } from '../runtime/runtime.js';

/** Turns without a look at the machine's descriptors, at most. */
const MAX_TURNS = 256;
/** Passes of Node's event loop in which nothing of a program's start may run, until it is over. */
const QUIET_PASSES = 2;
/** Passes for the output of one event, at most; more would be a program's endless chain. */
const MAX_OUTPUT_PASSES = 1000;

/** A start that waits for a loader's thread is looked at again at this interval, milliseconds. */
const LOADING_MS = 1;

/**
 * What a turn did: delivered an event, something after which another turn may follow at once, or
 * nothing.
 */
export type Turn = 'event' | 'again' | 'idle';

/** The half of a replica that takes the turns: its primary or its backup. */
export interface Role {
  turn(): Turn;
}

/** What the {@link EventLoop} needs of the replica. */
export interface EventLoopHost {
  readonly native: NativeAddon;
  readonly runtime: Runtime;
  readonly quarantine: Quarantine;
  readonly programLoaded: boolean;
  /** Who takes the turns; null: nobody yet. */
  readonly current: Role | null;
  /** An event has ended. */
  eventEnded(): void;
  /** Reports an event (options.ts); `failed`: a turn threw, and the program does not handle it. */
  emit(event: 'quarantined', conn: number, error: string): unknown;
  emit(event: 'failed', error: Error): unknown;
}

/** Drives a replica. */
export class EventLoop {
  /** An event has been delivered, and its ticks and microtasks may not have drained. */
  inEvent = false;
  readonly #host: EventLoopHost;
  #hook: NativeHandle | null = null;
  #halted = false;
  /** Passes of the loop that the event at hand has been given for its output. */
  #passes = 0;
  /** The program's start runs: passes that are left, and what follows it. */
  #start: { passes: number; isLoading: () => boolean; over: () => void } | null = null;
  /** The program threw, and its handler of uncaught exceptions ran. */
  #uncaughtException = false;
  readonly #onUncaughtException = (): void => {
    this.#uncaughtException = this.#host.runtime.active;
    this.kick();
  };

  constructor(host: EventLoopHost) {
    this.#host = host;
  }

  /** Begins to take turns. @param busyPollUs time to poll before the loop sleeps, microseconds */
  open(busyPollUs: number): void {
    const { native } = this.#host;
    this.#hook = native.loopHook(() => this.#turn(), MAX_TURNS);
    process.on('uncaughtExceptionMonitor', this.#onUncaughtException);
    native.loopRef(this.#hook, true);
    native.loopBusyPoll(this.#hook, busyPollUs, busyPollUs);
  }

  /** Takes a turn soon. */
  kick(): void {
    if (this.#hook !== null && !this.#halted) this.#host.native.loopKick(this.#hook);
  }

  /** Takes a turn after a time, milliseconds. */
  wakeAfter(ms: number): void {
    if (this.#hook !== null) this.#host.native.loopTimer(this.#hook, ms);
  }
  /**
   * The program's start begins, an event. No turn is taken before Node's event loop would wait;
   * then `over` is called.
   * @param isLoading another thread loads modules of the start
   */
  beginStart(isLoading: () => boolean, over: () => void): void {
    this.#start = { passes: QUIET_PASSES, isLoading, over };
    this.kick();
  }

  /** Whether a start, if one runs, is over now. */
  #isStartOver(): boolean {
    const start = this.#start;
    if (start === null) return true;
    if (start.isLoading()) {
      start.passes = QUIET_PASSES;
      this.wakeAfter(LOADING_MS);
      return false;
    }
    if (--start.passes > 0) {
      this.kick();
      return false;
    }
    this.#start = null;
    start.over();
    return true;
  }

  /**
   * Output of the event may leave in native immediates, of which one may schedule the next: the
   * event lasts for one more pass of the loop, and for as many as have something to do at once.
   */
  #isOutputPending(): boolean {
    const { runtime } = this.#host;
    const mayHaveOutput = this.inEvent && runtime.nativeOutputs > 0 && this.#passes < MAX_OUTPUT_PASSES;
    const isPending = mayHaveOutput && (this.#passes === 0 || this.#hasMoreToDo());
    this.#passes = isPending ? this.#passes + 1 : 0;
    if (isPending) this.kick();
    return isPending;
  }

  #hasMoreToDo(): boolean {
    return this.#hook !== null && this.#host.native.loopPending(this.#hook);
  }

  /** Takes no turn any more. */
  halt(): void {
    this.#halted = true;
  }

  close(): void {
    this.#halted = true;
    process.off('uncaughtExceptionMonitor', this.#onUncaughtException);
    if (this.#hook !== null) this.#host.native.loopClose(this.#hook);
  }

  /** How often the loop has polled before it slept, and found something. */
  get busyPolls(): { polls: number; found: number } {
    const [polls, found] = this.#hook === null ? [0, 0] : this.#host.native.loopBusyPolls(this.#hook);
    return { polls, found };
  }

  /** @returns whether the addon is to drain ticks and microtasks, and to call again */
  #turn(): boolean {
    if (this.#halted) return false;
    if (this.#uncaughtException) {
      // Ticks that were left when the program threw belong to the same event: they drain after
      // this.
      this.#uncaughtException = false;
      return true;
    }
    try {
      if (!this.#isStartOver() || this.#isOutputPending()) return false;
      this.finishEvent();
      const did = this.#host.current?.turn() ?? 'idle';
      if (did === 'event') this.inEvent = true;
      return did !== 'idle';
    } catch (error) {
      if (this.#host.runtime.active && hasUncaughtHandler()) {
        this.inEvent = true;
        // What was interrupted, or was a tick, has not left its asynchronous contexts.
        this.#host.native.loopUncaught(error);
        return true;
      }
      this.#host.emit('failed', error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  /** Ends the last event: its ticks and microtasks have drained. */
  finishEvent(): void {
    if (!this.inEvent) return;
    const { runtime, quarantine, programLoaded } = this.#host;
    // Until the program's start is over, the program stays in it.
    if (programLoaded) {
      this.inEvent = false;
      runtime.endEvent();
      const caught = quarantine.end();
      if (caught !== null) this.#host.emit('quarantined', caught.conn, caught.error);
    }
    this.#host.eventEnded();
  }
}
