/** What an agent says of itself: one JSON object to whoever connects to its socket in the group's directory. */
import { askAt } from '../../host/unix-socket.js';

export const CLUSTER_STATUS = 'agent.status';
const MAX_ANSWER = 64 * 1024;
const PATIENCE_MS = 2000;

export interface ClusterStatus {
  node: string;
  pid: number;
  role: string;
  epoch: number;
  /** The leader's: nodes that could go on, itself among them. */
  inSync: string[] | null;
  /** Backups that have to hold what output depends on. */
  stable: number | null;
  /** How long its primary may speak without asking again; null: for good; 0: it may not. */
  speaksForMs: number | null;
  peers: Record<string, { up: boolean; role: string | null; epoch: number; ready: boolean; lagBytes: number | null }>;
  counters: Record<string, Record<string, number>>;
}

/** Asks the agent of this machine. Null when there is none. Takes 2 seconds at most. */
export async function askAgent(path: string): Promise<ClusterStatus | null> {
  const reply = await askAt(path, PATIENCE_MS, MAX_ANSWER);
  return typeof reply === 'string' ? null : (reply.json as ClusterStatus);
}
