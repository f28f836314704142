/**
 * Role: the local replica is the primary. The role passes through four phases:
 *
 *   promoting  the replica takes over with the former leader's log (`copy` is set)
 *   starting   the replica starts with a log of its own
 *   serving    the replica's log goes to the other nodes (`sender` is set)
 *   draining   the replica has ended; the rest of its log is sent, then the lease is given back
 */
import { bootTime } from '../../../lib/clock.js';
import type { Ring } from '../../log/ring.js';
import { LeaderLost, ShutdownKind, Word } from '../../log/ring-header.js';
import type { GroupState } from '../coordinator/coordinator.js';
import { type AgentStatus, type End, type Follow, MessageType } from '../transport/messages.js';
import type { LeadReason } from './election.js';
import type { LogCopy } from './log-copy.js';
import { LogSender } from './log-sender.js';
import { hasNewerLeader } from './peers.js';
import { type Inheritance, Role, type RoleContext } from './role.js';

/**
 * After a takeover or a new connection to a peer, neighbours are told again where the addresses
 * are.
 */
const ANNOUNCE_AFTER_US = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
/** The rest of the log is sent for this long at most. */
const MAX_DRAIN_US = 2_000_000;
/** Replicas that may die while they take over. */
const MAX_TAKEOVER_FAILURES = 3;

/** What a new leader begins with. */
export interface LeaderStart {
  /** The group's state that the lease was claimed with. */
  state: GroupState;
  reason: LeadReason;
  /** The former leader's log; null: the replica starts with its own. */
  inheritance: Inheritance | null;
}

/** The role of the node that has the lease. */
export class Leader extends Role {
  readonly name = 'leader';
  override copy: LogCopy | null;
  override sender: LogSender | null = null;
  readonly #start: LeaderStart;
  /**
   * End of the inherited log, at which copies of the former epoch are truncated; null: there are
   * none.
   */
  #takeoverPosition: number | null = null;
  #isSenderExpected = true;
  #announceAtUs: number[] = [];
  /** Since when the log is drained; null: it is not. */
  #drainSinceUs: number | null = null;
  #wasHung = false;
  #takeoverFailures = 0;

  constructor(context: RoleContext, start: LeaderStart) {
    super(context);
    this.#start = start;
    this.copy = start.inheritance?.copy ?? null;
  }

  override enter(): void {
    const { reason, inheritance } = this.#start;
    const { lease, host, supervisor, epoch } = this.context;
    host.report('leader', { epoch, reason });
    this.#scheduleAnnouncements();
    lease.acquired();
    if (inheritance !== null) this.#promote(inheritance);
    else {
      if (reason === 'new-group') host.replica.clear();
      supervisor.start('primary');
    }
  }

