/**
 * What the four roles of an agent have in common: the events that they react to, and what the agent
 * offers them. A role is an object; the agent replaces it when the role changes (agent.ts). Roles
 * do not know each other.
 */
import type { GroupState } from '../coordinator/coordinator.js';
import type { AgentStatus, End, Follow, Welcome } from '../transport/messages.js';
import type { LeadReason } from './election.js';
import type { AgentHost, AgentOptions, AgentRole } from './host.js';
import type { Lease } from './lease.js';
import type { LogCopy } from './log-copy.js';
import type { LogReceiver } from './log-receiver.js';
import type { LogSender } from './log-sender.js';
import type { Peers } from './peers.js';
import type { ReplicaSupervisor } from './replica-supervisor.js';

/** Counters of an agent, as `ft-tcp status` shows them. */
export interface AgentCounters {
  /** Times that this node became leader with another leader's log. */
  takeovers: number;
  /** Attempts to become leader. */
  claims: number;
  /** Refusals that peers sent. */
  refused: number;
  /** Requests that the coordinator did not answer. */
  coordinatorErrors: number;
  /** Messages that could not be understood. */
  badMessages: number;
}

/** A leader whose log this node copies, or copied. */
export interface FollowedLeader {
  /** The leader's node. */
  name: string;
  /** Its agent's incarnation when it was followed first. */
  incarnation: string;
  /** How its replica ended, when it said so. */
  end: End | null;
}

/** A log that a new leader takes over. */
export interface Inheritance {
  /** The copy of the former leader's log. */
  copy: LogCopy;
  /** How the former leader's replica ended; null: it did not say so. */
  end: End | null;
}

/** What the agent offers its roles: shared parts, and the transitions between roles. */
export interface RoleContext {
  readonly options: AgentOptions;
  readonly host: AgentHost;
  readonly counters: AgentCounters;
  readonly peers: Peers;
  readonly lease: Lease;
  readonly receiver: LogReceiver;
  readonly supervisor: ReplicaSupervisor;
  /** Epoch of the leader that this node is, or whose log it has or had; 0: none yet. */
  readonly epoch: number;
  /** The node is being shut down. */
  readonly leaving: boolean;
  /** Whether `role` has not been replaced. */
  isCurrent(role: Role): boolean;
  /** Transition: this node has no log that is of use. */
  join(): void;
  /** Transition: as `join`, and the replica's process is killed. */
  discard(): void;
  /** Transition: `leader` sends its log, which goes into `copy`. */
  follow(leader: string, welcome: Welcome, copy: LogCopy): void;
  /** Transition: the leader is lost. */
  disconnect(leader: FollowedLeader, copy: LogCopy, reason: string): void;
  /** Transition: this node leads, with the former leader's log or without one. */
  lead(state: GroupState, reason: LeadReason, inheritance: Inheritance | null): void;
  /** Says goodbye to all peers, gives the lease back and ends the agent. */
  finishLeaving(): void;
  /** Sends this node's status to all peers with the next step. */
  announceStatus(): void;
  /** Ends the connection to a peer whose messages make no sense. */
  rejectPeer(name: string): void;
}

/** One of the four roles. Events that a role does not override do not concern it. */
export abstract class Role {
  /** As shown in events and status. */
  abstract readonly name: AgentRole;
  /** The local copy of another node's log; null: there is none. */
  readonly copy: LogCopy | null = null;
  /** Sends the local replica's log; null: this node does not lead, or its replica is not ready. */
  readonly sender: LogSender | null = null;

  constructor(readonly context: RoleContext) {}

  /** The role begins, and reports it. */
  abstract enter(): void;

  /** Time has passed, or something has happened. */
  abstract step(nowUs: number): void;

  /** A connection to a peer is open. */
  peerUp(): void {}

  /** The connection to a peer is gone. */
  peerDown(_name: string): void {}

  /** A chunk of a leader's log. */
  data(_name: string, _body: Buffer): void {}

  /** A new end of a leader's log. */
  publish(_name: string, _body: Buffer): void {}

  /** A backup holds the log up to here. */
  ack(_name: string, _body: Buffer): void {}

  /** A peer's status. */
  status(_name: string, _status: AgentStatus): void {}

  /** A backup asks for the log. @returns why it does not get it; null: it does. */
  addFollower(_name: string, _follow: Follow): string | null {
    return 'this node does not lead';
  }

  /** A leader's replica has ended. */
  end(_name: string, _end: End): void {}

  /** A peer shuts down. */
  peerLeaves(_name: string): void {}

  /** A leader refuses to send its log, with an error code. */
  refused(_name: string, _code: unknown): void {}

  /** The local replica's process has ended. */
  replicaExited(_code: number | null): void {}

  /** The local replica has written to its log. */
  pump(): void {}
}
