/** What the rooms of the runtime share: its state, its mechanisms, and how they report. */
import type { NativeAddon } from '../../../lib/native/native.js';
import type { AsyncOperations } from './async-operations.js';
import type { LogicalTime } from './logical-time.js';
import type { VirtualTimers } from './virtual-timers.js';

/** A difference between this backup and the log. */
export interface Divergence {
  /** The function: 'fs.readFile'. */
  what: string;
  /** The operation's id in the log. */
  id: number;
  /** What was expected, and what was found. */
  detail: string;
}

/** Counters for operators. */
export interface RuntimeCounters {
  /** Effects (writes, renames, …) that a backup did not carry out. */
  suppressedEffects: number;
  /** Kernel connections that the program has open. */
  kernelConnections: number;
  /** Connections to the program's kernel servers that were reset because too many waited. */
  refusedConnections: number;
  /** Bytes of standard output and error that a backup did not write. */
  suppressedOutput: number;
  /** Effects carried out (again) when a backup became primary. */
  redoneEffects: number;
  /** Local results that did not match the log. */
  divergences: number;
}

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
