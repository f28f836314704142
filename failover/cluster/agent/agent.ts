/**
 * One node's part in a group on several machines: which node leads, which log this node has, and
 * what its replica's process has to be. The agent decides with the messages of the other agents and
 * with the group's state (coordinator/coordinator.ts). It does no input or output itself: clock,
 * connections, coordinator and replica are handed in (host.ts), so that the simulation can run many
 * agents (test/sim/agents.ts). `step` is called every few milliseconds.
 *
 * Each role is an object of its own, as etcd's raft has a step function for each. They change like
 * this:
 *
 *                  log from the beginning
 *   ┌─────────┐ ───────────────────────────> ┌──────────┐
 *   │ joining │                              │ follower │
 *   └─────────┘ <─────────────────────────── └──────────┘
 *     │  ^   ^        copy is of no use         │    ^
 *     │  │   │                      leader lost │    │ leader found: copy is continued
 *     │  │   │                                  v    │
 *     │  │   │    copy is of no use        ┌──────────────┐
 *     │  │   └──────────────────────────── │ disconnected │
 *     │  │                                 └──────────────┘
 *     │  │ newer leader, or replica ended           │
 *     v  │                                          │
 *   ┌────────┐      lease claimed: takeover         │
 *   │ leader │ <────────────────────────────────────┘
 *   └────────┘
 *   joining to leader: the lease is claimed for a new group, or for the group that this node led
 *   last. A copy is of no use when another node leads with a newer log, or when its leader sends
 *   the log from the beginning.
 *
 *   joining       (joining.ts)       no log
 *   follower      (follower.ts)      a copy of a leader's log, which grows
 *   disconnected  (disconnected.ts)  such a copy, without the leader
 *   leader        (leader.ts)        the local replica is primary, and may send while the lease is valid
 */

import type { GroupState } from '../coordinator/coordinator.js';
import { isEnd, isFollow, isStatus, isWelcome } from '../transport/message-validation.js';
import { type AgentStatus, decodeJson, MessageType, type Refuse, type Welcome } from '../transport/messages.js';
import { Disconnected } from './disconnected.js';
import type { LeadReason } from './election.js';
import { Follower } from './follower.js';
import type { AgentHost, AgentOptions, AgentRole } from './host.js';
import { Joining } from './joining.js';
import { Leader } from './leader.js';
import { Lease } from './lease.js';
import type { LogCopy } from './log-copy.js';
import { LogReceiver } from './log-receiver.js';
import type { LogSender } from './log-sender.js';
import type { Peer } from './peers.js';
import { ReplicaSupervisor } from './replica-supervisor.js';
import type { AgentCounters, FollowedLeader, Inheritance, Role, RoleContext } from './role.js';

/** Longest time between two status messages. */
const MAX_STATUS_INTERVAL_US = 100_000;

/** The state machine of one node. Nothing in it throws because of what peers send. */
export class Agent implements RoleContext {
  readonly counters: AgentCounters = {
    takeovers: 0,
    claims: 0,
    refused: 0,
    coordinatorErrors: 0,
    badMessages: 0,
  };
  readonly peers = new Map<string, Peer>();
  readonly lease: Lease;
  readonly receiver: LogReceiver;
  readonly supervisor: ReplicaSupervisor;
  #role: Role;
  #epoch = 0;
  #statusUs = Number.NEGATIVE_INFINITY;
  #leaving = false;
  #closed = false;

  constructor(
    readonly options: AgentOptions,
    readonly host: AgentHost,
  ) {
    this.lease = new Lease(host, options.self, this.counters, () => this.step());
    this.receiver = new LogReceiver(host);
    this.supervisor = new ReplicaSupervisor(host, options.hangTimeoutMs);
    this.#role = new Joining(this);
  }

