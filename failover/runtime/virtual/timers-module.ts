/**
 * Puts virtual timers under the globals, node:timers, node:timers/promises and AbortSignal.timeout.
 * Patches public functions only; the same on Node 20, 22, 24 and 26.
 */
import nodeTimers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import type { RuntimeContext } from '../core/context.js';
import { type AnyFunction, originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { Immediate, Timeout, type VirtualTimers } from '../core/virtual-timers.js';

interface WaitOptions {
  signal?: AbortSignal;
  ref?: boolean;
}

/** Node's internal AbortError. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR';

  constructor(signal: AbortSignal) {
    super('The operation was aborted', { cause: signal.reason });
    this.name = 'AbortError';
  }
}

/** True if Node would refuse these options. */
function invalid(options: unknown): boolean {
  if (options === undefined) return false;
  if (options === null || typeof options !== 'object') return true;
  const { signal, ref } = options as { signal?: unknown; ref?: unknown };
  if (signal !== undefined && (typeof signal !== 'object' || signal === null || !('aborted' in signal))) return true;
  return ref !== undefined && typeof ref !== 'boolean';
}

/** A promise that `start` settles, and that the signal rejects after calling `stop`. */
function abortable<T, H>(
  signal: AbortSignal | undefined,
  start: (resolve: () => void) => H,
  stop: (handle: H) => void,
  value: T,
): Promise<T> {
  if (signal?.aborted) return Promise.reject(new AbortError(signal));
  return new Promise<T>((resolve, reject) => {
    let onAbort: (() => void) | undefined;
    const handle = start(() => {
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      resolve(value);
    });
    if (signal !== undefined) {
      onAbort = () => {
        stop(handle);
        reject(new AbortError(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    }
  });
}

/** The iterator of timersPromises.setInterval. */
async function* virtualInterval(timers: VirtualTimers, delay?: number, value?: unknown, options?: WaitOptions) {
  const signal = options?.signal;
  if (signal?.aborted) throw new AbortError(signal);
  let behind = 0;
  let wake: (() => void) | undefined;
  const wakeUp = (): void => wake?.();
  const interval = timers.setTimer(
    () => {
      behind++;
      wakeUp();
    },
    delay,
    true,
    [],
    options?.ref !== false,
  );
  const onAbort = (): void => {
    interval.clear();
    wakeUp();
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    while (!signal?.aborted) {
      if (behind === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      for (; behind > 0; behind--) yield value;
    }
    throw new AbortError(signal);
  } finally {
    interval.clear();
    signal?.removeEventListener('abort', onAbort);
  }
}

function promiseFunctions(runtime: RuntimeContext) {
  const { timers } = runtime;
  const originals = { ...timersPromises };

  function setTimeout(delay?: number, value?: unknown, options?: WaitOptions): Promise<unknown> {
    if (!runtime.active || invalid(options)) return originals.setTimeout(delay, value, options);
    return abortable(
      options?.signal,
      (done) => timers.setTimer(done, delay, false, [], options?.ref !== false),
      (timer) => timer.clear(),
      value,
    );
  }

  function setImmediate(value?: unknown, options?: WaitOptions): Promise<unknown> {
    if (!runtime.active || invalid(options)) return originals.setImmediate(value, options);
    return abortable(
      options?.signal,
      (done) => {
        const immediate = timers.setImmediate(done, []);
        return options?.ref === false ? immediate.unref() : immediate;
      },
      (immediate) => immediate.clear(),
      value,
    );
  }

  function setInterval(delay?: number, value?: unknown, options?: WaitOptions) {
    if (!runtime.active || invalid(options)) return originals.setInterval(delay, value, options);
    return virtualInterval(timers, delay, value, options);
  }

  return { setTimeout, setImmediate, setInterval };
}

/** Node refuses a callback that is none. */
function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === 'function';
}

/** Patches every function that sets, clears or awaits a timer. */
export function installTimers(runtime: RuntimeContext, patcher: Patcher): void {
  const { timers } = runtime;
  const promises = promiseFunctions(runtime);
  const node = originals as unknown as Record<string, AnyFunction>;

  const setTimeout = (fn: unknown, delay?: unknown, ...args: unknown[]): unknown =>
    runtime.active && isFunction(fn) ? timers.setTimer(fn, delay, false, args) : node.setTimeout(fn, delay, ...args);
  const setInterval = (fn: unknown, delay?: unknown, ...args: unknown[]): unknown =>
    runtime.active && isFunction(fn) ? timers.setTimer(fn, delay, true, args) : node.setInterval(fn, delay, ...args);
  const setImmediate = (fn: unknown, ...args: unknown[]): unknown =>
    runtime.active && isFunction(fn) ? timers.setImmediate(fn, args) : node.setImmediate(fn, ...args);

  const clear = (original: (timer: never) => void) => (timer?: unknown) => {
    if (timer instanceof Timeout) timer.clear();
    else {
      const mine = typeof timer === 'number' || typeof timer === 'string' ? timers.find(Number(timer)) : undefined;
      if (mine !== undefined) mine.clear();
      else original(timer as never);
    }
  };
  const clearTimeout = clear(originals.clearTimeout);
  const clearInterval = clear(originals.clearInterval);
  const clearImmediate = (immediate?: unknown): void => {
    if (immediate instanceof Immediate) immediate.clear();
    else originals.clearImmediate(immediate as NodeJS.Immediate);
  };

  Object.defineProperty(setTimeout, promisify.custom, { value: promises.setTimeout, configurable: true });
  Object.defineProperty(setImmediate, promisify.custom, { value: promises.setImmediate, configurable: true });
  const functions = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
  for (const [name, fn] of Object.entries(functions)) {
    patcher.method(globalThis, name, () => fn);
    patcher.value(nodeTimers, name, fn);
  }
  for (const [name, fn] of Object.entries(promises)) patcher.method(timersPromises, name, () => fn);
  const { scheduler } = timersPromises as unknown as { scheduler: object };
  patcher.method(
    scheduler,
    'wait',
    (original) =>
      function wait(this: unknown, delay?: unknown, options?: unknown) {
        if (!runtime.active) return original.call(scheduler, delay, options);
        return promises.setTimeout(delay as number, undefined, options as WaitOptions);
      },
  );
  patcher.method(
    scheduler,
    'yield',
    (original) =>
      function yieldNow() {
        return runtime.active ? promises.setImmediate() : original.call(scheduler);
      },
  );

  patcher.method(AbortSignal, 'timeout', (original) => (delay: unknown) => {
    const valid = typeof delay === 'number' && Number.isSafeInteger(delay) && delay >= 0;
    if (!runtime.active || !valid) return original.call(AbortSignal, delay);
    const controller = new AbortController();
    const expire = (): void =>
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    timers.setTimer(expire, delay, false, [], false);
    return controller.signal;
  });
}
