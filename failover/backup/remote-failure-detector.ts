/**
 * Failure detection for a primary on another machine. The agent of this machine detects the loss,
 * and reports it in the log's header only after the primary's lease has ended (cluster/agent). So
 * there is nothing to kill here.
 */
import type { Ring } from '../log/ring.js';
import { LeaderLost, Word } from '../log/ring-header.js';
import type { FenceProof, LossReason, PrimaryWatch } from './primary-watch.js';

/** Watches the agent's word in the log's header. */
export class RemoteFailureDetector implements PrimaryWatch {
  readonly detectedBy = 'agent';
  #reported = false;

  constructor(
    /** The local agent's process. */
    readonly pid: number,
    readonly ring: Ring,
    /** Called once, when the primary is lost. */
    readonly onLost: (reason: LossReason) => void,
  ) {}

  get hasDied(): boolean {
    return this.#reported;
  }

  look(): void {
    const lost = this.ring.load(Word.leaderLost);
    if (lost === 0 || this.#reported) return;
    this.#reported = true;
    this.onLost(lost === LeaderLost.Hung ? 'hang' : 'death');
  }

  copyDescriptor(): number {
    return -1;
  }

  fence(): FenceProof {
    // The agent has fenced it.
    return 'agent';
  }

  close(): void {
    // Nothing is open.
  }
}
