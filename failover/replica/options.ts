/** What a replica is told, and what it tells. */

import type { Replication } from '../../stack/sockets/endpoint.js';
import type { Environment } from '../host/environment.js';
import type { GroupPlace } from '../host/group-directory.js';
import type { CommitMode } from '../primary/output-gate.js';

export type ReplicationMode = Replication;

export interface ReplicaOptions {
  group: GroupPlace;
  /** The machine, if it is not this one. */
  environment?: Environment;
  tap: string;
  /** "A.B.C.D/LEN", at least one. */
  addresses: string[];
  /** One per family at most. */
  gateway?: string[];
  mac?: string;
  offload: boolean;
  /** File for a capture of all frames. */
  pcap?: string;
  commit: CommitMode;
  /** `replay`: the backup runs the program; `state`: it gets its connections back. */
  mode?: ReplicationMode;
  /** Ports whose connections are in state mode, though the group is not. */
  statePorts?: readonly number[];
  /** Ports whose connections do not depend on each other, though their servers do not say so; `all`: of all servers. */
  independentPorts?: readonly number[] | 'all';
  /** Bytes that are kept of what an independent connection has been told; 0: nothing. */
  historyLimit?: number;
  /** A primary whose main loop stands still for so long is killed; Infinity: never. */
  hangTimeoutMs: number;
  /** The event loop looks for so long before it sleeps, microseconds (default 0: not at all). */
  busyPollUs?: number;
  /** A thread hands frames to the device (default: none). */
  sendThread?: boolean;
  ringBytes: number;
  /** No log, no backup. */
  solo: boolean;
  /** Several machines: the agent of this one, which says when a primary may speak and when a backup is to take over. */
  agentPid?: number;
  /** Time of the group's first event, for a replica that joins. */
  origin?: { monoUs: number; wallMs: number };
}

/** Times of a takeover, CLOCK_MONOTONIC in microseconds. */
export interface TakeoverReport {
  reason: 'death' | 'hang' | 'switchover';
  atMonotonicUs: number;
  fencedUs: number;
  drainedUs: number;
  attachedUs: number;
  firstByteUs: number;
  events: number;
  connections: number;
}

export interface ReplicaEvents {
  protected: [];
  unprotected: [reason: string];
  undeclared: [what: string];
  ready: [];
  takeover: [report: TakeoverReport];
  diverged: [reason: string];
  /** Backup: an independent connection is not where it is on the primary, and is not protected. */
  unrepeated: [connection: number, why: string];
  /** The event in which the primary died threw here, too: its connection (0: none) was reset. */
  quarantined: [connection: number, error: string];
  failed: [error: Error];
  /** State mode, after a takeover: the program is to be started. */
  program: [];
  /** After `switchover`: this process may end, and has to. */
  handed: [];
  /** After `drain`: the last connection is over. */
  drained: [];
  /** The primary has ended the group: there is nothing to take over. */
  over: [];
}
