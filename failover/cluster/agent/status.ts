/**
 * What an agent says of itself: one JSON object to each client of its socket in the group's
 * directory.
 */
import { askAt } from '../../host/unix-socket.js';

/** Name of the socket. */
export const CLUSTER_STATUS_SOCKET = 'agent.status';
const MAX_ANSWER_BYTES = 64 * 1024;
const TIMEOUT_MS = 2000;

/** A peer, as the agent sees it. */
export interface PeerStatus {
  /** There is a connection to it. */
  up: boolean;
  /** Its role; null: it has not said so yet. */
  role: string | null;
  /** Its epoch. */
  epoch: number;
  /** Its replica can take over. */
  ready: boolean;
  /** A leader's: bytes of the log that the peer does not hold; null: it does not follow. */
  lagBytes: number | null;
}

/** The `cluster` part of `ft-tcp status --json`. */
export interface ClusterStatus {
  /** This node. */
  node: string;
  /** Of the agent. */
  pid: number;
  /** joining, follower, disconnected or leader. */
  role: string;
  /** Of the leader that this node is, or whose log it has. */
  epoch: number;
  /** A leader's: nodes that may take over, itself among them. */
  inSync: string[] | null;
  /** A leader's: backups that must hold what output depends on. */
  requiredBackups: number | null;
  /**
   * How long the primary may send without renewing its lease, in ms; null: without limit; 0: it may
   * not send.
   */
  leaseRemainingMs: number | null;
  /** The other nodes, by name. */
  peers: Record<string, PeerStatus>;
  /** Counters of the agent, its connections and its log sender. */
  counters: Record<string, Record<string, number>>;
}

/** Asks the agent of this machine; null: none answers in time. @param timeoutMs 2 seconds */
export async function askAgent(path: string, timeoutMs = TIMEOUT_MS): Promise<ClusterStatus | null> {
  const reply = await askAt(path, timeoutMs, MAX_ANSWER_BYTES);
  return typeof reply === 'string' ? null : (reply.json as ClusterStatus);
}
