/**
 * Quarantine of a poison event. The event in which the primary died may be what killed it, and
 * would kill its successor, too. So the successor runs it with limits of time and memory, and the
 * program cannot end the process in it. If the event throws, ends the process, does not end, or
 * exhausts memory, its connection is reset and the program continues. A program that handles an
 * exception itself, and lives on, is left alone.
 */
import vm from 'node:vm';
import { forbidProcessEnd, ProcessEnd } from './process-end.js';

/** Whether the program survives an exception that nothing caught. */
export function hasUncaughtHandler(): boolean {
  return process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
}

/** Where the guarded script finds the event. */
const EVENT = Symbol.for('ft-tcp.suspectEvent');
/** What this script calls can be interrupted, which is not so for a function by itself. */
const GUARD = new vm.Script("globalThis[Symbol.for('ft-tcp.suspectEvent')]()", { filename: 'ft-tcp:quarantine' });
const TIMEOUT_CODE = 'ERR_SCRIPT_EXECUTION_TIMEOUT';

/** Node's own function that drains ticks and microtasks, where it has one. */
const { _tickCallback: drainTicks } = process as { _tickCallback?: () => void };

/** Ticks that an interrupted event has left queue this many more, at most: a chain of them ends. */
const MAX_LATE_TICKS = 10_000;

/** How suspect events are run. */
export interface QuarantineOptions {
  /** Resets a connection. */
  readonly abort: (conn: number) => void;
  /** The event has been interrupted: no `finally` block of what ran in it has run. */
  readonly interrupted: () => void;
  /**
   * An event that takes longer is given up, milliseconds; Infinity: none is. Null: suspect events
   * run without a guard, and only what they throw is caught.
   */
  readonly limitMs: number | null;
  /** NativeAddon.callWithinMemory */
  readonly withinMemory: (fn: () => void, growthBytes: number) => boolean;
}

/** The event would have exhausted the memory. */
class MemoryExhausted extends Error {
  constructor() {
    super('The event exhausted the memory');
  }
}

/** Catches what a suspect event does. One event at a time. */
export class Quarantine {
  /** Connection of the event that runs, 0 for an event of none; -1: no suspect event runs. */
  #suspect = -1;
  #error: string | null = null;
  #allowEnd: (() => void) | null = null;
  #isCapturing = false;
  readonly #options: QuarantineOptions;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** A suspect event runs: the program's calls to end the process have no effect. */
  get isWatching(): boolean {
    return this.#suspect >= 0;
  }

  /** A suspect event is about to run. @param conn its connection, 0 for none */
  watch(conn: number): void {
    const isGuarded = this.#options.limitMs !== null;
    if (!isGuarded && hasUncaughtHandler()) return;
    this.#suspect = conn;
    if (isGuarded) this.#allowEnd = forbidProcessEnd((how) => this.#poison(`The program ended its process: ${how}`));
    if (process.hasUncaughtExceptionCaptureCallback()) return;
    this.#isCapturing = true;
    process.setUncaughtExceptionCaptureCallback((error) => this.#catch(error));
  }

  /**
   * Runs the event, and its ticks and microtasks if it is suspect. Throws what the event throws.
   * What is thrown is then to be reported as uncaught, in the same turn: ticks, and what was
   * interrupted, do not leave their asynchronous contexts.
   */
  run(event: () => boolean): boolean {
    const { limitMs } = this.#options;
    if (this.#suspect < 0 || limitMs === null) return event();
    // An event that does not end has been delivered.
    let delivered = true;
    const body = (): void => {
      delivered = event();
      drainTicks?.();
    };
    try {
      this.#runLimited(body, limitMs);
    } catch (error) {
      if (isInterruption(error)) this.#interrupted(error, limitMs);
      throw error;
    }
    return delivered;
  }

  #runLimited(body: () => void, limitMs: number): void {
    if (this.#options.withinMemory(() => runLimited(body, limitMs), 0)) throw new MemoryExhausted();
  }

  #interrupted(error: Error, limitMs: number): void {
    this.#poison(isTimeout(error) ? `The event did not end within ${limitMs} ms` : error.message);
    this.#options.interrupted();
    // Microtasks are gone, but ticks are left. Node would run them without a limit.
    const { nextTick } = process;
    let late = 0;
    process.nextTick = (...tick) => {
      if (late++ < MAX_LATE_TICKS) nextTick(...tick);
    };
    try {
      this.#runLimited(() => drainTicks?.(), limitMs);
    } catch (error) {
      this.#catch(error);
    } finally {
      process.nextTick = nextTick;
    }
  }

  #catch(error: unknown): void {
    if (isInterruption(error) || error instanceof ProcessEnd) return;
    if (process.listenerCount('uncaughtException') === 0) {
      this.#poison(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return;
    }
    try {
      (process as NodeJS.EventEmitter).emit('uncaughtException', error, 'uncaughtException');
    } catch (again) {
      if (!(again instanceof ProcessEnd)) this.#poison(String(again));
    }
  }

  #poison(error: string): void {
    // Reported when the event has ended: during it, a backup's output is suppressed.
    this.#error ??= error;
    this.#options.abort(this.#suspect);
  }

  /**
   * The event has ended.
   * @returns its connection and what it did; null when it did nothing wrong
   */
  end(): { conn: number; error: string } | null {
    if (this.#suspect < 0) return null;
    const [conn, error] = [this.#suspect, this.#error];
    this.#suspect = -1;
    this.#error = null;
    this.#allowEnd?.();
    this.#allowEnd = null;
    if (this.#isCapturing) process.setUncaughtExceptionCaptureCallback(null);
    this.#isCapturing = false;
    return error === null ? null : { conn, error };
  }
}

function runLimited(body: () => void, limitMs: number): void {
  Object.defineProperty(globalThis, EVENT, { value: body, configurable: true });
  try {
    GUARD.runInThisContext(Number.isFinite(limitMs) ? { timeout: Math.ceil(limitMs) } : {});
  } finally {
    Reflect.deleteProperty(globalThis, EVENT);
  }
}

function isInterruption(error: unknown): error is Error {
  return isTimeout(error) || error instanceof MemoryExhausted;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === TIMEOUT_CODE;
}
