/** What the rooms of the runtime share: its state, its mechanisms, and how they report. */
import type { NativeAddon } from '../../../lib/native/native.js';
import type { Samples } from '../samples/samples.js';
import type { AsyncOperations } from './async-operations.js';
import type { Divergence, RuntimeCounters } from './counters.js';
import type { LogicalTime } from './logical-time.js';
import type { VirtualTimers } from './virtual-timers.js';

/** The {@link Runtime}, as its patches see it. */
export interface RuntimeContext {
  /** An event is being run: patched functions are virtual. Otherwise they are Node's own. */
  readonly active: boolean;
  /** This replica is the primary. */
  readonly live: boolean;
  /** The native addon; null where it is not built. */
  readonly native: NativeAddon | null;
  readonly time: LogicalTime;
  readonly timers: VirtualTimers;
  readonly operations: AsyncOperations;
  readonly counters: RuntimeCounters;
  /** Values that the program reads at once. */
  readonly samples: Samples;
  /** The running event is repeated from a connection's history. */
  readonly isHistorical: boolean;
  /**
   * Objects whose output leaves in native immediates: while there are any, an event lasts for one
   * more pass of Node's event loop.
   */
  nativeOutputs: number;
  /** Number of the current event. */
  readonly eventNo: number;
  /** Draws the next deterministic id. */
  drawId(): number;
  /** Runs `fn` as an immediate of its own, in the caller's async context. */
  later(fn: () => void): void;
  /** Runs `fn` with Node's own functions, as if no event were running. */
  outside<T>(fn: () => T): T;
  /** The program has used an API that replay cannot repeat. Counts only in a replicated event. */
  reportNondeterministic(api: string): void;
  /** Reports a name once, whatever event runs. */
  reportOnce(api: string): void;
  /** A backup has found a difference. */
  diverged(divergence: Divergence): void;
}
