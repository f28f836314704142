/**
 * The events that an agent reports, with their fields. docs/reference/events.md says what they mean
 * to an operator.
 */
import type { LeadReason } from './election.js';

/** Fields by event. Epochs count the group's leaders; pids are processes of this machine. */
export interface AgentEvents {
  /** The role is `joining`. */
  joining: { epoch: number };
  /** The role is `follower`; `incremental`: the copy of the log is continued. */
  follower: { epoch: number; leader: string; incremental: boolean };
  /** The role is `disconnected`. */
  disconnected: { epoch: number; leader: string; reason: string };
  /** The role is `leader`. */
  leader: { epoch: number; reason: LeadReason };
  /** On the leader: the in-sync set has changed. */
  'in-sync': { nodes: string[]; requiredBackups: number };
  /** On the leader: the primary may send again. */
  'lease-acquired': { epoch: number };
  /** On the leader: the primary may not send. */
  'lease-lost': { epoch: number };
  /** On the leader: another host claims an address of the primary. */
  'address-claimed': { epoch: number };
  /** Another node leads with a higher epoch. */
  'stepped-down': { epoch: number };
  /** The primary made no progress and is killed. */
  'primary-hung': { replicaPid: number };
  /** The backup made no progress and is killed. */
  'backup-hung': { replicaPid: number };
  /** The replica's process ended with an error or by a signal. */
  'replica-died': { code: number | null; signal: string | null };
  /** On the leader: the primary has ended; `shutdown` is a ShutdownKind. */
  'replica-exited': { code: number | null; shutdown: number };
  /** A connection to another node is open. */
  'peer-up': { peer: string };
  /** A connection to another node is gone. */
  'peer-down': { peer: string };
  /** Both nodes were not in sync since the last fence: the next one waits. */
  'fence-delayed': { peer: string; delayMs: number; fences: number };
  /** The coordinator did not answer, or with an error. */
  coordinator: { message: string };
}

/** Reports one event to the operator. */
export type EventReporter = <N extends keyof AgentEvents>(event: N, details: AgentEvents[N]) => void;
