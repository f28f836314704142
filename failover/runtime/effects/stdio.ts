/** Standard output of the program: swallowed on a backup, and never a source of order on either side. */
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

/** Whether the program's output is swallowed. */
export interface OutputState {
  muted: boolean;
}

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
          } else original.call(stream, chunk, charset);
          // When the real write completes is not for the program to see: it would not be repeatable.
          if (typeof done === 'function') process.nextTick(done as () => void);
          return true;
        },
    );
  }
}
