/**
 * A primary's agent: brings the log to the other machines, and says how much of it is safe there.
 *
 * Output may leave that depends on nothing behind `stable`: what `k` of the backups hold that are in sync. Who is in sync is part of
 * the group's state (coordinator.ts), because only those may go on. While that set changes, the old and the new rule hold
 * both; a new set is proposed only when it holds all that has been let out; and a change whose outcome is not known counts
 * as one that may have happened, until a later one is known to have.
 */
import type { Clock } from '../../../lib/clock.js';
import { invariants } from '../../log/invariants.js';
import type { Ring } from '../../log/ring.js';
import { Word } from '../../log/ring-header.js';
import type { GroupState } from '../coordinator/coordinator.js';
import {
  encodePublish,
  type Follow,
  MAX_PIECE,
  MessageType,
  type Publish,
  PublishFlag,
  type Status,
  type Welcome,
} from '../transport/messages.js';
import { bytesBetween } from './log-copy.js';

/** Part of the log that a backup may have to be fed from behind. */
const MOST_BEHIND = 0.6;
/** One that is not in sync is given up when less than this is free. */
const LEAST_ROOM = 0.3;
/** Publishing is repeated at least this often, for the words that come with it. */
const REPEAT_US = 50_000;

export interface LogSenderHost {
  send(peer: string, type: MessageType, body: Uint8Array | object): boolean;
  sendData(peer: string, position: number, bytes: Uint8Array): boolean;
  /** Whether a piece of the log would be taken now. */
  takes(peer: string): boolean;
  /** Wakes the member. */
  wake(): void;
  readonly clock: Clock;
  /** What a new backup needs beside the log. */
  welcome(): Pick<Welcome, 'secret' | 'snapshot'>;
}

interface Feed {
  peer: string;
  /** Sent up to here; and what is on the way is to be published at `target`. Units. */
  sent: number;
  target: number;
  complete: number;
  published: number;
  publishedUs: number;
  /** It has said that it holds so much; null: it has not answered the welcome. */
  acked: number | null;
  /** Its member can go on. */
  ready: boolean;
  /** It has not seen the beginning. */
  partial: boolean;
  up: boolean;
}

export class LogSender {
  readonly counters = { messages: 0, bytes: 0, joined: 0, refused: 0 };
  readonly feeds = new Map<string, Feed>();
  /** Nodes that said themselves that they will not go on. */
  readonly left = new Set<string>();
  /** A log that continues what was before here can be gone on with by whoever holds it from here. Units. */
  #base: number;
  readonly #waiting = new Set<string>();
  /** Heartbeat at which output began to wait; null: it does not wait. */
  #waitsFrom: number | null = null;
  /** All that may have been let out. Units. */
  #out: number;

  constructor(
    readonly ring: Ring,
    readonly self: string,
    /** The group's state as it is known to be. */
    public state: GroupState,
    /** End of the log that this reign began with, which copies from the reign before are cut at; null: there are none. */
    readonly took: number | null,
    /** Backups that shall hold what is let out; Infinity: all. */
    readonly stable: number,
    readonly host: LogSenderHost,
  ) {
    const head = ring.load(Word.head) >>> 0;
    this.#out = head;
    if (ring.load(Word.truncated) === 0) this.#base = 0;
    else {
      // A copy that began in the middle has nothing from before.
      const begun = ring.words[Word.startAt]! >>> 0;
      const kept = (head - (ring.size * MOST_BEHIND) / 8) >>> 0;
      this.#base = bytesBetween(kept, begun) > 0 ? begun : kept;
    }
  }

  get head(): number {
    return this.ring.load(Word.head) >>> 0;
  }

