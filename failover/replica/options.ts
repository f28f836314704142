/** What a replica is configured with, and what it reports. */

import type { Replication } from '../../stack/core/endpoint.js';
import type { DivergenceReport } from '../backup/divergence-report.js';
import type { Detection, FenceProof } from '../backup/primary-watch.js';
import type { Environment } from '../host/environment.js';
import type { GroupPlace } from '../host/group-directory.js';
import type { CommitMode } from '../primary/output-gate.js';

/** `replay`: the backup runs the program; `state`: a program is given its connections back. */
export type ReplicationMode = Replication;

/** Configuration of a {@link Replica}. */
export interface ReplicaOptions {
  /** Where the group's files are. */
  group: GroupPlace;
  /** The machine, if it is not this one. */
  environment?: Environment;
  /** Name of the TAP interface, at most 15 bytes. */
  tap: string;
  /** `A.B.C.D/LEN` or `X::Y/LEN`, at least one. */
  addresses: string[];
  /** Default gateways, one per family at most. */
  gateway?: string[];
  /** Hardware address `aa:bb:cc:dd:ee:ff`; default: derived from the group's secret. */
  mac?: string;
  /** Checksum and segmentation offload, as far as the kernel grants it. */
  offload: boolean;
  /** File for a capture of all frames. */
  pcap?: string;
  /** `written`: local durability (asynchronous replication); `acked`: synchronous replication. */
  commit: CommitMode;
  /** Default `replay`. */
  mode?: ReplicationMode;
  /**
   * State mode: a backup's program is loaded and listens before the takeover (default: it is loaded
   * at the takeover).
   */
  warm?: boolean;
  /** Ports whose connections are in state mode, though the group is not. */
  statePorts?: readonly number[];
  /**
   * Ports whose connections do not depend on each other, though their servers do not say so; `all`:
   * of all servers.
   */
  independentPorts?: readonly number[] | 'all';
  /** Bytes of an independent connection's history that are kept (default 262144); 0: none. */
  historyLimit?: number;
  /**
   * A primary whose main loop makes no progress for this time is killed, milliseconds; Infinity:
   * never.
   */
  hangTimeoutMs: number;
  /**
   * State mode: a primary whose program is loaded for longer than this is killed, milliseconds
   * (default: never).
   */
  loadTimeoutMs?: number;
  /** Time to poll before the event loop sleeps, microseconds (default 0: it sleeps at once). */
  busyPollUs?: number;
  /** A thread hands frames to the device (default: none). */
  sendThread?: boolean;
  /** Size of the log, bytes; a power of two. */
  ringBytes: number;
  /** Native addons that the program may load, by the names of their packages (default none). */
  allowedAddons?: readonly string[];
  /** A divergence is reported with the bytes that differ (default true). */
  divergedBytes?: boolean;
  /** No log, no backup. */
  solo: boolean;
  /**
   * Several machines: the process of this one's agent, which grants the lease and orders a
   * takeover.
   */
  agentPid?: number;
  /** Time of the group's first event, for a replica that joins. */
  origin?: { monoUs: number; wallMs: number };
}

/** Times of a takeover, CLOCK_MONOTONIC in microseconds. */
export interface TakeoverReport {
  reason: 'death' | 'hang' | 'switchover';
  /** What showed the loss. */
  detectedBy: Detection;
  /** What proved that the old primary sends nothing more. */
  fencedBy: FenceProof;
  /** The loss was detected. */
  atMonotonicUs: number;
  /** The old primary was dead, and the group's lock held. */
  fencedUs: number;
  /** The log had been read to its end. */
  drainedUs: number;
  /** The device queue was attached. */
  attachedUs: number;
  /** The first frame left; 0: none has. */
  firstByteUs: number;
  /** Events that were replayed after the loss. */
  events: number;
  /** Connections that were taken over. */
  connections: number;
}

/** Events that a {@link Replica} emits, with their arguments. */
export interface ReplicaEvents {
  /** Primary: a backup follows, and has not caught up yet; repeated each second. */
  joining: [pid: number, lagBytes: number];
  /** Primary: a backup has caught up, and can take over at once. */
  protected: [];
  /** Primary: no backup can take over any more. */
  unprotected: [reason: string];
  /** The program uses an API that a backup cannot replay. */
  nondeterministicApi: [api: string];
  /** Primary: the program uses a kernel socket, which does not survive a takeover. */
  kernelSocket: [what: string];
  /** Primary: the program has started. Backup: it has replayed the log. */
  ready: [];
  /** This replica has taken over, and sent its first frame. */
  takeover: [report: TakeoverReport];
  /** Backup: its program is not where the primary's is. The replica has stopped. */
  diverged: [reason: string, report: DivergenceReport];
  /** Backup: an independent connection is not where it is on the primary, and is not protected. */
  replayFailed: [connection: number, reason: string];
  /** The event in which the primary died threw here, too: its connection (0: none) was reset. */
  quarantined: [connection: number, error: string];
  /** The replica cannot continue. */
  failed: [error: Error];
  /** Warm standby: the program is loaded, and the replica asks for the backup's place. */
  standingBy: [];
  /** State mode, after a takeover: the program is to be started. */
  startProgram: [];
  /** After `switchover`: this process may end, and has to. */
  switchedOver: [];
  /** After `drain`: the last connection has ended. */
  drained: [];
  /** The primary's program has nothing left to do. */
  programEnded: [];
  /** The primary has ended the group: there is nothing to take over. */
  groupEnded: [];
}
