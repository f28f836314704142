/**
 * Functions of native addons that compute on another thread. On the primary the function runs, and
 * its end is an event; a backup takes the result from the log.
 */
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import { decodeResult, encodeOutcome } from '../core/result-codec.js';

type Settle = (error: Error | null, ...values: unknown[]) => void;

/** Begins an operation; `start` calls the addon. */
function begin(
  runtime: RuntimeContext,
  name: string,
  start: (done: (outcome: Outcome) => void) => void,
  settle: Settle,
): void {
  runtime.operations.begin({
    name,
    effect: false,
    start: (done) => runtime.outside(() => start(done)),
    encode: (outcome) => encodeOutcome(runtime.native, outcome),
    decode: (result, _local, id) => {
      const logged = decodeResult(result);
      if (logged.tag === 'digest') runtime.diverged({ what: name, id, detail: 'the result is too long for the log' });
      if (logged.tag === 'error') return { error: logged.error, values: [] };
      return { error: null, values: logged.tag === 'values' ? logged.values : [] };
    },
    settle: ({ error, values }) => settle(error, ...values),
  });
}

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
      begin(runtime, name, start, callback as Settle);
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
      begin(runtime, name, start, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
  };
}