  /** A backup wants to be fed. @returns why not. */
  follow(peer: string, follow: Follow): string | null {
    const { ring } = this;
    if (ring.load(Word.ready) === 0 && this.head === 0) return 'the program has not started';
    this.left.delete(peer);
    const from = this.#common(follow);
    if (from !== null) {
      this.#begin(peer, from, true, this.feeds.get(peer)?.partial === true);
      return null;
    }
    if (this.#inSync(peer)) {
      // It has lost what it held: first the state has to say so.
      this.#forget(peer);
      return 'its copy is lost';
    }
    if (ring.load(Word.truncated) === 0 && this.head * 8 <= ring.size * MOST_BEHIND) {
      ring.store(Word.tail, 0);
      if (ring.load(Word.truncated) === 0) {
        this.#begin(peer, 0, false, false);
        return null;
      }
    }
    this.feeds.delete(peer);
    if (this.#waiting.size === 0) ring.store(Word.snapshotsRequested, (ring.words[Word.snapshotsRequested]! + 1) | 0);
    this.#waiting.add(peer);
    this.host.wake();
    return null;
  }

  /** Up to where a backup's copy is the same as ours, and it can be gone on from there; null: it has to begin anew. */
  #common({ epoch, position, consumed }: Follow): number | null {
    const { ring, state, took, head } = this;
    // What it has beyond our end is not the group's; it can be cut off as long as its member has not read it.
    const end = epoch === state.epoch ? head : epoch > 0 && epoch === state.epoch - 1 ? took : null;
    if (end === null) return null;
    const from = (bytesBetween(position, end) < 0 ? end : position) >>> 0;
    if (bytesBetween(consumed, from) < 0 || bytesBetween(from, head) > ring.size * MOST_BEHIND) return null;
    return ring.load(Word.truncated) === 0 || bytesBetween(this.#base, from) >= 0 ? from : null;
  }

  ack(peer: string, position: number): void {
    const feed = this.feeds.get(peer);
    if (feed === undefined || bytesBetween(position, feed.sent) < 0) return;
    if (feed.acked === null) this.counters.joined++;
    feed.acked = position;
    this.settle();
  }

  heard(peer: string, status: Status): void {
    const feed = this.feeds.get(peer);
    const follows = status.role === 'following' && status.epoch === this.state.epoch;
    if (feed !== undefined) feed.ready = status.ready && follows;
    // It believes that it is fed; it has been given up, and did not hear of it.
    if (follows && feed?.up !== true && !this.#waiting.has(peer))
      this.host.send(peer, MessageType.Refuse, { code: 'ERR_FT_NOT_FED', message: 'ask again' });
  }

  down(peer: string): void {
    this.#waiting.delete(peer);
    this.#forget(peer);
  }

  /** It is fed no more; if it may be in sync, what it held counts until the state says otherwise. */
  #forget(peer: string): void {
    const feed = this.feeds.get(peer);
    if (feed === undefined) return;
    if (this.#inSync(peer)) {
      feed.up = false;
      feed.ready = false;
    } else this.feeds.delete(peer);
  }

  /** It is in sync, or may be. */
  #inSync(peer: string): boolean {
    return this.state.inSync.includes(peer) || this.#tried?.inSync.includes(peer) === true;
  }

  #begin(peer: string, position: number, continues: boolean, partial: boolean): void {
    const { ring } = this;
    const feed: Feed = {
      peer,
      sent: position,
      target: position,
      complete: position,
      published: -1,
      publishedUs: 0,
      acked: null,
      ready: false,
      partial,
      up: true,
    };
    const before = this.feeds.get(peer);
    // In sync already: it holds at least what it held.
    if (before !== undefined && this.#inSync(peer)) feed.acked = before.acked;
    this.feeds.set(peer, feed);
    this.#tail();
    if (this.feeds.get(peer) !== feed) return;
    const welcome: Welcome = {
      epoch: this.state.epoch,
      continues,
      position,
      historyLost: position !== 0,
      logEpoch: ring.words[Word.epoch]!,
      ...this.host.welcome(),
      ...this.#time(),
    };
    this.host.send(peer, MessageType.Welcome, welcome);
  }

