/**
 * Role: this node has the log of a leader that it has lost. It follows the same leader again, or a
 * newer one; or it takes over, when the group's state allows it and no lease is valid.
 */
import type { AgentStatus, Follow } from '../transport/messages.js';
import { Candidate } from './candidate.js';
import { type Decision, type ElectionInput, mayLead } from './election.js';
import { backupExited, observeState } from './followed-log.js';
import type { LogCopy } from './log-copy.js';
import type { FollowedLeader, Inheritance, RoleContext } from './role.js';

/** A takeover waits for this: the state is read more often than by a node without a log. */
const READ_INTERVAL_US = 25_000;

/** How a leader was lost. */
export interface Loss {
  leader: FollowedLeader;
  /** The copy of its log. */
  copy: LogCopy;
  /** Why it was lost, for the operator. */
  reason: string;
}

/** The role of a node with a log and without a leader: etcd's raft calls it candidate. */
export class Disconnected extends Candidate {
  readonly name = 'disconnected';

  readonly leader: FollowedLeader;
  override readonly copy: LogCopy;
  readonly #reason: string;

  constructor(context: RoleContext, { leader, copy, reason }: Loss) {
    super(context, READ_INTERVAL_US);
    this.leader = leader;
    this.copy = copy;
    this.#reason = reason;
  }

  override enter(): void {
    const { host, epoch } = this.context;
    host.report('disconnected', { epoch, leader: this.leader.name, reason: this.#reason });
  }

  protected request(): Follow {
    const { copy } = this;
    return { epoch: this.context.epoch, position: copy.position, applied: copy.applied };
  }

  protected decide(input: ElectionInput): Decision {
    return mayLead(input, this.copy.position, !input.noStateStore || this.#isLeaderGone());
  }

  protected inheritance(): Inheritance {
    return { copy: this.copy, end: this.leader.end };
  }

  /** Whether the leader has said, or shows, that it sends no more. */
  #isLeaderGone(): boolean {
    const { name, incarnation, end } = this.leader;
    if (end !== null) return true;
    const peer = this.context.peers.get(name);
    if (peer?.up !== true || peer.status === null) return false;
    return peer.incarnation !== incarnation || peer.status.role !== 'leader';
  }

  override status(name: string, status: AgentStatus): void {
    observeState(this.context, this.leader, name, status);
  }

  override replicaExited(code: number | null): void {
    backupExited(this.context, this.copy, code);
  }
}
