/**
 * Child processes that the program waits for. The live replica runs them; their result is a sample.
 * A result of more than 64 KiB cannot be repeated, and is reported by name.
 */
import childProcess from 'node:child_process';
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';
import { encodeOutcome, type Logged } from '../core/result-codec.js';

const CALLS = ['spawnSync', 'execSync', 'execFileSync'];

interface Ended {
  output?: unknown[] | null;
  stdout?: unknown;
  stderr?: unknown;
}

/** Standard output and error are in `output`, too: the log has them once. */
function encodeEnded(outcome: Outcome): Uint8Array {
  const [ended] = outcome.values as (Ended | undefined)[];
  if (outcome.error !== null || ended === undefined || !Array.isArray(ended.output))
    return encodeOutcome(null, outcome);
  return encodeOutcome(null, { error: null, values: [{ ...ended, stdout: undefined, stderr: undefined }] });
}

function decodeEnded(logged: Logged): Outcome {
  if (logged.tag !== 'values') return { error: null, values: [undefined] };
  const [ended] = logged.values as Ended[];
  if (!Array.isArray(ended.output)) return { error: null, values: [ended] };
  return { error: null, values: [{ ...ended, stdout: ended.output[1], stderr: ended.output[2] }] };
}

/** Makes synchronous child processes effects of the live replica. */
export function installChildren(runtime: RuntimeContext, patcher: Patcher): void {
  for (const name of CALLS) {
    const isSpawn = name === 'spawnSync';
    patcher.method(
      childProcess,
      name,
      (original) =>
        function call(...args: unknown[]): unknown {
          const sample = { name: `child_process.${name}`, take: () => original(...args), isEffect: true };
          return runtime.samples.take(isSpawn ? { ...sample, encode: encodeEnded, decode: decodeEnded } : sample, call);
        },
    );
  }
}
