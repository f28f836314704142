/** What the parts of a {@link World} share. */
import type { NativeAddon } from '../../../lib/native/native.js';
import type { AsyncOperations } from '../operations/async-operations.js';
import type { LogicalTime } from '../virtual/clocks.js';
import type { VirtualTimers } from '../virtual/virtual-timers.js';

/** An event of the world itself (socket events are the runtime's). */
export type RuntimeEvent =
  | { kind: 'timer'; id: number }
  | { kind: 'immediate'; id: number }
  | { kind: 'async'; id: number; result: Uint8Array }
  /** The program is given what another one has saved of itself. */
  | { kind: 'restore'; id: 0 };

/** What a backup found to be different from the log. */
export interface Divergence {
  what: string;
  id: number;
  detail: string;
}

/** Counters that an operator may want to see. */
export interface RuntimeCounters {
  /** Effects (writes, renames, …) that a backup did not carry out. */
  suppressedEffects: number;
  /** Bytes of standard output and error that a backup swallowed. */
  suppressedOutput: number;
  /** Effects carried out (again) when a backup became primary. */
  redoneEffects: number;
  /** Local results that did not match the log. */
  divergences: number;
}

export interface RuntimeContext {
  /** An event is being run: patched functions are virtual. Otherwise they are Node's own. */
  readonly active: boolean;
  /** This replica is the primary. */
  readonly live: boolean;
  readonly native: NativeAddon | null;
  readonly time: LogicalTime;
  readonly clockwork: VirtualTimers;
  readonly ops: AsyncOperations;
  readonly counters: RuntimeCounters;
  /** The event that runs happened long ago, and is repeated. */
  readonly past: boolean;
  /** Number of the current event. */
  readonly eventNo: number;
  /** Draws the next deterministic id. */
  drawId(): number;
  /** Runs `fn` as an immediate of its own, in the caller's async context. */
  later(fn: () => void): void;
  /** Runs `fn` with Node's own functions, as if no event were running. */
  outside<T>(fn: () => T): T;
  /** Something was used that replay cannot repeat. */
  undeclared(what: string): void;
  diverged(divergence: Divergence): void;
}
