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

/** Asks all replicas at once, and removes the sockets of those that have ended. */
export async function askReplicas(group: Group): Promise<GroupAnswers> {
  const replicas: ReplicaStatus[] = [];
  const unresponsive: number[] = [];
  const ask = async (pid: number): Promise<void> => {
    const answer = await askReplica(group.file(`${pid}.sock`));
    // A process that was killed leaves a socket that refuses; one that hangs does not answer.
    if (answer === 'gone') group.removeSockets(pid);
    else if (answer === 'unresponsive') unresponsive.push(pid);
    else replicas.push(answer);
  };
  await Promise.all(group.replicaPids().map(ask));
  replicas.sort((a, b) => (a.role === b.role ? a.pid - b.pid : a.role === 'primary' ? -1 : 1));
  return { replicas, unresponsive: unresponsive.sort((a, b) => a - b) };
}
