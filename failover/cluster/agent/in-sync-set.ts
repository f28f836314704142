/**
 * The arithmetic of the in-sync set: which nodes may take over, and up to which position a log is
 * committed. Nothing here has effects; log-sender.ts supplies what the followers have acknowledged.
 *
 * The in-sync set is part of the group's state, because only its members may lead. It changes as a
 * raft configuration does, by joint consensus: while a change is proposed, the old and the new set
 * must both hold what output depends on. A proposal without an answer counts as one that may be in
 * force, until a later one is known to be.
 */
import type { GroupState } from '../coordinator/coordinator.js';
import { bytesBetween } from './log-copy.js';

/** What the leader knows of one follower. */
export interface FollowerProgress {
  /** The follower's node. */
  peer: string;
  /** End of what it holds, in units; null: it has not answered yet. */
  acked: number | null;
  /** Its replica can take over. */
  ready: boolean;
  /** It is connected, and gets the log. */
  up: boolean;
}

/** What a position is computed with. */
export interface CommitRule {
  /** Members of a set that must hold a record; more than the set has means all of them. */
  required: number;
  /** End of the log, units. */
  head: number;
  /**
   * What to assume of a follower that has not answered: the end of all that output may have
   * depended on, units.
   */
  floor: number;
}

/**
 * The position up to which at least `required` members of a set hold the log. An empty set holds
 * everything: no backup has to be waited for.
 * @param acked what a peer holds, in units; null: it has not answered
 */
export function quorumPosition(
  set: readonly string[],
  acked: (peer: string) => number | null,
  { required, head, floor }: CommitRule,
): number {
  if (set.length === 0) return head;
  const lags = set.map((peer) => {
    const position = acked(peer);
    return position === null ? Number.POSITIVE_INFINITY : bytesBetween(position, head);
  });
  lags.sort((a, b) => a - b);
  const lag = lags[Math.min(required, set.length) - 1] ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(lag) ? (head - lag / 8) >>> 0 : floor;
}

/** The position that all sets agree on: the lowest of theirs. */
export function jointPosition(
  sets: readonly (readonly string[])[],
  acked: (peer: string) => number | null,
  rule: CommitRule,
): number {
  let lowest = rule.head;
  for (const set of sets) {
    const position = quorumPosition(set, acked, rule);
    if (bytesBetween(lowest, position) < 0) lowest = position;
  }
  return lowest;
}

/** The group's state as the leader knows it, and the change of it that is under way. */
export class InSyncSet {
  #proposed: GroupState | null = null;
  #state: GroupState;

  constructor(
    /** The leader, which is always in sync. */
    readonly self: string,
    state: GroupState,
    /** Backups that shall hold what output depends on; Infinity: all. */
    readonly requiredBackups: number,
  ) {
    this.#state = state;
  }

  /** The state that is known to be in force. */
  get state(): GroupState {
    return this.#state;
  }

  /** Whether a peer is in sync, or may be. */
  mayContain(peer: string): boolean {
    return this.#state.inSync.includes(peer) || this.#proposed?.inSync.includes(peer) === true;
  }

  /** The backups of each state that is, or may be, in force. */
  get backupSets(): string[][] {
    const states = this.#proposed === null ? [this.#state] : [this.#state, this.#proposed];
    return states.map(({ inSync }) => inSync.filter((peer) => peer !== this.self));
  }

  /** Backups that should be in sync, in the order of succession: those in sync keep their place. */
  eligible(followers: Iterable<FollowerProgress>): string[] {
    const peers: string[] = [];
    for (const { peer, up, ready, acked } of followers) if (up && ready && acked !== null) peers.push(peer);
    const kept = this.#state.inSync.filter((peer) => peers.includes(peer));
    return [...kept, ...peers.filter((peer) => !kept.includes(peer)).sort()];
  }

  /** The state with these backups; null: it is in force, and no other one may be. */
  stateWith(backups: readonly string[]): GroupState | null {
    const inSync = [this.self, ...backups];
    const requiredBackups = Math.min(this.requiredBackups, backups.length);
    const isSame = inSync.join() === this.#state.inSync.join() && requiredBackups === this.#state.requiredBackups;
    return isSame && this.#proposed === null ? null : { ...this.#state, inSync, requiredBackups };
  }

  /** A change is under way: from now on it may be in force. */
  propose(state: GroupState): void {
    this.#proposed = state;
  }

  /** The change is known not to be in force. */
  reject(): void {
    this.#proposed = null;
  }

  /** The change is known to be in force. */
  adopt(state: GroupState): void {
    this.#state = state;
    this.#proposed = null;
  }
}
