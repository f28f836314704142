/**
 * What a backup knows of a primary on another machine: the agent of its own machine stands in for it. The agent says when the
 * primary is gone, and only after it has made sure that the primary can speak no more (cluster/agent.ts), so that there is
 * nothing here to kill.
 */

import { type Ring, Word } from '../log/ring.js';
import type { PrimaryWatch } from './failure-detector.js';

const HUNG = 2;

export class RemoteFailureDetector implements PrimaryWatch {
  #told = false;

  constructor(
    readonly pid: number,
    readonly ring: Ring,
    readonly onGone: (reason: 'death' | 'hang') => void,
  ) {}

  look(): void {
    const gone = this.ring.load(Word.leaderLost);
    if (gone === 0 || this.#told) return;
    this.#told = true;
    this.onGone(gone === HUNG ? 'hang' : 'death');
  }

  copyDescriptor(): number {
    return -1;
  }

  fence(): void {
    // The agent has.
  }

  close(): void {
    // Nothing is held.
  }
}