  /** Lets the replica take over, which has followed the former leader's log. */
  #promote({ copy, end }: Inheritance): void {
    const { context } = this;
    const { ring } = copy;
    context.counters.takeovers++;
    context.lease.publish(ring, context.epoch);
    this.#takeoverPosition = ring.load(Word.eventEnd) >>> 0;
    const isSwitchover = end?.shutdown === ShutdownKind.Switchover && end.position === copy.position;
    ring.words[Word.shutdown] = isSwitchover ? ShutdownKind.Switchover : ShutdownKind.None;
    ring.store(Word.leaderLost, end?.hung === true ? LeaderLost.Hung : LeaderLost.Ended);
    copy.admitReader();
    context.host.replica.wake('backup');
  }

  step(nowUs: number): void {
    const { context } = this;
    if (hasNewerLeader(context.peers, context.epoch)) {
      this.#stepDown();
      return;
    }
    if (this.#drainSinceUs !== null) {
      this.#drain(nowUs, this.#drainSinceUs);
      return;
    }
    this.#openLog();
    const ring = this.sender?.ring ?? this.copy?.ring;
    if (ring !== undefined) context.lease.publish(ring, context.epoch);
    context.lease.keep({
      epoch: context.epoch,
      isLeading: () => context.isCurrent(this),
      onLost: () => this.#stepDown(),
    });
    if (this.sender !== null) this.#serve(nowUs, this.sender);
  }

  // --- Starting and promoting ---

  /** Finds the log of a replica that has become primary, and begins to send it. */
  #openLog(): void {
    if (!this.#isSenderExpected) return;
    const { context } = this;
    const ring = this.copy === null ? this.#ownLog() : this.#promotedLog(this.copy);
    if (ring === null) return;
    this.copy = null;
    this.#isSenderExpected = false;
    context.supervisor.resetStall();
    const { links, replica, clock, LogSender: Sender = LogSender } = context.host;
    this.sender = new Sender(
      ring,
      {
        self: context.options.self,
        state: this.#start.state,
        takeoverPosition: this.#takeoverPosition,
        requiredBackups: context.options.requiredBackups,
      },
      {
        send: (peer, type, body) => links.send(peer, type, body),
        sendData: (peer, position, bytes) => links.sendData(peer, position, bytes),
        isWritable: (peer) => links.isWritable(peer),
        wake: () => replica.wake('primary'),
        clock,
        welcome: () => ({ secret: Buffer.from(ring.secret).toString('hex'), snapshot: replica.snapshot() }),
      },
    );
    // From here on the replica rings this agent as a primary rings its backup.
    replica.wake('primary');
  }

  #ownLog(): Ring | null {
    const { replica } = this.context.host;
    return replica.pid === 0 ? null : replica.openLog();
  }

  /** A replica that was a backup is primary when the log's header says so. */
  #promotedLog(copy: LogCopy): Ring | null {
    const { supervisor, host } = this.context;
    copy.admitReader();
    supervisor.watchBackup(copy, true);
    return copy.ring.writerPid === host.replica.pid && supervisor.isRunning ? copy.ring : null;
  }

  // --- Serving ---

  #serve(nowUs: number, sender: LogSender): void {
    this.pump();
    this.#watchReplica(nowUs, sender.ring);
    this.#announce(nowUs, sender.ring);
    this.#updateState(nowUs, sender);
  }

  override pump(): void {
    const { sender } = this;
    if (sender === null) return;
    sender.ring.store(Word.readerSleeping, 1);
    sender.pump(this.context.host.clock.now());
    sender.updateCommit();
  }

  /** A hang is a main loop without progress, seen from outside. */
  #watchReplica(nowUs: number, ring: Ring): void {
    const { supervisor } = this.context;
    const isReady = ring.load(Word.ready) === 1;
    if (isReady) supervisor.markReady();
    if (supervisor.watchPrimary(nowUs, ring.load(Word.heartbeat), !isReady)) this.#wasHung = true;
  }

  #scheduleAnnouncements(): void {
    const nowUs = this.context.host.clock.now();
    this.#announceAtUs = ANNOUNCE_AFTER_US.map((us) => nowUs + us);
  }

  #announce(nowUs: number, ring: Ring): void {
    const [next] = this.#announceAtUs;
    if (next === undefined || nowUs < next) return;
    this.#announceAtUs.shift();
    ring.store(Word.announceCount, (ring.load(Word.announceCount) + 1) | 0);
  }

  /** Changes the group's state when other nodes should be in sync. */
  #updateState(nowUs: number, sender: LogSender): void {
    const { context } = this;
    const { lease, host } = context;
    const proposal = lease.isBusy ? null : sender.proposal();
    if (
      proposal === null ||
      bootTime(host.clock) > host.coordinator.leaseUntilUs ||
      this.#isTooSoon(nowUs, sender, proposal)
    )
      return;
    sender.propose(proposal);
    lease.ask(host.coordinator.update(proposal, [...sender.departed]), (isDone) => {
      if (this.sender !== sender || !context.isCurrent(this)) return;
      if (!isDone) {
        sender.proposalRejected();
        return;
      }
      sender.adopt(proposal);
      context.announceStatus();
      const { inSync, requiredBackups } = proposal;
      host.report('in-sync', { nodes: inSync, requiredBackups });
    });
  }

  /**
   * Without a state store a removed backup is fenced: not for a connection that broke a moment ago.
   */
  #isTooSoon(nowUs: number, sender: LogSender, proposal: GroupState): boolean {
    const { options, peers } = this.context;
    if (!options.noStateStore) return false;
    return sender.state.inSync.some((name) => {
      if (proposal.inSync.includes(name) || sender.departed.has(name)) return false;
      return nowUs - (peers.get(name)?.heardUs ?? 0) < 2 * options.peerTimeoutMs * 1000;
    });
  }

  override peerUp(): void {
    // A network that was split may be whole again: neighbours that learned another address are
    // told.
    this.#scheduleAnnouncements();
  }

  override peerDown(name: string): void {
    this.sender?.peerDown(name);
  }

  override peerLeaves(name: string): void {
    this.sender?.departed.add(name);
    this.sender?.peerDown(name);
  }

  override ack(name: string, body: Buffer): void {
    if (body.length === 8 && body.readUInt32LE(4) === this.context.epoch) this.sender?.ack(name, body.readUInt32LE(0));
  }

  override status(name: string, status: AgentStatus): void {
    this.sender?.peerStatus(name, status);
  }

  override addFollower(name: string, follow: Follow): string | null {
    return this.sender === null ? 'the log is not ready' : this.sender.addFollower(name, follow);
  }

  // --- The end ---

  override replicaExited(code: number | null): void {
    const { sender, context } = this;
    const { host, supervisor } = context;
    const shutdown = sender?.ring.load(Word.shutdown) ?? ShutdownKind.None;
    host.report('replica-exited', { code, shutdown });
    const hasStarted = sender !== null || this.copy !== null || supervisor.everReady;
    if (!hasStarted && code !== null && code !== 0) host.finished(code);
    else if (sender !== null && (sender.isProtecting || shutdown === ShutdownKind.GroupEnd))
      this.#drainSinceUs = host.clock.now();
    else if (context.leaving) context.finishLeaving();
    // No other node can take over: the local log may have everything.
    else this.#retry();
  }

  /** A takeover is tried again; a log that was led already is resumed with another epoch. */
  #retry(): void {
    const { supervisor, lease } = this.context;
    const isResumable = this.sender === null && this.copy?.detachReader() === true;
    if (isResumable && ++this.#takeoverFailures < MAX_TAKEOVER_FAILURES) supervisor.restart();
    else {
      lease.giveUp();
      this.context.join();
    }
  }

  /** Sends what the replica has logged to the backups, then gives the lease back. */
  #drain(nowUs: number, sinceUs: number): void {
    const { sender, context } = this;
    if (sender === null) return;
    sender.pump(nowUs);
    if (context.lease.isBusy || (!sender.isDrained && nowUs - sinceUs < MAX_DRAIN_US)) return;
    const shutdown = sender.ring.load(Word.shutdown);
    const end: End = { epoch: context.epoch, position: sender.head, shutdown, hung: this.#wasHung };
    context.lease.release(() => {
      for (const peer of sender.followers.keys()) context.host.links.send(peer, MessageType.End, end);
      this.sender = null;
      if (shutdown === ShutdownKind.GroupEnd) context.host.finished(0);
      else if (context.leaving) context.finishLeaving();
      else if (context.isCurrent(this)) context.join();
    });
  }

  /** Another node leads with a higher epoch. */
  #stepDown(): void {
    const { context } = this;
    if (!context.isCurrent(this)) return;
    context.host.report('stepped-down', { epoch: context.epoch });
    this.sender = null;
    context.discard();
  }
}
