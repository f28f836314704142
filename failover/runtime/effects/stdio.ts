/**
 * Standard output and error of the program: suppressed on a backup. When a write completes must not
 * influence the program on any replica.
 */
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

/** Whether the program's output is suppressed. */
export interface OutputState {
  muted: boolean;
}

/** Patches the write functions of both streams. */
export function installStdio(runtime: RuntimeContext, patcher: Patcher, state: OutputState): void {
  for (const stream of [process.stdout, process.stderr]) {
    patcher.method(
      stream,
      'write',
      (original) =>
        function write(this: unknown, chunk: unknown, encoding?: unknown, callback?: unknown) {
          if (!runtime.active) return original.call(stream, chunk, encoding, callback);
          const done = typeof encoding === 'function' ? encoding : callback;
          const charset = typeof encoding === 'string' ? encoding : undefined;
          if (state.muted) {
            runtime.counters.suppressedOutput +=
              typeof chunk === 'string' ? Buffer.byteLength(chunk) : ((chunk as Uint8Array | null)?.length ?? 0);
          } else {
            // A stream to a file writes by the public fs.writeSync.
            runtime.outside(() => original.call(stream, chunk, charset));
          }
          // The end of the real write is not repeatable: the program gets the next tick instead.
          if (typeof done === 'function') process.nextTick(done as () => void);
          return true;
        },
    );
  }
}
