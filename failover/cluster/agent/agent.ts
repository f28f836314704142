/**
 * One machine's part in a group: who leads, whose log it has, what its member (the replica's process) is to be. It decides with
 * what it hears from the other agents, and with the group's state (coordinator.ts); it does nothing by itself but what `step`
 * does, which is called often, and after whatever happens. Clock, connections, coordinator and member are handed in, so that
 * the simulation can run many of them (test/sim/agents.ts).
 *
 *   looking    it has no log. It follows whoever leads, or begins a group that nobody leads.
 *   following  it has the log of a leader, and gets more.
 *   orphan     it has the log of a leader that it hears no more. It follows it again, or whoever leads now; or goes on itself,
 *              when the state allows it and nobody may speak.
 *   leading    its member is the primary, and may speak until the coordinator's time.
 */

import { followClock } from '../../log/group-clock.js';
import type { Ring } from '../../log/ring.js';
import { Word } from '../../log/ring-header.js';
import type { GroupState, View } from '../coordinator/coordinator.js';
import { isEnd, isFollow, isStatus, isWelcome } from '../transport/message-validation.js';
import {
  decodeJson,
  type End,
  type Follow,
  MessageType,
  type Refuse,
  type Status,
  type Welcome,
} from '../transport/messages.js';
import { type How, mayLead, mayStartGroup, type Peer } from './election.js';
import type { AgentHost, AgentOptions, AgentRole } from './host.js';
import { Lease } from './lease.js';
import { LogCopy } from './log-copy.js';
import { LogReceiver } from './log-receiver.js';
import { LogSender } from './log-sender.js';
import { StallDetector } from './stall-detector.js';

const READ_EVERY_US = 100_000;
const ASK_EVERY_US = 300_000;
const RESTART_US = 100_000;
const MOST_RESTART_US = 5_000_000;
/** After a takeover, and after a peer comes back, neighbours are told where the addresses are. */
const ANNOUNCE_US = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
const ENDING_US = 2_000_000;
const MOST_FAILURES = 3;
/** A program may take so long to load. */
const STARTING_US = 10_000_000;

export class Agent {
  role: AgentRole = 'looking';
  /** Of the primary that we are, or whose log we have. */
  epoch = 0;
  mirror: LogCopy | null = null;
  leader: LogSender | null = null;
  readonly counters = { takeovers: 0, claims: 0, refused: 0, coordinatorErrors: 0, badMessages: 0 };
  readonly peers = new Map<string, Peer>();
  /** The leader whose log we have, and its agent's incarnation. */
  #followed: string | null = null;
  #followedIncarnation = '';
  #view: View | null = null;
  #viewUs = 0;
  #sinceUs: number;
  #askedUs = Number.NEGATIVE_INFINITY;
  #readUs = Number.NEGATIVE_INFINITY;
  #statusUs = Number.NEGATIVE_INFINITY;
  #ended: End | null = null;
  #pending: { peer: string; welcome: Welcome } | null = null;
  /** A member is to be started (again). */
  #startUs: number | null = null;
  #restartUs = RESTART_US;
  #everReady = false;
  #expectRing = false;
  readonly #progress = new StallDetector();
  #announceAt: number[] = [];
  /** The member has ended, and what it logged is still being sent. */
  #endingUs: number | null = null;
  #hung = false;
  /** End of what the log had when this reign began; null: nobody else has a copy that can be gone on with. */
  #took: number | null = null;
  /** Members that died while they were taking over. */
  #failures = 0;
  #closing = false;
  #leaving = false;
  readonly #right: Lease;
  readonly #intake: LogReceiver;

  constructor(
    readonly options: AgentOptions,
    readonly host: AgentHost,
  ) {
    this.#sinceUs = host.clock.now();
    this.#right = new Lease(host, options.self, this.counters, () => this.step());
    this.#intake = new LogReceiver(host);
  }

  // --- What others tell ---

  linkUp(name: string, incarnation: string): void {
    const former = this.peers.get(name);
    this.peers.set(name, {
      incarnation,
      status: former?.incarnation === incarnation ? former.status : null,
      heardUs: this.host.clock.now(),
      up: true,
    });
    this.#statusUs = Number.NEGATIVE_INFINITY;
    // What was split may have come together: whoever learned another way is told.
    if (this.role === 'leading') this.#plan();
    this.step();
  }

