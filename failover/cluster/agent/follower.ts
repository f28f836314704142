/** Role: this node copies a leader's log, and its replica follows that copy as a backup. */
import { LeaderLost, ShutdownKind, Word } from '../../log/ring-header.js';
import type { AgentStatus, End } from '../transport/messages.js';
import { backupExited, observeState } from './followed-log.js';
import type { LogCopy } from './log-copy.js';
import { hasNewerLeader } from './peers.js';
import { type FollowedLeader, Role, type RoleContext } from './role.js';

/** What a follower begins with. */
export interface Following {
  leader: FollowedLeader;
  /** The copy of its log. */
  copy: LogCopy;
  /** The copy was there before, and is continued. */
  incremental: boolean;
}

/** The role of a node that copies a leader's log. */
export class Follower extends Role {
  readonly name = 'follower';

  readonly leader: FollowedLeader;
  override readonly copy: LogCopy;
  readonly #incremental: boolean;

  constructor(context: RoleContext, { leader, copy, incremental }: Following) {
    super(context);
    this.leader = leader;
    this.copy = copy;
    this.#incremental = incremental;
  }

  override enter(): void {
    const { context, copy, leader } = this;
    context.host.report('follower', { epoch: context.epoch, leader: leader.name, incremental: this.#incremental });
    context.receiver.acknowledge(leader.name, context.epoch, copy.position);
  }

  step(): void {
    const { context, copy } = this;
    const { supervisor } = context;
    if (copy.admitReader()) context.host.replica.wake('backup');
    if (copy.isReady) supervisor.markReady();
    supervisor.watchBackup(copy, copy.hasUnread);
    const reason = this.#lossReason();
    if (reason === null) this.#resumeReading();
    else this.#disconnect(reason);
  }

  /** Why the leader cannot be followed any more; null: it can. */
  #lossReason(): string | null {
    const { peers, epoch } = this.context;
    const leader = peers.get(this.leader.name);
    if (leader?.up !== true) return 'no connection to the leader';
    const { status } = leader;
    if (status !== null && status.role !== 'leader') return 'it is no longer the leader';
    if (status !== null && status.epoch > epoch) return 'it leads with a new epoch';
    if (status !== null && !status.holdsLease) return 'its lease has expired';
    return hasNewerLeader(peers, epoch) ? 'there is a newer leader' : null;
  }

  /** Reads from the leader again when the copy has room. */
  #resumeReading(): void {
    const { receiver, peers, host } = this.context;
    const { name } = this.leader;
    if (!receiver.isPaused(name)) return;
    // A leader that is not read from cannot be heard.
    const peer = peers.get(name);
    if (peer !== undefined) peer.heardUs = host.clock.now();
    receiver.resumeIfRoom(this.copy, name);
  }

  #disconnect(reason: string): void {
    this.context.disconnect(this.leader, this.copy, reason);
  }

  override peerDown(name: string): void {
    if (name === this.leader.name) this.#disconnect('no connection to the leader');
  }

  override data(name: string, body: Buffer): void {
    if (name !== this.leader.name) return;
    if (!this.context.receiver.append(this.copy, name, body)) this.context.rejectPeer(name);
  }

  override publish(name: string, body: Buffer): void {
    if (name !== this.leader.name) return;
    const { receiver, epoch } = this.context;
    if (!receiver.publish(this.copy, name, epoch, body)) this.context.rejectPeer(name);
  }

  override status(name: string, status: AgentStatus): void {
    observeState(this.context, this.leader, name, status);
  }

  override end(name: string, end: End): void {
    if (name !== this.leader.name || end.epoch !== this.context.epoch) return;
    this.leader.end = end;
    if (end.shutdown === ShutdownKind.GroupEnd) {
      const { ring } = this.copy;
      ring.store(Word.shutdown, ShutdownKind.GroupEnd);
      ring.store(Word.leaderLost, LeaderLost.Ended);
      this.context.host.replica.wake('backup');
    } else
      this.#disconnect(end.shutdown === ShutdownKind.Switchover ? 'it has switched over' : 'its process has ended');
  }

  override refused(name: string, code: unknown): void {
    if (name !== this.leader.name) return;
    if (code === 'ERR_FT_DROPPED') this.context.discard();
    else if (code === 'ERR_FT_NOT_FED') this.#disconnect('it does not send its log');
  }

  override replicaExited(code: number | null): void {
    backupExited(this.context, this.copy, code);
  }
}