  /** Sends what there is to send. */
  pump(nowUs: number): void {
    const { ring } = this;
    if (this.#waiting.size > 0 && ring.load(Word.snapshotsCompleted) === ring.words[Word.snapshotsRequested]) {
      const from = ring.words[Word.startAt]! >>> 0;
      if (bytesBetween(this.#base, from) < 0 || this.feeds.size === 0) this.#base = from;
      const all = [...this.#waiting];
      this.#waiting.clear();
      for (const peer of all) this.#begin(peer, from, false, true);
    }
    for (const feed of this.feeds.values()) if (feed.up && feed.acked !== null) this.#feed(feed, nowUs);
  }

  #feed(feed: Feed, nowUs: number): void {
    const { ring, host } = this;
    for (;;) {
      if (feed.sent === feed.target) {
        if (feed.published !== feed.target || nowUs - feed.publishedUs > REPEAT_US) {
          if (!host.send(feed.peer, MessageType.Publish, encodePublish(this.#publish(feed)))) return;
          this.counters.messages++;
          feed.published = feed.target;
          feed.publishedUs = nowUs;
        }
        // In this order: a writer stores the head first.
        const complete = ring.load(Word.eventEnd) >>> 0;
        const head = ring.load(Word.head) >>> 0;
        if (head === feed.sent && complete === feed.complete) return;
        feed.complete = complete;
        feed.target = head;
        feed.published = -1;
        if (head === feed.sent) continue;
      }
      if (!host.takes(feed.peer)) return;
      const at = (feed.sent * 8) % ring.size;
      const length = Math.min(bytesBetween(feed.sent, feed.target), ring.size - at, MAX_PIECE);
      if (!host.sendData(feed.peer, feed.sent, ring.bytes.subarray(at, at + length))) return;
      feed.sent = (feed.sent + length / 8) >>> 0;
      this.counters.bytes += length;
    }
  }

  #publish(feed: Feed): Publish {
    const { words } = this.ring;
    return {
      head: feed.target,
      complete: feed.complete,
      heartbeat: words[Word.heartbeat]! >>> 0,
      logEpoch: words[Word.epoch]!,
      flags:
        (words[Word.draining] === 1 ? PublishFlag.Draining : 0) | (words[Word.ready] === 1 ? PublishFlag.Ready : 0),
      ...this.#time(),
    };
  }

  /** The group's. */
  #time(): { monoUs: number; wallMs: number } {
    const { clock } = this.host;
    const [mono, wall] = this.ring.offsets;
    return { monoUs: clock.now() + mono!, wallMs: clock.wall() + wall! };
  }

  /** All that can be sent has been sent to everybody who could go on. */
  get drained(): boolean {
    const { head } = this;
    for (const feed of this.feeds.values())
      if (feed.up && this.#inSync(feed.peer) && (feed.sent !== head || feed.published !== head)) return false;
    return true;
  }

  /** Somebody is in sync and could go on. */
  get protecting(): boolean {
    for (const feed of this.feeds.values()) if (feed.up && feed.ready && this.#inSync(feed.peer)) return true;
    return false;
  }

  // --- Who is in sync ---

  /** A gap in the log: nobody who follows can go on from it. */
  get #gap(): boolean {
    return this.ring.load(Word.readerFault) !== 0;
  }

  /** Those who should be in sync: in the order of succession. */
  #wanted(): string[] {
    if (this.#gap) return [];
    const wanted: string[] = [];
    for (const feed of this.feeds.values()) if (feed.up && feed.ready && feed.acked !== null) wanted.push(feed.peer);
    // Who is in sync keeps its place.
    const kept = this.state.inSync.filter((peer) => wanted.includes(peer));
    return [...kept, ...wanted.filter((peer) => !kept.includes(peer)).sort()];
  }

  /** What at least `k` of these hold. */
  #held(peers: string[], head: number): number {
    if (peers.length === 0) return head;
    const behind = peers.map((peer) => {
      const acked = this.feeds.get(peer)?.acked ?? null;
      return acked === null ? Number.POSITIVE_INFINITY : bytesBetween(acked, head);
    });
    behind.sort((a, b) => a - b);
    const most = behind[Math.min(this.stable, peers.length) - 1]!;
    // Nobody knows what one holds that has not answered: as little as may be.
    return Number.isFinite(most) ? (head - most / 8) >>> 0 : this.#out;
  }

  /** Moves `stable` on. */
  settle(): void {
    const { ring, head } = this;
    const wanted = this.#wanted();
    // Each set that is, or may be, or is to be.
    const sets = [wanted];
    if (invariants.S1) for (const known of [this.state, this.#tried]) sets.push(this.#backupsOf(known));
    const waits = sets.some((set) => set.length > 0);
    if (!waits) {
      this.#waitsFrom = null;
      this.#markAt = null;
      this.#out = head;
      ring.store(Word.readerReady, 0);
    } else if (this.#waitsFrom === null) {
      // From here on output waits; what left before is known when the member has come round.
      this.#waitsFrom = ring.load(Word.heartbeat);
      ring.words[Word.joinedLate] = this.#partial(wanted);
      ring.store(Word.commitPosition, this.#out | 0);
      ring.store(Word.readerReady, 1);
      this.host.wake();
    }
    let stable = head;
    for (const set of sets) {
      const held = this.#held(set, head);
      if (bytesBetween(stable, held) < 0) stable = held;
    }
    if (waits && bytesBetween(this.#out, stable) > 0 && this.#cameRound()) this.#out = stable;
    const moved = ring.words[Word.commitPosition] !== (stable | 0);
    ring.store(Word.commitPosition, (waits ? stable : head) | 0);
    if (ring.load(Word.writerWaiting) !== 0 && (moved || !waits)) {
      ring.store(Word.writerWaiting, 0);
      this.host.wake();
    }
    this.#tail();
  }

  #backupsOf(state: GroupState | null): string[] {
    return state === null ? [] : state.inSync.filter((peer) => peer !== this.self);
  }

  #partial(wanted: string[]): number {
    return wanted.some((peer) => this.feeds.get(peer)?.partial === true) ? 1 : 0;
  }

  /** What the member let out before it knew that it has to wait is in the log by now. */
  #cameRound(): boolean {
    return this.#waitsFrom === null || ((this.ring.load(Word.heartbeat) - this.#waitsFrom) | 0) >= 2;
  }

  /**
   * The state as it should be, when it is to be changed now; null: it is right, or has to wait until the new set holds all that
   * was let out.
   */
  proposal(): GroupState | null {
    const { state, self } = this;
    const wanted = this.#wanted();
    const inSync = [self, ...wanted];
    const stable = Math.min(this.stable, wanted.length);
    const same = inSync.join() === state.inSync.join() && stable === state.stable;
    if (same && this.#tried === null) return null;
    if (wanted.length > 0) {
      if (!this.#cameRound()) return null;
      const first = state.inSync.length <= 1;
      const must = first ? this.#mark() : this.#out;
      if (bytesBetween(must, this.#held(wanted, this.head)) < 0) return null;
    }
    return { ...state, inSync, stable };
  }

  /** A proposal is on its way: from now on it may be in force. */
  tries(proposal: GroupState): void {
    this.#tried = proposal;
  }

  /** It is known not to have come to pass. */
  refused(): void {
    this.#tried = null;
  }

  /** A state that was proposed, and of which nothing has been heard. */
  #tried: GroupState | null = null;
  #markAt: number | null = null;

  /** Where the log ended when everything that left without waiting had been logged. */
  #mark(): number {
    this.#markAt ??= this.head;
    return this.#markAt;
  }

  /** The state has been changed. */
  adopt(state: GroupState): void {
    const { ring } = this;
    this.state = state;
    this.#tried = null;
    this.#markAt = null;
    for (const feed of [...this.feeds.values()])
      if (!feed.up && !state.inSync.includes(feed.peer)) this.feeds.delete(feed.peer);
    ring.words[Word.joinedLate] = this.#partial(state.inSync);
    if (this.#gap && state.inSync.length === 1) {
      this.#base = this.head;
      for (const feed of this.feeds.values())
        this.host.send(feed.peer, MessageType.Refuse, { code: 'ERR_FT_DROPPED', message: 'the log has a gap' });
      this.feeds.clear();
      ring.store(Word.mayServeAlone, 1);
      this.host.wake();
    }
    this.settle();
  }

  /** Tells the member what can be overwritten. */
  #tail(): void {
    const { ring, head } = this;
    let most = 0;
    for (const feed of this.feeds.values()) {
      const behind = bytesBetween(feed.acked ?? feed.sent, head);
      if (!this.#inSync(feed.peer) && behind > ring.size * (1 - LEAST_ROOM)) {
        this.counters.refused++;
        this.feeds.delete(feed.peer);
        this.host.send(feed.peer, MessageType.Refuse, {
          code: 'ERR_FT_DROPPED',
          message: 'it does not keep up with the log',
        });
      } else if (behind > most) most = behind;
    }
    ring.store(Word.tail, (head - most / 8) | 0);
  }
}