  linkDown(name: string): void {
    const peer = this.peers.get(name);
    if (peer !== undefined) peer.up = false;
    this.#intake.forget(name);
    if (this.#pending?.peer === name) this.#pending = null;
    this.leader?.down(name);
    if (this.role === 'following' && this.#followed === name) this.#orphan('it is not heard any more');
    this.step();
  }

  message(name: string, type: MessageType, body: Buffer): void {
    const peer = this.peers.get(name);
    if (peer === undefined) return;
    peer.heardUs = this.host.clock.now();
    switch (type) {
      case MessageType.Data:
        if (this.role === 'following' && name === this.#followed) this.#data(name, body);
        return;
      case MessageType.Publish:
        if (this.role === 'following' && name === this.#followed) this.#published(name, body);
        return;
      case MessageType.Ack:
        if (body.length === 8 && this.role === 'leading' && body.readUInt32LE(4) === this.epoch)
          this.leader?.ack(name, body.readUInt32LE(0));
        return;
      default:
        if (!this.#control(name, peer, type, body)) this.counters.badMessages++;
        this.step();
    }
  }

  /** @returns false for what cannot be understood. */
  #control(name: string, peer: Peer, type: MessageType, body: Buffer): boolean {
    const json = decodeJson(body);
    if (json === undefined) return false;
    switch (type) {
      case MessageType.Status: {
        if (!isStatus(json)) return false;
        peer.status = json;
        this.leader?.heard(name, json);
        if (name === this.#followed && json.state !== null && json.state.epoch === this.epoch)
          this.host.coordinator.learn(json.state);
        return true;
      }
      case MessageType.Follow: {
        if (!isFollow(json)) return false;
        const why = this.leader === null ? 'this node does not lead' : this.leader.follow(name, json);
        if (why !== null)
          this.host.links.send(name, MessageType.Refuse, { code: 'ERR_FT_STATE', message: why } satisfies Refuse);
        return true;
      }
      case MessageType.Welcome:
        if (!isWelcome(json)) return false;
        this.#welcomed(name, json);
        return true;
      case MessageType.End: {
        if (!isEnd(json)) return false;
        if (this.role !== 'following' || name !== this.#followed || json.epoch !== this.epoch) return true;
        this.#ended = json;
        if (json.planned === 2) {
          this.mirror?.ring.store(Word.shutdown, 2);
          this.mirror?.ring.store(Word.leaderLost, 1);
          this.host.member.wake('backup');
        } else this.#orphan(json.planned === 1 ? 'it has handed over' : 'its process has ended');
        return true;
      }
      case MessageType.Leave:
        this.leader?.left.add(name);
        this.leader?.down(name);
        return true;
      case MessageType.Refuse:
        this.counters.refused++;
        // Whoever fed us does not any more.
        if (this.role === 'following' && name === this.#followed) {
          if (json['code'] === 'ERR_FT_DROPPED') this.#discard();
          else if (json['code'] === 'ERR_FT_NOT_FED') this.#orphan('it does not send its log');
        }
        return true;
      default:
        return false;
    }
  }

  /** The member has ended. */
  memberEnded(code: number | null): void {
    if (this.#closing) return;
    if (this.#pending !== null) {
      this.#settle(this.#pending);
      return;
    }
    if (this.role === 'leading') this.#primaryEnded(code);
    else if (this.mirror !== null) {
      if (this.mirror.ring.load(Word.shutdown) === 2) this.host.finished(0);
      // Wrong words or another program end at once, and would again.
      else if (!this.#everReady && (code === 2 || code === 3)) this.host.finished(code);
      else if (this.mirror.forgetReader()) this.#restart();
      else this.#discard();
    }
    this.step();
  }

  // --- What is to be done ---

  step(): void {
    const now = this.host.clock.now();
    if (this.#closing) return;
    this.#listen(now);
    if (this.#startUs !== null && now >= this.#startUs && this.host.member.pid === 0) {
      this.#startUs = null;
      this.host.member.start(this.role === 'leading' && this.mirror === null ? 'primary' : 'backup');
    }
    if (this.role === 'leading') this.#lead(now);
    else if (this.role === 'following') this.#follow();
    else this.#search(now);
    this.#tell(now);
  }

  /** This node is to end: a primary hands over first, if somebody can go on. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    if (this.role === 'leading' && this.host.member.pid !== 0) this.host.member.end();
    else this.#left();
  }

  #left(): void {
    for (const name of this.options.nodes) this.host.links.send(name, MessageType.Leave, {});
    this.#closing = true;
    this.mirror = null;
    this.leader = null;
    if (this.host.member.pid !== 0) this.host.member.kill();
    this.#right.release(() => this.host.finished(0));
  }

  #listen(now: number): void {
    for (const [name, peer] of this.peers)
      if (peer.up && now - peer.heardUs > this.options.lostMs * 1000) this.host.links.drop(name);
  }

  #tell(now: number): void {
    const every = Math.min(100_000, (this.options.lostMs * 1000) / 5);
    if (now - this.#statusUs < every) return;
    this.#statusUs = now;
    const status: Status = {
      role: this.role,
      epoch: this.epoch,
      position: this.mirror?.position ?? this.leader?.head ?? 0,
      ready: this.mirror?.ready === true && this.host.member.pid !== 0,
      speaks: this.role === 'leading' && this.host.coordinator.speakUntilUs > now,
      state: this.leader?.state ?? null,
    };
    for (const [name, peer] of this.peers) if (peer.up) this.host.links.send(name, MessageType.Status, status);
  }

  #become(role: AgentRole, more: object = {}): void {
    this.role = role;
    this.#sinceUs = this.host.clock.now();
    this.#statusUs = Number.NEGATIVE_INFINITY;
    this.#askedUs = Number.NEGATIVE_INFINITY;
    this.#view = null;
    this.#intake.reset();
    this.host.note(role, { epoch: this.epoch, ...more });
  }

  // --- Looking, orphan ---

  #search(now: number): void {
    if (this.#pending !== null) return;
    const leader = this.#leading();
    if (leader !== null) {
      if (now - this.#askedUs < ASK_EVERY_US) return;
      this.#askedUs = now;
      const { mirror } = this;
      const follow: Follow = {
        epoch: mirror === null ? 0 : this.epoch,
        position: mirror?.position ?? 0,
        consumed: mirror?.consumed ?? 0,
      };
      this.host.links.send(leader, MessageType.Follow, follow);
      return;
    }
    if (this.#right.busy) return;
    if (now - this.#readUs >= (this.mirror !== null ? READ_EVERY_US / 4 : READ_EVERY_US)) {
      this.#readUs = now;
      this.#right.ask(this.host.coordinator.read(), (view) => {
        this.#view = view;
        this.#viewUs = now;
      });
      return;
    }
    const view = this.#view;
    if (view === null || view.holder !== null) return;
    this.#decide(now, view);
  }

  /** Who leads, of those we hear: the newest. */
  #leading(): string | null {
    let best: string | null = null;
    let epoch = this.epoch - 1;
    for (const [name, { up, status }] of this.peers) {
      if (up && status?.role === 'leading' && status.speaks && status.epoch > epoch) {
        best = name;
        epoch = status.epoch;
      }
    }
    return best;
  }

  /** Nobody leads, or may speak: is it our turn? */
  #decide(now: number, view: View): void {
    const { mirror } = this;
    const question = {
      ...this.options,
      waitedUs: now - this.#sinceUs,
      view,
      viewUs: this.#viewUs,
      peers: this.peers,
      epoch: this.epoch,
    };
    const decision =
      mirror === null
        ? mayStartGroup(question)
        : mayLead(question, mirror.position, !this.options.unasked || this.#gone());
    if (decision.kind === 'claim') this.#claim(decision.state, decision.gone, decision.how);
    else if (decision.kind === 'discard') this.#discard();
  }

  /** Whether the leader that we followed has said, or shows, that it speaks no more. */
  #gone(): boolean {
    if (this.#ended !== null) return true;
    const peer = this.#followed === null ? undefined : this.peers.get(this.#followed);
    if (peer?.up !== true || peer.status === null) return false;
    return peer.incarnation !== this.#followedIncarnation || peer.status.role !== 'leading';
  }

  #claim(state: GroupState, gone: boolean, how: How): void {
    const { role } = this;
    this.counters.claims++;
    this.#view = null;
    this.#right.ask(this.host.coordinator.claim(state, gone), (done) => {
      if (!done) return;
      if (this.role !== role || this.#pending !== null) this.#right.drop();
      else this.#begin(state, how);
    });
  }

  #begin(state: GroupState, how: How): void {
    const { member } = this.host;
    this.epoch = state.epoch;
    this.#state = state;
    this.#become('leading', { how });
    this.#plan();
    this.#hung = false;
    this.#right.begun();
    this.#expectRing = true;
    const { mirror } = this;
    this.#took = null;
    if (mirror === null) {
      if (how === 'begin') member.clear();
      this.#startUs = this.host.clock.now();
      return;
    }
    this.counters.takeovers++;
    this.#failures = 0;
    this.#right.speak(mirror.ring, this.epoch);
    this.#took = mirror.ring.load(Word.eventEnd) >>> 0;
    mirror.ring.words[Word.shutdown] = this.#ended?.planned === 1 && this.#ended.position === mirror.position ? 1 : 0;
    mirror.ring.store(Word.leaderLost, this.#ended?.hang === true ? 2 : 1);
    mirror.admit();
    member.wake('backup');
  }

  #state: GroupState = { epoch: 0, primary: '', inSync: [], stable: 0 };

  // --- Following ---

  #welcomed(name: string, welcome: Welcome): void {
    if (this.role === 'leading' || welcome.epoch < this.epoch) return;
    if (welcome.continues) {
      const { mirror } = this;
      if (mirror === null || !mirror.cut(welcome.position)) {
        this.#discard();
        return;
      }
      this.#attach(name, welcome, mirror);
      return;
    }
    this.mirror = null;
    this.leader = null;
    this.#pending = { peer: name, welcome };
    if (this.host.member.pid === 0) this.#settle(this.#pending);
    else this.host.member.kill();
  }

  /** The former member is gone: its place is made anew. */
  #settle({ peer, welcome }: { peer: string; welcome: Welcome }): void {
    const { member } = this.host;
    this.#pending = null;
    member.clear();
    const ring = member.create(welcome);
    ring.offsets.fill(Number.NEGATIVE_INFINITY);
    followClock(ring, this.host.clock, welcome.monoUs, welcome.wallMs);
    this.#everReady = false;
    this.#restartUs = RESTART_US;
    this.#attach(peer, welcome, new LogCopy(ring, welcome.epoch, welcome.position));
    this.#startUs = this.host.clock.now();
    this.step();
  }

  #attach(name: string, welcome: Welcome, mirror: LogCopy): void {
    this.mirror = mirror;
    mirror.epoch = welcome.epoch;
    this.epoch = welcome.epoch;
    this.#followed = name;
    this.#followedIncarnation = this.peers.get(name)?.incarnation ?? '';
    this.#ended = null;
    this.#become('following', { primary: name, continues: welcome.continues });
    this.#intake.acknowledge(name, this.epoch, mirror.position);
  }

  /** A backup that has something to do and does not get on hangs: another one may not. */
  #watchReader(mirror: LogCopy, busy: boolean): void {
    const limit = mirror.ready ? 2 * this.options.hangMs * 1000 : STARTING_US;
    const idle = !busy || this.host.member.pid === 0;
    if (this.#progress.stands(this.host.clock.now(), mirror.consumed, idle, limit)) this.#killHanging();
  }

  #killHanging(): void {
    const { member } = this.host;
    this.host.note('hang', { member: member.pid });
    member.kill();
  }

  #follow(): void {
    const { mirror } = this;
    if (mirror === null) return;
    if (mirror.admit()) this.host.member.wake('backup');
    if (mirror.ready) {
      this.#everReady = true;
      this.#restartUs = RESTART_US;
    }
    this.#watchReader(mirror, mirror.behind);
    const leader = this.#followed === null ? undefined : this.peers.get(this.#followed);
    if (leader?.up !== true) this.#orphan('it is not heard any more');
    else if (leader.status !== null && leader.status.role !== 'leading') this.#orphan('it leads no more');
    else if (leader.status !== null && leader.status.epoch > this.epoch) this.#orphan('it leads anew');
    else if (leader.status !== null && !leader.status.speaks) this.#orphan('it may not speak');
    else if (this.#deposed()) this.#orphan('another one leads');
    this.#letRead();
  }

  /** Somebody leads who came later. */
  #deposed(): boolean {
    for (const { up, status } of this.peers.values())
      if (up && status?.role === 'leading' && status.epoch > this.epoch) return true;
    return false;
  }

  #orphan(reason: string): void {
    this.#become('orphan', { primary: this.#followed, reason });
  }

