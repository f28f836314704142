/**
 * Who may be primary, and whose copy of the log is complete. There is one state of a group, changed by comparing and setting;
 * whoever changes it has seen it as it was. A primary speaks until a time of its own clock, which it moves on by renewing.
 */
import { FtError } from '../../../lib/errors.js';

/** What all agree on. */
export interface GroupState {
  /** Counts primaries. */
  epoch: number;
  primary: string;
  /** Nodes that have all that output may have depended on, the primary among them, in the order of succession. */
  inSync: string[];
  /** Backups that had to hold what output depended on. */
  stable: number;
}

export interface View {
  /** Null: the group is new. */
  state: GroupState | null;
  /** The node that may speak; null: nobody. */
  holder: string | null;
}

/** All calls reject with FtError ERR_FT_COORDINATOR when the answer is not known; what was asked for may then have happened or not. */
export interface Coordinator {
  /** The state as it is. */
  read(): Promise<View>;
  /**
   * Becomes primary, if nobody may speak and the state is as it was read last.
   * @param gone whether the former primary is known to be silent, or gave its right up. @returns false when it is not to be.
   */
  claim(state: GroupState, gone: boolean): Promise<boolean>;
  /**
   * Changes the state as its primary.
   * @param left nodes that have said themselves that they will not go on. @returns false when it is not to be.
   */
  update(state: GroupState, left: readonly string[]): Promise<boolean>;
  /** What the primary says of the state. */
  learn(state: GroupState): void;
  /** Moves `speakUntilUs` on. @returns false when the right has ended. */
  renew(): Promise<boolean>;
  /** Gives the right up; the state stays. */
  release(): Promise<void>;
  /** Monotonic time (microseconds) until which this node may speak; 0: it may not. */
  readonly speakUntilUs: number;
  /** How often to renew, microseconds. */
  readonly renewEveryUs: number;
  close(): void;
}

/** The state as text. @throws FtError ERR_FT_COORDINATOR for what is none */
export function parseState(text: string, where: string): GroupState {
  let state: Partial<GroupState>;
  try {
    state = JSON.parse(text) as Partial<GroupState>;
  } catch {
    state = {};
  }
  const { epoch, primary, inSync, stable } = state;
  if (
    typeof epoch !== 'number' ||
    typeof primary !== 'string' ||
    !Array.isArray(inSync) ||
    typeof stable !== 'number'
  ) {
    throw new FtError(
      'ERR_FT_COORDINATOR',
      `The group's state in ${where} is not one of ours`,
      'Choose another place for it (prefix, or directory)',
    );
  }
  return { epoch, primary, inSync: inSync.map(String), stable };
}
