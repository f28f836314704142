/**
 * Coordinator of two nodes without a service that stores the group's state. A node that takes over,
 * or serves without its backup, first makes sure that the other node is off. It runs a command of
 * the operator's for that: a power switch, a hypervisor, a switch port. A node whose command fails
 * does not lead. When both try, the node that is switched off has lost.
 */
import { execFile } from 'node:child_process';
import type { FenceCommandConfig } from '../config/config.js';
import type { Coordinator, GroupState, GroupView } from './coordinator.js';
import type { FenceHistory } from './fence-history.js';

/** Switches a node off. Resolves with whether it is off. */
export type Fence = (node: string) => Promise<boolean>;

/**
 * Runs the operator's command with the node's name as argument; exit code 0 says that the node is
 * off.
 */
export function fenceCommand(config: FenceCommandConfig): Fence {
  return (node) =>
    new Promise((done) => {
      execFile(config.fence, [node], { timeout: config.fenceTimeoutMs, killSignal: 'SIGKILL' }, (error) =>
        done(error === null),
      );
    });
}

/** What keeps two nodes from fencing each other in turn. */
export interface FenceLimit {
  readonly history: FenceHistory;
  /**
   * A fence has to wait, reported once per delay.
   * @param delayMs milliseconds
   * @param fences made since both nodes were in sync
   */
  delayed(node: string, delayMs: number, fences: number): void;
}

/** Coordinator type "fence-command". */
export class FenceCommandCoordinator implements Coordinator {
  leaseUntilUs = 0;
  readonly renewIntervalUs = 1_000_000;
  #state: GroupState | null = null;
  /** Fences that had been made when a delay was reported last. */
  #reportedAt = 0;

  constructor(
    readonly node: string,
    /** The nodes that `fence` switches off. */
    readonly others: string[],
    readonly fence: Fence,
    readonly limit: FenceLimit,
  ) {}

  read(): Promise<GroupView> {
    return Promise.resolve({ state: this.#state, holder: this.leaseUntilUs > 0 ? this.node : null });
  }

  /** The leader's messages are the only source of the state. */
  observe(state: GroupState): void {
    if (this.#state === null || state.epoch >= this.#state.epoch) this.#adopt(state);
  }

  async claim(state: GroupState, leaderGone: boolean): Promise<boolean> {
    if (!leaderGone) {
      for (const other of this.others) if (!(await this.#fence(other))) return false;
    }
    this.#adopt(state);
    this.leaseUntilUs = Number.POSITIVE_INFINITY;
    return true;
  }

  /** A backup that leaves the in-sync set is switched off first: it might take over. */
  async update(state: GroupState, departed: readonly string[]): Promise<boolean> {
    if (this.leaseUntilUs === 0) return false;
    for (const other of this.#state?.inSync ?? []) {
      if (!state.inSync.includes(other) && !departed.includes(other) && !(await this.#fence(other))) return false;
    }
    this.#adopt(state);
    return true;
  }

  #adopt(state: GroupState): void {
    this.#state = state;
    const isWhole = state.inSync.includes(this.node) && this.others.every((other) => state.inSync.includes(other));
    if (isWhole) this.limit.history.clear();
  }

  /** Fences a node, unless this has to wait. The caller asks again. */
  async #fence(node: string): Promise<boolean> {
    const { history } = this.limit;
    const { delayMs } = history;
    if (delayMs > 0) {
      if (this.#reportedAt !== history.count) this.limit.delayed(node, delayMs, history.count);
      this.#reportedAt = history.count;
      return false;
    }
    const isOff = await this.fence(node);
    if (isOff) history.add();
    return isOff;
  }

  renew(): Promise<boolean> {
    return Promise.resolve(this.leaseUntilUs > 0);
  }

  release(): Promise<void> {
    this.leaseUntilUs = 0;
    return Promise.resolve();
  }

  close(): void {
    // There is no descriptor and no connection.
  }
}
