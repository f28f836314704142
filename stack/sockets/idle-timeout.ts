import type { SocketTimer, SocketTimers } from '../core/endpoint.js';
import { nodeError } from './socket-errors.js';

const TIMEOUT_MAX = 2 ** 31 - 1;

/**
 * The idle timer behind `socket.setTimeout`. http turns it on and off for every response, so
 * turning it off only disarms it: the host's timer stays, and is reused when the same interval
 * comes back.
 */
export class IdleTimeout {
  readonly #timers: SocketTimers;
  readonly #fire: () => void;
  #timer: SocketTimer | null = null;
  #interval = 0;
  #armed = false;

  constructor(timers: SocketTimers, fire: () => void) {
    this.#timers = timers;
    this.#fire = fire;
  }

  get armed(): boolean {
    return this.#armed;
  }

  /** Arms the timer for `ms` from now; 0 disarms it. */
  set(ms: number): void {
    this.#armed = ms !== 0;
    if (ms === 0) return;
    if (this.#timer !== null && this.#interval === ms) {
      this.#timer.refresh();
      return;
    }
    this.#timer?.clear();
    this.#interval = ms;
    this.#timer = this.#timers.set(ms, () => this.#expired());
  }

  /** There was activity: the interval starts anew (also after the timer has fired, as in Node). */
  touch(): void {
    if (this.#armed) this.#timer!.refresh();
  }

  /** Gives the host's timer back. */
  clear(): void {
    this.#armed = false;
    this.#timer?.clear();
    this.#timer = null;
  }

  #expired(): void {
    if (this.#armed) this.#fire();
    else this.clear();
  }
}

/** Of a socket that was never given a timeout. It is shared, and never armed. */
export const NO_TIMEOUT = new IdleTimeout(
  {
    set: () => {
      throw new Error('This one is nobody’s');
    },
  },
  () => undefined,
);

/** Checks an interval the way Node's `socket.setTimeout` does, with Node's errors. */
export function timeoutDuration(ms: unknown): number {
  if (typeof ms !== 'number') {
    throw nodeError(
      'ERR_INVALID_ARG_TYPE',
      `The "msecs" argument must be of type number. Received ${ms === null ? 'null' : `type ${typeof ms}`}`,
      TypeError,
    );
  }
  if (!(ms >= 0 && Number.isFinite(ms))) {
    throw nodeError(
      'ERR_OUT_OF_RANGE',
      `The value of "msecs" is out of range. It must be a non-negative finite number. Received ${ms}`,
      RangeError,
    );
  }
  return ms > TIMEOUT_MAX ? TIMEOUT_MAX : ms;
}

/** Checks the callback of `socket.setTimeout`, with Node's error. */
export function timeoutCallback(callback: unknown): () => void {
  if (typeof callback !== 'function') {
    throw nodeError(
      'ERR_INVALID_ARG_TYPE',
      `The "callback" argument must be of type function. Received ${callback === null ? 'null' : `type ${typeof callback}`}`,
      TypeError,
    );
  }
  return callback as () => void;
}
