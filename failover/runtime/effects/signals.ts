/**
 * `process.kill`: an effect. Only the live replica sends signals. To the program its process is the
 * first primary's, so that a signal to that number is meant for the process which the program runs
 * in. Patches a public function only; the same on Node 20, 22, 24 and 26.
 */
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

/** Makes signals an effect. Whether another process took one is not repeated, and reported. */
export function installSignals(runtime: RuntimeContext, patcher: Patcher): void {
  patcher.method(process, 'kill', (original) => (pid: unknown, signal: unknown) => {
    if (!runtime.active) return original(pid, signal);
    const isOwn = pid === process.pid;
    if (!isOwn) runtime.reportNondeterministic('process.kill of another process');
    // What Node refuses it refuses on every replica; signal 0 changes nothing.
    if (runtime.live || typeof pid !== 'number' || signal === 0) return original(isOwn ? originals.pid : pid, signal);
    runtime.counters.suppressedEffects++;
    return true;
  });
}
