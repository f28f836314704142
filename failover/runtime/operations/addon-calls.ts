/**
 * Functions of native addons that compute on another thread. On the primary the function runs, and
 * its end is an event; a backup takes the result from the log.
 */
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import { loggedCall, type Settle } from './logged-call.js';

/**
 * A function of an addon as an operation, if it is called with a callback or ends with a promise;
 * other calls compute at once.
 * @param name for messages: 'bcrypt.encrypt'
 */
export function loggedFunction(
  runtime: RuntimeContext,
  name: string,
  original: AnyFunction,
  endsWithPromise: boolean,
): AnyFunction {
  return function (this: unknown, ...args: unknown[]): unknown {
    if (!runtime.active) return original.apply(this, args);
    const callback = args[args.length - 1];
    if (typeof callback === 'function') {
      const rest = args.slice(0, -1);
      const start = (done: (outcome: Outcome) => void): unknown =>
        original.call(this, ...rest, (error: Error | null, ...values: unknown[]) =>
          done({ error: error ?? null, values }),
        );
      loggedCall(runtime, name, start, callback as Settle);
      return undefined;
    }
    if (!endsWithPromise) return original.apply(this, args);
    return new Promise((resolve, reject) => {
      const start = (done: (outcome: Outcome) => void): void => {
        (original.apply(this, args) as Promise<unknown>).then(
          (value) => done({ error: null, values: [value] }),
          (error: Error) => done({ error, values: [] }),
        );
      };
      loggedCall(runtime, name, start, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
  };
}
