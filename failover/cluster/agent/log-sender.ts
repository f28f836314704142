/**
 * Log shipping, the leader's side: sends the primary's log to the other nodes, and computes the
 * commit position.
 *
 * Output may leave when it depends on nothing behind the commit position: what the required number
 * of in-sync backups hold (in-sync-set.ts). A new in-sync set is proposed only when it holds
 * everything that was released, i.e. that output may have depended on. While no backup is in sync
 * output leaves at once; the replica's main loop has to pass twice before it is known that it
 * waits, and up to where it did not.
 */
import type { Clock } from '../../../lib/clock.js';
import type { Ring } from '../../log/ring.js';
import { Word } from '../../log/ring-header.js';
import type { GroupState } from '../coordinator/coordinator.js';
import {
  type AgentStatus,
  encodePublish,
  type Follow,
  MAX_CHUNK_BYTES,
  MessageType,
  type Publish,
  PublishFlag,
  type Welcome,
} from '../transport/messages.js';
import { type FollowerProgress, InSyncSet, jointPosition, quorumPosition } from './in-sync-set.js';
import { bytesBetween } from './log-copy.js';

/** Part of the log that a new follower may be behind. */
const MAX_BACKLOG = 0.6;
/** A follower that is not in sync is dropped when less than this part of the log is free. */
const MIN_FREE = 0.3;
/** Publish messages are repeated after this time, for the header words in them. */
const PUBLISH_INTERVAL_US = 50_000;
/** Passes of the replica's main loop until it has seen a change of the log's header for certain. */
const GATE_PASSES = 2;

/** What a log sender needs of its agent. */
export interface LogSenderHost {
  /** Sends a message. @returns false when the peer takes none now. */
  send(peer: string, type: MessageType, body: Uint8Array | object): boolean;
  /** Sends a chunk of the log. @returns false when the peer takes none now. */
  sendData(peer: string, position: number, bytes: Uint8Array): boolean;
  /** Whether the peer would take a chunk now. */
  isWritable(peer: string): boolean;
  /** Wakes the replica. */
  wake(): void;
  readonly clock: Clock;
  /** What a new follower needs beside the log. */
  welcome(): Pick<Welcome, 'secret' | 'snapshot'>;
}

/** What a log sender begins with. */
export interface LogSenderOptions {
  /** This node. */
  self: string;
  /** The group's state that the lease was claimed with. */
  state: GroupState;
  /**
   * End of the log that this epoch began with, in units: copies of the former epoch are truncated
   * there. Null: none.
   */
  takeoverPosition: number | null;
  /** Backups that shall hold what output depends on; Infinity: all that are in sync. */
  requiredBackups: number;
}

/** A node that gets the log. Positions in units. */
interface Follower extends FollowerProgress {
  /** End of what has been sent. */
  sent: number;
  /** End of what is being sent, to be published when it has been. */
  target: number;
  /** End of the last event, to be published with `target`. */
  eventEnd: number;
  /** The last published end; -1: `target` has not been published. */
  published: number;
  publishedUs: number;
  /** Its copy does not begin at the start of the log. */
  partial: boolean;
}

/** Sends one log to all followers; the receiving side is LogReceiver. */
export class LogSender {
  readonly counters = { messages: 0, bytes: 0, joined: 0, refused: 0 };
  readonly followers = new Map<string, Follower>();
  /** Nodes that shut down, by their own account: they will not take over. */
  readonly departed = new Set<string>();
  readonly #options: LogSenderOptions;
  readonly #inSync: InSyncSet;
  /** A copy that ends before this cannot be continued. Units. */
  #base: number;
  /** Followers that wait for a snapshot in the log. */
  readonly #awaitingSnapshot = new Set<string>();
  /** The replica's heartbeat when output began to wait for backups; null: it does not wait. */
  #gatedAt: number | null = null;
  /** End of everything that output may have depended on. Units. */
  #released: number;
  /**
   * End of the log when everything that left without waiting had been logged; null: not known yet.
   * Units.
   */
  #ungatedEnd: number | null = null;

  constructor(
    readonly ring: Ring,
    options: LogSenderOptions,
    readonly host: LogSenderHost,
  ) {
    this.#options = options;
    this.#inSync = new InSyncSet(options.self, options.state, options.requiredBackups);
    const { head } = this;
    this.#released = head;
    if (ring.load(Word.truncated) === 0) this.#base = 0;
    else {
      // A copy that began in the middle has nothing from before.
      const begun = ring.load(Word.startAt) >>> 0;
      const kept = (head - (ring.size * MAX_BACKLOG) / 8) >>> 0;
      this.#base = bytesBetween(kept, begun) > 0 ? begun : kept;
    }
  }

  /** Published end of the log, units. */
  get head(): number {
    return this.ring.load(Word.head) >>> 0;
  }

