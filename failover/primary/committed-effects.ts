/**
 * Effects outside the stack that wait for the log: what a program writes to a kernel socket leaves
 * only when the event that wrote it is committed (output commit).
 */
import { Fifo } from '../../lib/fifo.js';
import type { CommitGate } from './output-gate.js';

interface Waiting {
  /** The log has to be committed to here. */
  position: number;
  run: () => void;
}

/** Carries out effects in their order, each when the gate allows it. */
export class CommittedEffects {
  readonly #gate: CommitGate;
  readonly #waiting = new Fifo<Waiting>();

  constructor(gate: CommitGate) {
    this.#gate = gate;
  }

  /** Effects that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Carries out an effect of the running event, now or later. */
  add(run: () => void): void {
    if (this.#waiting.size === 0 && this.#gate.isOpen()) run();
    else this.#waiting.push({ position: this.#gate.end, run });
  }

  /** Carries out what the log allows by now. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    const isOpen = this.#gate.isOpen();
    if (!isOpen && !this.#gate.isPartiallyOpen()) return;
    for (let first = this.#waiting.first(); first !== undefined; first = this.#waiting.first()) {
      if (!isOpen && !this.#gate.reached(first.position)) return;
      this.#waiting.shift();
      first.run();
    }
  }
}
