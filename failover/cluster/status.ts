/** What an agent says of itself: one JSON object to whoever connects to its socket in the group's directory. */
import net from 'node:net';

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
export function askAgent(path: string): Promise<ClusterStatus | null> {
  return new Promise((done) => {
    let text = '';
    const socket = net.connect(path);
    const patience = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on('data', (part: Buffer) => {
      text += part.toString();
      if (text.length > MAX_ANSWER) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(patience);
      try {
        done(JSON.parse(text) as ClusterStatus);
      } catch {
        done(null);
      }
    });
  });
}
