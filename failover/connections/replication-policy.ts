/**
 * How a connection is replicated. Two means exist. Replay: a backup's program repeats the events,
 * and checksums compare what both programs write. Shipping: the log carries what the program
 * writes, closes and saves, so that a replica without that program state can take the connection
 * over (docs/guides/state-mode.md).
 */
import { Follow } from '../log/records.js';

/** One policy; `ReplicationPolicy` lists all of them, and they are compared by identity. */
export interface ReplicationPolicy {
  /** The log carries what the program writes, closes and saves. */
  readonly shipped: boolean;
  /** What the program writes is checksummed, and compared with what a backup's program writes. */
  readonly checksummed: boolean;
  /** Backups that run the program do not repeat the connection's events. */
  readonly unreplicated: boolean;
}

/** The policies there are. */
export const ReplicationPolicy = {
  /** No log: `--solo`. */
  None: { shipped: false, checksummed: false, unreplicated: false },
  /** A backup's program repeats the events. */
  Replayed: { shipped: false, checksummed: true, unreplicated: false },
  /** As Replayed; also shipped, for a backup that joined after the beginning. */
  ReplayedAndShipped: { shipped: true, checksummed: true, unreplicated: false },
  /** State mode of the whole group. */
  Shipped: { shipped: true, checksummed: false, unreplicated: false },
  /** State mode, while the program's other connections are replayed. */
  Unreplicated: { shipped: true, checksummed: false, unreplicated: true },
  /** On a backup: the program here has no part in the connection any more. */
  Detached: { shipped: false, checksummed: false, unreplicated: true },
} as const satisfies Record<string, ReplicationPolicy>;

/** The policy as the record `Opened` carries it. */
export function followOf({ shipped, checksummed, unreplicated }: ReplicationPolicy): Follow {
  if (shipped) return checksummed ? Follow.Either : Follow.State;
  return unreplicated ? Follow.Not : Follow.Replay;
}
