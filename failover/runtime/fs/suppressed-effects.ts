/**
 * Synchronous effects that a backup did not carry out. Those of the latest event are kept until the
 * next event proves that the primary did them: if it died in that event, the backup carries them
 * out.
 */
import type { RuntimeContext } from '../core/context.js';

/** The suppressed effects of the latest event, in order. */
export class SuppressedEffects {
  readonly #runtime: RuntimeContext;
  #unproven: (() => void)[] = [];
  #event = -1;

  constructor(runtime: RuntimeContext) {
    this.#runtime = runtime;
  }

  /** Counts an effect and keeps it. @param redo carries it out, and may throw */
  add(redo: () => void): void {
    const runtime = this.#runtime;
    runtime.counters.suppressedEffects++;
    // The primary has long done it.
    if (runtime.isHistorical) return;
    if (runtime.eventNo !== this.#event) {
      this.#unproven = [];
      this.#event = runtime.eventNo;
    }
    this.#unproven.push(redo);
  }

  /** Carries out what is unproven. @param unfinished the primary died in the latest event */
  goLive(unfinished: boolean): void {
    const runtime = this.#runtime;
    // An event that others follow, or that is over, has had its effects: an append would be there
    // twice.
    if (!unfinished || this.#event !== runtime.eventNo) this.#unproven = [];
    for (const redo of this.#unproven) {
      runtime.counters.redoneEffects++;
      try {
        runtime.outside(redo);
      } catch {
        // Most likely the primary had done it; the program was told that it succeeded.
      }
    }
    this.#unproven = [];
  }
}