  /** What we have is of no use any more. */
  #discard(): void {
    this.mirror = null;
    this.#followed = null;
    this.#startUs = null;
    if (this.host.member.pid !== 0) this.host.member.kill();
    this.#become('looking');
  }

  #data(name: string, body: Buffer): void {
    if (this.mirror !== null && !this.#intake.data(this.mirror, name, body)) this.#senseless(name);
  }

  #published(name: string, body: Buffer): void {
    if (this.mirror !== null && !this.#intake.published(this.mirror, name, this.epoch, body)) this.#senseless(name);
  }

  #senseless(name: string): void {
    this.counters.badMessages++;
    this.host.links.drop(name);
  }

  #letRead(): void {
    const { mirror } = this;
    const name = this.#followed;
    if (mirror === null || name === null || !this.#intake.holds(name)) return;
    // Not being heard is our own doing.
    const peer = this.peers.get(name);
    if (peer !== undefined) peer.heardUs = this.host.clock.now();
    this.#intake.letRead(mirror, name);
  }

  // --- Leading ---

  #lead(now: number): void {
    if (this.#deposed()) {
      this.#stepDown();
      return;
    }
    if (this.#endingUs !== null) {
      this.#handOver(now, this.#endingUs);
      return;
    }
    this.#findRing();
    const { leader } = this;
    const ring = leader?.ring ?? this.mirror?.ring ?? null;
    if (ring !== null) this.#right.speak(ring, this.epoch);
    this.#right.keep(
      now,
      this.epoch,
      () => this.role === 'leading',
      () => this.#stepDown(),
    );
    if (leader === null) return;
    this.pump();
    this.#watchMember(now, leader.ring);
    if (this.#announceAt.length > 0 && now >= this.#announceAt[0]!) {
      this.#announceAt.shift();
      leader.ring.store(Word.announceCount, (leader.ring.words[Word.announceCount]! + 1) | 0);
    }
    const proposal = this.#right.busy ? null : leader.proposal();
    if (proposal === null || now > this.host.coordinator.speakUntilUs || this.#tooSoon(now, proposal)) return;
    leader.tries(proposal);
    this.#right.ask(this.host.coordinator.update(proposal, [...leader.left]), (done) => {
      if (this.leader !== leader) return;
      if (!done) {
        leader.refused();
        return;
      }
      this.#state = proposal;
      leader.adopt(proposal);
      this.#statusUs = Number.NEGATIVE_INFINITY;
      this.host.note('in-sync', { nodes: proposal.inSync, stable: proposal.stable });
    });
  }

  /** To be gone on without means to be switched off, where nobody can be asked: not for a connection that only broke. */
  #tooSoon(now: number, proposal: GroupState): boolean {
    const { unasked, lostMs } = this.options;
    if (!unasked) return false;
    return this.#state.inSync.some((name) => {
      if (proposal.inSync.includes(name) || this.leader?.left.has(name) === true) return false;
      return now - (this.peers.get(name)?.heardUs ?? 0) < 2 * lostMs * 1000;
    });
  }

  /** Brings what the member has logged to the others. Also called when the member rings. */
  pump(): void {
    const { leader } = this;
    if (leader === null) return;
    leader.ring.store(Word.readerSleeping, 1);
    leader.pump(this.host.clock.now());
    leader.settle();
  }

  #findRing(): void {
    if (!this.#expectRing || this.leader !== null) return;
    const { member } = this.host;
    let ring: Ring | null;
    if (this.mirror !== null) {
      // A member that was a backup: it leads when it says so.
      const { mirror } = this;
      mirror.admit();
      this.#watchReader(mirror, true);
      ring = mirror.ring.writerPid === member.pid && member.pid !== 0 ? mirror.ring : null;
      if (ring !== null) this.mirror = null;
    } else ring = member.pid === 0 ? null : member.open();
    if (ring === null) return;
    this.#expectRing = false;
    this.#progress.reset();
    const { links } = this.host;
    this.leader = new LogSender(ring, this.options.self, this.#state, this.#took, this.options.stable, {
      send: (peer, type, body) => links.send(peer, type, body),
      sendData: (peer, position, bytes) => links.sendData(peer, position, bytes),
      takes: (peer) => links.takes(peer),
      wake: () => member.wake('primary'),
      clock: this.host.clock,
      welcome: () => ({ secret: Buffer.from(ring.secret).toString('hex'), snapshot: member.snapshot() }),
    });
    // From here on it rings us as a primary rings its backup.
    member.wake('primary');
  }

  #stepDown(): void {
    this.host.note('deposed', { epoch: this.epoch });
    this.#endingUs = null;
    this.leader = null;
    this.mirror = null;
    this.#expectRing = false;
    this.#startUs = null;
    if (this.host.member.pid !== 0) this.host.member.kill();
    this.#become('looking');
  }

  /** A hang is the main loop making no progress, seen from outside. */
  #watchMember(now: number, ring: Ring): void {
    const started = ring.load(Word.ready) === 1;
    if (started) this.#everReady = true;
    const idle = !started || this.host.member.pid === 0;
    if (!this.#progress.stands(now, ring.load(Word.heartbeat), idle, this.options.hangMs * 1000)) return;
    this.#hung = true;
    this.#killHanging();
  }

  #primaryEnded(code: number | null): void {
    const { leader } = this;
    const planned = leader?.ring.load(Word.shutdown) ?? 0;
    this.host.note('member-ended', { code, planned });
    if (leader === null && this.mirror === null && !this.#everReady && code !== null && code !== 0)
      this.host.finished(code);
    else if (leader !== null && (leader.protecting || planned === 2)) this.#endingUs = this.host.clock.now();
    else if (this.#leaving) this.#left();
    // Nobody else could go on: here the log may have it all.
    else this.#again();
  }

  #again(): void {
    // What a new member begins with is another log, or one that is gone on with: that is another reign.
    if (this.leader === null && this.mirror?.forgetReader() === true && ++this.#failures < MOST_FAILURES)
      this.#restart();
    else this.#retreat();
  }

  #restart(): void {
    this.#startUs = this.host.clock.now() + this.#restartUs;
    this.#restartUs = Math.min(this.#restartUs * 2, MOST_RESTART_US);
  }

  /** What the member logged goes to those who can go on; then the right is theirs. */
  #handOver(now: number, since: number): void {
    const { leader } = this;
    if (leader === null) return;
    leader.pump(now);
    if (this.#right.busy || (!leader.drained && now - since < ENDING_US)) return;
    const { ring } = leader;
    const planned = ring.load(Word.shutdown);
    const end: End = { epoch: this.epoch, position: leader.head, planned, hang: this.#hung };
    const finish = (): void => {
      for (const peer of leader.feeds.keys()) this.host.links.send(peer, MessageType.End, end);
      this.#endingUs = null;
      this.leader = null;
      if (planned === 2) this.host.finished(0);
      else if (this.#leaving) this.#left();
      else this.#become('looking');
    };
    this.#right.release(finish);
  }

  /** We have the right, and nothing to go on with. */
  #retreat(): void {
    this.mirror = null;
    this.leader = null;
    this.#right.drop();
    this.#become('looking');
  }

  #plan(): void {
    const now = this.host.clock.now();
    this.#announceAt = ANNOUNCE_US.map((us) => now + us);
  }
}