  /** The group's state that is known to be in force. */
  get state(): GroupState {
    return this.#inSync.state;
  }

  /**
   * Bytes of the log that a follower does not hold; null: it does not follow, or has not answered.
   */
  lagOf(peer: string): number | null {
    const acked = this.#acked(peer);
    return acked === null ? null : bytesBetween(acked, this.head);
  }

  // --- Followers ---

  /** A node asks for the log. @returns why it does not get it; null: it does. */
  addFollower(peer: string, follow: Follow): string | null {
    const { ring } = this;
    if (ring.load(Word.ready) === 0 && this.head === 0) return 'the program has not started';
    this.departed.delete(peer);
    const common = this.#commonEnd(follow);
    if (common !== null) {
      this.#begin(peer, common, { incremental: true, partial: this.followers.get(peer)?.partial === true });
      return null;
    }
    if (this.#inSync.mayContain(peer)) {
      // It has lost what it held: the group's state has to say so first.
      this.#forget(peer);
      return 'its copy is lost';
    }
    if (ring.load(Word.truncated) === 0 && this.head * 8 <= ring.size * MAX_BACKLOG) {
      ring.store(Word.tail, 0);
      // The writer may have given the beginning up before it saw that.
      if (ring.load(Word.truncated) === 0) {
        this.#begin(peer, 0, { incremental: false, partial: false });
        return null;
      }
    }
    this.#requestSnapshot(peer);
    return null;
  }

  /**
   * Where this node's log and the follower's copy part, if the copy can be continued from there;
   * otherwise null.
   */
  #commonEnd({ epoch, position, applied }: Follow): number | null {
    const { ring, head } = this;
    const current = this.state.epoch;
    // What a copy has beyond that end is not the group's. It can be removed if its replica has not
    // applied it.
    let end: number | null = null;
    if (epoch === current) end = head;
    else if (epoch > 0 && epoch === current - 1) end = this.#options.takeoverPosition;
    if (end === null) return null;
    const common = (bytesBetween(position, end) < 0 ? end : position) >>> 0;
    if (bytesBetween(applied, common) < 0 || bytesBetween(common, head) > ring.size * MAX_BACKLOG) return null;
    return ring.load(Word.truncated) === 0 || bytesBetween(this.#base, common) >= 0 ? common : null;
  }

  #requestSnapshot(peer: string): void {
    const { ring } = this;
    this.followers.delete(peer);
    if (this.#awaitingSnapshot.size === 0)
      ring.store(Word.snapshotsRequested, (ring.load(Word.snapshotsRequested) + 1) | 0);
    this.#awaitingSnapshot.add(peer);
    this.host.wake();
  }

  /** A follower holds the log up to a position. */
  ack(peer: string, position: number): void {
    const follower = this.followers.get(peer);
    if (follower === undefined || bytesBetween(position, follower.sent) < 0) return;
    if (follower.acked === null) this.counters.joined++;
    follower.acked = position;
    this.updateCommit();
  }

  /** A peer's status: whether it follows, and whether its replica is ready. */
  peerStatus(peer: string, status: AgentStatus): void {
    const follower = this.followers.get(peer);
    const isFollowing = status.role === 'follower' && status.epoch === this.state.epoch;
    if (follower !== undefined) follower.ready = status.ready && isFollowing;
    // It expects the log, but has been dropped without hearing of it.
    if (isFollowing && follower?.up !== true && !this.#awaitingSnapshot.has(peer))
      this.#refuse(peer, 'ERR_FT_NOT_FED', 'ask again');
  }

  /** The connection to a peer is gone. */
  peerDown(peer: string): void {
    this.#awaitingSnapshot.delete(peer);
    this.#forget(peer);
  }

  #refuse(peer: string, code: string, message: string): void {
    this.host.send(peer, MessageType.Refuse, { code, message });
  }

