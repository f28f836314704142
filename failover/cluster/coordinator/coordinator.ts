/**
 * The coordinator: which node may lead, and which nodes hold a complete log. There is one state per
 * group, changed by compare-and-set, and one lease. A leader sends until a time of its own clock,
 * which it moves on by renewing the lease.
 *
 * Three implementations stand beside this file:
 *   EtcdCoordinator          etcd.ts           nodes on any machines, with etcd
 *   FileLockCoordinator      file-lock.ts      nodes on one machine, with a file lock
 *   FenceCommandCoordinator  fence-command.ts  two nodes, with a command that switches the other one off
 */
import { FtError } from '../../../lib/errors.js';

/** What all nodes agree on. */
export interface GroupState {
  /** Counts leaders. */
  epoch: number;
  /** The node that leads, or led last. */
  primary: string;
  /**
   * Nodes that hold everything which output may have depended on, the primary among them, in the
   * order of succession.
   */
  inSync: string[];
  /** Backups that had to hold what output depended on. */
  requiredBackups: number;
}

/** What a coordinator knows. */
export interface GroupView {
  /** Null: the group is new. */
  state: GroupState | null;
  /** The node that holds the lease; null: no node does. */
  holder: string | null;
}

/**
 * Grants the lease and stores the state. All calls reject with FtError ERR_FT_COORDINATOR when the
 * answer is not known: what was asked for may then have happened or not.
 */
export interface Coordinator {
  /** Reads the state. */
  read(): Promise<GroupView>;
  /**
   * Acquires the lease, if no node holds it and the state has not changed since it was read.
   * @param leaderGone the former leader is known to send no more, or gave its lease back
   * @returns false when another node holds the lease, or the state has changed.
   */
  claim(state: GroupState, leaderGone: boolean): Promise<boolean>;
  /**
   * Changes the state, as the holder of the lease.
   * @param departed nodes that shut down by their own account and will not take over
   * @returns false when this node does not hold the lease.
   */
  update(state: GroupState, departed: readonly string[]): Promise<boolean>;
  /** The leader's account of the state, for coordinators without a state store. */
  observe(state: GroupState): void;
  /** Moves `leaseUntilUs` on. @returns false when the lease has expired. */
  renew(): Promise<boolean>;
  /** Gives the lease back; the state stays. */
  release(): Promise<void>;
  /**
   * Time by CLOCK_BOOTTIME (`bootTime`, microseconds) until which this node's primary may send; 0:
   * it may not.
   */
  readonly leaseUntilUs: number;
  /** How often to renew, microseconds. */
  readonly renewIntervalUs: number;
  /** Releases descriptors and connections. */
  close(): void;
}

/**
 * Parses a stored state. In older states `requiredBackups` is named "stable".
 * @param place where it is stored, for the error message
 * @throws FtError ERR_FT_COORDINATOR for a text that is not a state
 */
export function parseState(text: string, place: string): GroupState {
  const json = parseObject(text);
  const { epoch, primary, inSync } = json;
  const requiredBackups = json['requiredBackups'] ?? json['stable'];
  if (
    typeof epoch !== 'number' ||
    typeof primary !== 'string' ||
    !Array.isArray(inSync) ||
    typeof requiredBackups !== 'number'
  ) {
    throw new FtError(
      'ERR_FT_COORDINATOR',
      `The group's state in ${place} was not written by ft-tcp`,
      'Choose another place for it (prefix, or directory)',
    );
  }
  return { epoch, primary, inSync: inSync.map(String), requiredBackups };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
