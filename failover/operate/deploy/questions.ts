/** What a deploy asks the replicas of its group, by their admin sockets. */
import { errorCode } from '../../../lib/errors.js';
import { adminSocketPath, sendCommand } from '../../admin/commands.js';
import { askReplicas } from '../../admin/replicas.js';
import type { ReplicaStatus } from '../../admin/status.js';
import type { MovedConnections } from '../../connections/checkpoint/moved-connections.js';
import type { Group } from '../../host/group-directory.js';
import type { Launch } from './launch.js';

/** A place where a program listens. */
export interface Listening {
  readonly address: string;
  readonly port: number;
}

/** How far a replica's program is. */
export interface ReplicaState {
  readonly role: 'primary' | 'backup';
  /** Its program is loaded. */
  readonly loaded: boolean;
  readonly listening: readonly Listening[];
  /** Backup: it follows, and has caught up. */
  readonly following: boolean;
  /** When it lost the primary before it, µs of CLOCK_MONOTONIC; 0: never. */
  readonly lostUs: number;
  /** When it had taken over, and sent its first frame, µs of CLOCK_MONOTONIC; 0: never. */
  readonly firstByteUs: number;
  /** Connections that were there at its takeover. */
  readonly connections: number;
  readonly moved: MovedConnections;
  /** How it was started; null: not by a command line that can be repeated. */
  readonly launch: Launch | null;
}

/** An answer has to come within this time, milliseconds. */
const ANSWER_MS = 2000;
const SWITCHOVER_MS = 10_000;

/** The replicas of one group. */
export class Replicas {
  constructor(readonly group: Group) {}

  ask(pid: number, command: string, timeoutMs = ANSWER_MS): Promise<object> {
    return sendCommand(
      adminSocketPath((name) => this.group.file(name), pid),
      command,
      timeoutMs,
    );
  }

  /** Throws FtError ERR_FT_UNRESPONSIVE, and what the replica answers. */
  async state(pid: number): Promise<ReplicaState> {
    return (await this.ask(pid, 'program')) as ReplicaState;
  }

  /** The same; null: it does not answer, or not yet. */
  async tryState(pid: number): Promise<ReplicaState | null> {
    try {
      return await this.state(pid);
    } catch {
      return null;
    }
  }

  /** All that answer, the primary first. */
  async all(): Promise<ReplicaStatus[]> {
    return (await askReplicas(this.group, { timeoutMs: ANSWER_MS })).replicas;
  }

  /** The process that serves; undefined: none answers. */
  async primary(): Promise<ReplicaStatus | undefined> {
    return (await this.all()).find(({ role }) => role === 'primary');
  }

  /** The standby that follows now; undefined: none does. */
  async follower(): Promise<ReplicaStatus | undefined> {
    return (await this.all()).find((status) => status.role === 'backup' && status.protected);
  }

  /**
   * Hands the group to its standby. Throws FtError with the primary's reason against it.
   * @returns when input stopped, µs of CLOCK_MONOTONIC; 0: the primary has died meanwhile
   */
  async switchover(pid: number): Promise<number> {
    try {
      return ((await this.ask(pid, 'switchover', SWITCHOVER_MS)) as { beganUs: number }).beganUs;
    } catch (error) {
      if (errorCode(error) !== 'ERR_FT_UNRESPONSIVE') throw error;
      return 0;
    }
  }
}