  /**
   * Sends no more to a follower. If it may be in sync, what it holds counts until the group's state
   * says otherwise.
   */
  #forget(peer: string): void {
    const follower = this.followers.get(peer);
    if (follower === undefined) return;
    if (this.#inSync.mayContain(peer)) {
      follower.up = false;
      follower.ready = false;
    } else this.followers.delete(peer);
  }

  #begin(peer: string, position: number, { incremental, partial }: { incremental: boolean; partial: boolean }): void {
    const { ring } = this;
    const before = this.followers.get(peer);
    const follower: Follower = {
      peer,
      sent: position,
      target: position,
      eventEnd: position,
      published: -1,
      publishedUs: 0,
      // A node in sync holds at least what it held.
      acked: before !== undefined && this.#inSync.mayContain(peer) ? before.acked : null,
      ready: false,
      partial,
      up: true,
    };
    this.followers.set(peer, follower);
    this.#updateTail();
    // It may have been dropped at once, as too far behind.
    if (this.followers.get(peer) !== follower) return;
    const welcome: Welcome = {
      epoch: this.state.epoch,
      incremental,
      position,
      truncated: position !== 0,
      logEpoch: ring.load(Word.epoch),
      ...this.host.welcome(),
      ...this.#groupTime(),
    };
    this.host.send(peer, MessageType.Welcome, welcome);
  }

  // --- Sending ---

  /** Sends what there is to send. */
  pump(nowUs: number): void {
    if (this.#awaitingSnapshot.size > 0) this.#admitAfterSnapshot();
    for (const follower of this.followers.values())
      if (follower.up && follower.acked !== null) this.#sendTo(follower, nowUs);
  }

  /** Followers that waited for a snapshot begin with it. */
  #admitAfterSnapshot(): void {
    const { ring } = this;
    if (ring.load(Word.snapshotsCompleted) !== ring.load(Word.snapshotsRequested)) return;
    const from = ring.load(Word.startAt) >>> 0;
    if (bytesBetween(this.#base, from) < 0 || this.followers.size === 0) this.#base = from;
    const peers = [...this.#awaitingSnapshot];
    this.#awaitingSnapshot.clear();
    for (const peer of peers) this.#begin(peer, from, { incremental: false, partial: true });
  }

  #sendTo(follower: Follower, nowUs: number): void {
    const { host } = this;
    for (;;) {
      if (follower.sent === follower.target) {
        if (!this.#publishTo(follower, nowUs) || !this.#nextTarget(follower)) return;
        if (follower.sent === follower.target) continue;
      }
      if (!host.isWritable(follower.peer) || !this.#sendChunk(follower)) return;
    }
  }

  /**
   * Publishes what has been sent, if it has not been or not lately. @returns false when the peer
   * takes no message.
   */
  #publishTo(follower: Follower, nowUs: number): boolean {
    const { target } = follower;
    if (follower.published === target && nowUs - follower.publishedUs <= PUBLISH_INTERVAL_US) return true;
    if (!this.host.send(follower.peer, MessageType.Publish, encodePublish(this.#publication(follower)))) return false;
    this.counters.messages++;
    follower.published = target;
    follower.publishedUs = nowUs;
    return true;
  }

  /** @returns false when the log has not grown. */
  #nextTarget(follower: Follower): boolean {
    const { ring } = this;
    // In this order: a writer stores the head first.
    const eventEnd = ring.load(Word.eventEnd) >>> 0;
    const head = ring.load(Word.head) >>> 0;
    if (head === follower.sent && eventEnd === follower.eventEnd) return false;
    follower.eventEnd = eventEnd;
    follower.target = head;
    follower.published = -1;
    return true;
  }

  #sendChunk(follower: Follower): boolean {
    const { ring } = this;
    const at = (follower.sent * 8) % ring.size;
    const length = Math.min(bytesBetween(follower.sent, follower.target), ring.size - at, MAX_CHUNK_BYTES);
    if (!this.host.sendData(follower.peer, follower.sent, ring.bytes.subarray(at, at + length))) return false;
    follower.sent = (follower.sent + length / 8) >>> 0;
    this.counters.bytes += length;
    return true;
  }

  #publication(follower: Follower): Publish {
    const { ring } = this;
    return {
      head: follower.target,
      eventEnd: follower.eventEnd,
      heartbeat: ring.load(Word.heartbeat) >>> 0,
      logEpoch: ring.load(Word.epoch),
      flags:
        (ring.load(Word.draining) === 1 ? PublishFlag.Draining : 0) |
        (ring.load(Word.ready) === 1 ? PublishFlag.Ready : 0),
      ...this.#groupTime(),
    };
  }

  #groupTime(): { monoUs: number; wallMs: number } {
    const { clock } = this.host;
    const [monoUs = 0, wallMs = 0] = this.ring.offsets;
    return { monoUs: clock.now() + monoUs, wallMs: clock.wall() + wallMs };
  }

  /** Every node that could take over has been sent the whole log. */
  get isDrained(): boolean {
    const { head } = this;
    for (const { up, peer, sent, published } of this.followers.values())
      if (up && this.#inSync.mayContain(peer) && (sent !== head || published !== head)) return false;
    return true;
  }

  /** A backup is in sync and could take over. */
  get isProtecting(): boolean {
    for (const { up, ready, peer } of this.followers.values())
      if (up && ready && this.#inSync.mayContain(peer)) return true;
    return false;
  }

  // --- Commit ---

  /** The log has a gap: no follower can continue from it. */
  get #hasGap(): boolean {
    return this.ring.load(Word.readerFault) !== 0;
  }

  #eligible(): string[] {
    return this.#hasGap ? [] : this.#inSync.eligible(this.followers.values());
  }

  readonly #acked = (peer: string): number | null => this.followers.get(peer)?.acked ?? null;

  /** Moves the commit position on, and lets output wait, or not, for backups. */
  updateCommit(): void {
    const { ring, head } = this;
    const eligible = this.#eligible();
    const sets = this.backupSets(eligible);
    const isGated = sets.some((set) => set.length > 0);
    if (!isGated) this.#openGate(head);
    else if (this.#gatedAt === null) this.#closeGate(eligible);
    const rule = { required: this.#options.requiredBackups, head, floor: this.#released };
    const commit = jointPosition(sets, this.#acked, rule);
    if (isGated && bytesBetween(this.#released, commit) > 0 && this.#isGateSeen()) this.#released = commit;
    const hasMoved = ring.load(Word.commitPosition) !== (commit | 0);
    ring.store(Word.commitPosition, (isGated ? commit : head) | 0);
    if (ring.load(Word.writerWaiting) !== 0 && (hasMoved || !isGated)) {
      ring.store(Word.writerWaiting, 0);
      this.host.wake();
    }
    this.#updateTail();
  }

  /** Every set of backups that is, may be, or should be in force. */
  protected backupSets(eligible: string[]): string[][] {
    return [eligible, ...this.#inSync.backupSets];
  }

  #openGate(head: number): void {
    this.#gatedAt = null;
    this.#ungatedEnd = null;
    this.#released = head;
    this.ring.store(Word.readerReady, 0);
  }

  /** From here on output waits; what left before is known when the replica has seen it. */
  #closeGate(eligible: readonly string[]): void {
    const { ring } = this;
    this.#gatedAt = ring.load(Word.heartbeat);
    ring.words[Word.joinedLate] = this.#anyPartial(eligible);
    ring.store(Word.commitPosition, this.#released | 0);
    ring.store(Word.readerReady, 1);
    this.host.wake();
  }

  #anyPartial(peers: readonly string[]): number {
    return peers.some((peer) => this.followers.get(peer)?.partial === true) ? 1 : 0;
  }

  /** The replica knows that it has to wait, and what it released before is in the log. */
  #isGateSeen(): boolean {
    return this.#gatedAt === null || ((this.ring.load(Word.heartbeat) - this.#gatedAt) | 0) >= GATE_PASSES;
  }

  /**
   * The group's state as it should be; null: it is, or the new set does not hold yet all that was
   * released.
   */
  proposal(): GroupState | null {
    const eligible = this.#eligible();
    const next = this.#inSync.stateWith(eligible);
    if (next === null || eligible.length === 0) return next;
    if (!this.#isGateSeen()) return null;
    const isFirst = this.state.inSync.length <= 1;
    if (isFirst) this.#ungatedEnd ??= this.head;
    const needed = isFirst ? (this.#ungatedEnd ?? this.head) : this.#released;
    const rule = { required: this.#options.requiredBackups, head: this.head, floor: this.#released };
    return bytesBetween(needed, quorumPosition(eligible, this.#acked, rule)) < 0 ? null : next;
  }

  /** A proposal is under way: from now on it may be in force. */
  propose(proposal: GroupState): void {
    this.#inSync.propose(proposal);
  }

  /** The proposal is known not to be in force. */
  proposalRejected(): void {
    this.#inSync.reject();
  }

  /** The group's state has been changed. */
  adopt(state: GroupState): void {
    const { ring } = this;
    this.#inSync.adopt(state);
    this.#ungatedEnd = null;
    for (const [peer, { up }] of this.followers) if (!up && !state.inSync.includes(peer)) this.followers.delete(peer);
    ring.words[Word.joinedLate] = this.#anyPartial(state.inSync);
    if (this.#hasGap && state.inSync.length === 1) this.#restartAfterGap();
    this.updateCommit();
  }

  /** All followers begin anew behind the gap, and the primary serves alone until then. */
  #restartAfterGap(): void {
    this.#base = this.head;
    for (const peer of this.followers.keys()) this.#refuse(peer, 'ERR_FT_DROPPED', 'the log has a gap');
    this.followers.clear();
    this.ring.store(Word.mayServeAlone, 1);
    this.host.wake();
  }

  /** Tells the replica what it may overwrite, and drops followers that fall too far behind. */
  #updateTail(): void {
    const { ring, head } = this;
    let maxLag = 0;
    for (const [peer, { acked, sent }] of this.followers) {
      const lag = bytesBetween(acked ?? sent, head);
      if (!this.#inSync.mayContain(peer) && lag > ring.size * (1 - MIN_FREE)) {
        this.counters.refused++;
        this.followers.delete(peer);
        this.#refuse(peer, 'ERR_FT_DROPPED', 'it does not keep up with the log');
      } else if (lag > maxLag) maxLag = lag;
    }
    ring.store(Word.tail, (head - maxLag / 8) | 0);
  }
}
