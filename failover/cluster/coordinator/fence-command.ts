/**
 * Two nodes without a third to ask. Whoever wants to go on without the other makes sure first that it is off, by a command that
 * the operator gives (a power switch, a hypervisor, a switch port). A node that cannot fence does not go on; when both try,
 * the one that is switched off has lost.
 */
import { execFile } from 'node:child_process';
import type { StaticConfig } from '../config.js';
import type { Coordinator, GroupState, View } from './coordinator.js';

/** Runs the fence command for a node. Resolves with whether the node is off. */
export type Fence = (node: string) => Promise<boolean>;

export function fenceCommand(config: StaticConfig): Fence {
  return (node) =>
    new Promise((done) => {
      execFile(config.fence, [node], { timeout: config.fenceTimeoutMs, killSignal: 'SIGKILL' }, (error) =>
        done(error === null),
      );
    });
}

export class FenceCommandCoordinator implements Coordinator {
  speakUntilUs = 0;
  readonly renewEveryUs = 1_000_000;
  #state: GroupState | null = null;

  constructor(
    readonly node: string,
    readonly others: string[],
    readonly fence: Fence,
  ) {}

  read(): Promise<View> {
    return Promise.resolve({ state: this.#state, holder: this.speakUntilUs > 0 ? this.node : null });
  }

  /** There is nobody else to ask. */
  learn(state: GroupState): void {
    if (this.#state === null || state.epoch >= this.#state.epoch) this.#state = state;
  }

  async claim(state: GroupState, gone: boolean): Promise<boolean> {
    if (!gone) {
      for (const other of this.others) if (!(await this.fence(other))) return false;
    }
    this.#state = state;
    this.speakUntilUs = Number.POSITIVE_INFINITY;
    return true;
  }

  /** A node that is to be gone on without is switched off first: it might go on without us. */
  async update(state: GroupState, left: readonly string[]): Promise<boolean> {
    if (this.speakUntilUs === 0) return false;
    for (const other of this.#state?.inSync ?? []) {
      if (!state.inSync.includes(other) && !left.includes(other) && !(await this.fence(other))) return false;
    }
    this.#state = state;
    return true;
  }

  renew(): Promise<boolean> {
    return Promise.resolve(this.speakUntilUs > 0);
  }

  release(): Promise<void> {
    this.speakUntilUs = 0;
    return Promise.resolve();
  }

  close(): void {
    // Nothing is held.
  }
}
