/** The replicas of a group on this machine, by their sockets. */
import type { Group } from '../host/group-directory.js';
import { askReplica, type ReplicaStatus } from './status.js';

/** What the replicas of a group have answered. */
export interface GroupAnswers {
  /** The primary first. */
  replicas: ReplicaStatus[];
  /** Processes that did not answer in time. */
  unresponsive: number[];
}

/** Which replicas are asked, and for how long. */
export interface AskOptions {
  /** This process knows its own status. */
  except?: number;
  timeoutMs?: number;
}

/** Asks all replicas at once, and removes the sockets of those that have ended. */
export async function askReplicas(group: Group, { except, timeoutMs }: AskOptions = {}): Promise<GroupAnswers> {
  const replicas: ReplicaStatus[] = [];
  const unresponsive: number[] = [];
  const ask = async (pid: number): Promise<void> => {
    const answer = await askReplica(group.file(`${pid}.sock`), timeoutMs);
    // A process that was killed leaves a socket that refuses; one that hangs does not answer.
    if (answer === 'gone') group.removeSockets(pid);
    else if (answer === 'unresponsive') unresponsive.push(pid);
    else replicas.push(answer);
  };
  const pids = group.replicaPids().filter((pid) => pid !== except);
  await Promise.all(pids.map(ask));
  replicas.sort(primaryFirst);
  return { replicas, unresponsive: unresponsive.sort((a, b) => a - b) };
}

/** The order of replicas in a list. */
export function primaryFirst(a: ReplicaStatus, b: ReplicaStatus): number {
  return a.role === b.role ? a.pid - b.pid : a.role === 'primary' ? -1 : 1;
}
