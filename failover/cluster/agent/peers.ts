/** What an agent knows of the other agents, and questions about who leads. */
import type { AgentStatus } from '../transport/messages.js';

/** One other node of the group, as this agent last saw it. */
export interface Peer {
  /** Drawn by the peer's agent when it starts; another value is another process. */
  incarnation: string;
  /** Its last status message; null before the first. */
  status: AgentStatus | null;
  /** Monotonic time of its last message, microseconds. */
  heardUs: number;
  /** A connection to it is open. */
  up: boolean;
}

/** All other nodes that have been connected once, by name. */
export type Peers = ReadonlyMap<string, Peer>;

/**
 * The connected leader with a valid lease and the highest epoch, from `minEpoch` on; null if there
 * is none.
 */
export function newestLeader(peers: Peers, minEpoch: number): string | null {
  let best: string | null = null;
  let epoch = minEpoch - 1;
  for (const [name, { up, status }] of peers) {
    if (up && status?.role === 'leader' && status.holdsLease && status.epoch > epoch) {
      best = name;
      epoch = status.epoch;
    }
  }
  return best;
}

/** Whether a connected node leads with an epoch above `epoch`. */
export function hasNewerLeader(peers: Peers, epoch: number): boolean {
  for (const { up, status } of peers.values()) if (up && status?.role === 'leader' && status.epoch > epoch) return true;
  return false;
}