  /** The name of the present role. */
  get role(): AgentRole {
    return this.#role.name;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** The copy of another leader's log; null: there is none. */
  get copy(): LogCopy | null {
    return this.#role.copy;
  }

  /** A leader's log sender; null: this node does not lead, or its replica has no log yet. */
  get sender(): LogSender | null {
    return this.#role.sender;
  }

  // --- Events ---

  /** A connection to a peer is open, and its Hello has been checked. */
  linkUp(name: string, incarnation: string): void {
    if (this.#closed) return;
    const former = this.peers.get(name);
    this.peers.set(name, {
      incarnation,
      status: former?.incarnation === incarnation ? former.status : null,
      heardUs: this.host.clock.now(),
      up: true,
    });
    this.announceStatus();
    this.#role.peerUp();
    this.step();
  }

  /** The connection to a peer is gone. */
  linkDown(name: string): void {
    if (this.#closed) return;
    const peer = this.peers.get(name);
    if (peer !== undefined) peer.up = false;
    this.receiver.forget(name);
    this.#role.peerDown(name);
    this.step();
  }

  /**
   * A message of a connected peer. Never throws; a message that cannot be understood is counted.
   */
  message(name: string, type: MessageType, body: Buffer): void {
    const peer = this.peers.get(name);
    if (peer === undefined || this.#closed) return;
    peer.heardUs = this.host.clock.now();
    switch (type) {
      case MessageType.Data:
        this.#role.data(name, body);
        return;
      case MessageType.Publish:
        this.#role.publish(name, body);
        return;
      case MessageType.Ack:
        this.#role.ack(name, body);
        return;
      default:
        if (!this.#control(name, peer, type, body)) this.counters.badMessages++;
        this.step();
    }
  }

  /** @returns false for a message that cannot be understood. */
  #control(name: string, peer: Peer, type: MessageType, body: Buffer): boolean {
    const json = decodeJson(body);
    if (json === undefined) return false;
    switch (type) {
      case MessageType.Status:
        if (!isStatus(json)) return false;
        peer.status = json;
        this.#role.status(name, json);
        return true;
      case MessageType.Follow: {
        if (!isFollow(json)) return false;
        const message = this.#role.addFollower(name, json);
        if (message !== null)
          this.host.links.send(name, MessageType.Refuse, { code: 'ERR_FT_STATE', message } satisfies Refuse);
        return true;
      }
      case MessageType.Welcome:
        if (!isWelcome(json)) return false;
        this.#welcomed(name, json);
        return true;
      case MessageType.End:
        if (!isEnd(json)) return false;
        this.#role.end(name, json);
        return true;
      case MessageType.Leave:
        this.#role.peerLeaves(name);
        return true;
      case MessageType.Refuse:
        this.counters.refused++;
        this.#role.refused(name, json['code']);
        return true;
      default:
        return false;
    }
  }

  /** A leader sends its log: into the present copy, truncated to a position, or into a new one. */
  #welcomed(name: string, welcome: Welcome): void {
    const role = this.#role;
    if (role instanceof Leader || welcome.epoch < this.#epoch) return;
    if (!welcome.incremental) {
      const joining = role instanceof Joining ? role : new Joining(this);
      if (joining !== role) this.#enter(joining);
      joining.accept(name, welcome);
    } else if (role.copy?.truncateTo(welcome.position) === true) this.follow(name, welcome, role.copy);
    else this.discard();
  }

  /** The replica's process has ended, with an exit code or by a signal (null). */
  replicaExited(code: number | null): void {
    if (this.#closed) return;
    this.#role.replicaExited(code);
    this.step();
  }

  /** The replica has logged something, or a peer takes data again. */
  pump(): void {
    if (!this.#closed) this.#role.pump();
  }

  /** Does what is due. Called often, and after every event. */
  step(): void {
    if (this.#closed) return;
    const nowUs = this.host.clock.now();
    this.#dropSilentPeers(nowUs);
    this.supervisor.step(nowUs);
    this.#role.step(nowUs);
    this.#sendStatus(nowUs);
  }

  /** Ends this node's part. A primary switches over first, if a backup can take over. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    if (this.#role instanceof Leader && this.supervisor.isRunning) this.host.replica.terminate();
    else this.finishLeaving();
  }

  #dropSilentPeers(nowUs: number): void {
    for (const [name, peer] of this.peers)
      if (peer.up && nowUs - peer.heardUs > this.options.peerTimeoutMs * 1000) this.host.links.disconnect(name);
  }

  #sendStatus(nowUs: number): void {
    const intervalUs = Math.min(MAX_STATUS_INTERVAL_US, (this.options.peerTimeoutMs * 1000) / 5);
    if (this.#closed || nowUs - this.#statusUs < intervalUs) return;
    this.#statusUs = nowUs;
    const { copy, sender } = this;
    const status: AgentStatus = {
      role: this.role,
      epoch: this.#epoch,
      position: copy?.position ?? sender?.head ?? 0,
      ready: copy?.isReady === true && this.supervisor.isRunning,
      holdsLease: this.role === 'leader' && this.host.coordinator.leaseUntilUs > nowUs,
      state: sender?.state ?? null,
    };
    for (const [name, peer] of this.peers) if (peer.up) this.host.links.send(name, MessageType.Status, status);
  }

  // --- What the roles use (RoleContext) ---

  isCurrent(role: Role): boolean {
    return this.#role === role && !this.#closed;
  }

  join(): void {
    this.#enter(new Joining(this));
  }

  discard(): void {
    this.supervisor.stop();
    this.join();
  }

  follow(leader: string, welcome: Welcome, copy: LogCopy): void {
    const { epoch, incremental } = welcome;
    copy.epoch = epoch;
    this.#epoch = epoch;
    const incarnation = this.peers.get(leader)?.incarnation ?? '';
    const followed: FollowedLeader = { name: leader, incarnation, end: null };
    this.#enter(new Follower(this, { leader: followed, copy, incremental }));
  }

  disconnect(leader: FollowedLeader, copy: LogCopy, reason: string): void {
    this.#enter(new Disconnected(this, { leader, copy, reason }));
  }

  lead(state: GroupState, reason: LeadReason, inheritance: Inheritance | null): void {
    this.#epoch = state.epoch;
    this.#enter(new Leader(this, { state, reason, inheritance }));
  }

  finishLeaving(): void {
    for (const name of this.options.nodes) this.host.links.send(name, MessageType.Leave, {});
    this.#closed = true;
    this.supervisor.stop();
    this.lease.release(() => this.host.finished(0));
  }

  announceStatus(): void {
    this.#statusUs = Number.NEGATIVE_INFINITY;
  }

  rejectPeer(name: string): void {
    this.counters.badMessages++;
    this.host.links.disconnect(name);
  }

  #enter(role: Role): void {
    this.#role = role;
    this.announceStatus();
    this.receiver.resumeAll();
    role.enter();
  }
}
