/**
 * A call that another thread computes. On the primary it runs, and its end is an event; a backup
 * takes the result from the log.
 */
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import { decodeResult, encodeOutcome } from '../core/result-codec.js';

/** Tells the program how the call ended. */
export type Settle = (error: Error | null, ...values: unknown[]) => void;

/**
 * Begins a call in the running event.
 * @param name for messages: 'crypto.subtle.sign'
 * @param start calls the function; it may do so again on a successor
 */
export function loggedCall(
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
