/**
 * Which backups must hold what is released: while the in-sync set changes, and while the outcome is
 * not known.
 */
import t from 'tap';
import { LogSender } from '../../failover/cluster/agent/log-sender.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import { type AgentStatus, MessageType } from '../../failover/cluster/transport/messages.js';
import type { StartSnapshot } from '../../failover/host/group-directory.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { ManualClock } from '../../lib/clock.js';
import { native } from '../../lib/native/native.js';

const status: AgentStatus = { role: 'follower', epoch: 1, position: 0, ready: true, holdsLease: false, state: null };

class Bench {
  readonly ring = new Ring(native(), new ArrayBuffer(RING_HEADER + 65_536));
  readonly sent: [string, MessageType][] = [];
  readonly sender: LogSender;

  constructor(requiredBackups = Number.POSITIVE_INFINITY) {
    this.ring.format(new Uint8Array(SECRET_LENGTH));
    this.ring.words[Word.ready] = 1;
    const state: GroupState = { epoch: 1, primary: 'a', inSync: ['a'], requiredBackups: 0 };
    const options = { self: 'a', state, takeoverPosition: null, requiredBackups };
    this.sender = new LogSender(this.ring, options, {
      send: (peer, type) => this.sent.push([peer, type]) > 0,
      sendData: () => true,
      isWritable: () => true,
      wake: () => undefined,
      clock: new ManualClock(),
      welcome: () => ({ secret: '', snapshot: {} as StartSnapshot }),
    });
    this.log(8);
  }

  /** The primary logs a number of units, and its main loop passes. */
  log(units: number): void {
    const { words } = this.ring;
    words[Word.head] = this.head + units;
    words[Word.eventEnd] = this.head;
    words[Word.heartbeat] = this.ring.load(Word.heartbeat) + 1;
    this.sender.pump(0);
    this.sender.updateCommit();
  }

  /** A backup joins, and holds the whole log. */
  join(peer: string): void {
    this.sender.addFollower(peer, { epoch: 0, position: 0, applied: 0 });
    this.ack(peer, 0);
    this.sender.pump(0);
    this.ack(peer, this.head);
    this.sender.peerStatus(peer, status);
    this.sender.updateCommit();
  }

  ack(peer: string, position: number): void {
    this.sender.ack(peer, position);
  }

  get head(): number {
    return this.ring.load(Word.head);
  }

  get isGated(): boolean {
    return this.ring.words[Word.readerReady] === 1;
  }

  get commit(): number {
    return this.ring.load(Word.commitPosition);
  }

  /** Logs until there is a proposal. */
  proposal(...peers: string[]): GroupState {
    for (let n = 0; n < 10; n++) {
      const proposal = this.sender.proposal();
      if (proposal !== null) return proposal;
      this.log(1);
      for (const peer of peers) this.ack(peer, this.head);
    }
    throw new Error('no proposal');
  }
}

t.test('a backup is in sync when it holds all that was released, and output waits for it', async (t) => {
  const bench = new Bench();
  t.notOk(bench.isGated, 'there is no backup');
  bench.join('b');
  t.ok(bench.isGated, 'output waits before the state says so');
  t.equal(bench.sender.proposal(), null, 'what left before may not be in the log yet');
  const proposal = bench.proposal('b');
  t.same(proposal.inSync, ['a', 'b']);
  bench.sender.adopt(proposal);
  bench.log(5);
  t.equal(bench.commit, bench.head - 5);
  bench.ack('b', bench.head);
  t.equal(bench.commit, bench.head);
  t.equal(bench.sender.proposal(), null);
  bench.sender.peerDown('b');
  bench.log(5);
  t.equal(bench.commit, bench.head - 5, 'until the state does not contain it');
  const alone = bench.proposal();
  t.same(alone.inSync, ['a']);
  bench.sender.adopt(alone);
  t.notOk(bench.isGated);
});

t.test('a proposal without an answer may be in force', async (t) => {
  const bench = new Bench();
  bench.join('b');
  const proposal = bench.proposal('b');
  bench.sender.propose(proposal);
  const held = bench.commit;
  bench.sender.peerDown('b');
  bench.log(5);
  t.ok(bench.isGated, 'b may take over');
  t.equal(bench.commit, held);
  // The answer is lost; another change is proposed.
  const alone = bench.proposal();
  t.same(alone.inSync, ['a'], 'proposed, though it is the state that was known last');
  bench.sender.propose(alone);
  t.ok(bench.commit <= held || bench.isGated);
  bench.sender.adopt(alone);
  t.notOk(bench.isGated);
});

t.test('a rejected proposal has no effect', async (t) => {
  const bench = new Bench();
  bench.join('b');
  bench.sender.propose(bench.proposal('b'));
  bench.sender.peerDown('b');
  bench.sender.proposalRejected();
  bench.log(1);
  t.notOk(bench.isGated);
});

t.test('a backup that returns has to hold what was released meanwhile', async (t) => {
  const bench = new Bench();
  bench.join('b');
  bench.log(1);
  bench.log(1);
  bench.sender.proposal();
  bench.sender.peerDown('b');
  bench.log(100);
  t.notOk(bench.isGated, 'released');
  const released = bench.head;
  bench.sender.addFollower('b', { epoch: 1, position: 8, applied: 8 });
  bench.ack('b', 8);
  bench.sender.peerStatus('b', status);
  for (let n = 0; n < 5; n++) bench.log(1);
  t.equal(bench.sender.proposal(), null, 'it holds 8 units');
  bench.sender.pump(0);
  bench.ack('b', released - 1);
  t.equal(bench.sender.proposal(), null, 'one unit is missing');
  bench.ack('b', bench.head);
  t.same(bench.proposal('b').inSync, ['a', 'b']);
});

t.test('one of two backups has to hold the log', async (t) => {
  const bench = new Bench(1);
  for (const peer of ['b', 'c']) bench.join(peer);
  const proposal = bench.proposal('b', 'c');
  t.same(proposal, { epoch: 1, primary: 'a', inSync: ['a', 'b', 'c'], requiredBackups: 1 });
  bench.sender.adopt(proposal);
  bench.log(10);
  bench.ack('c', bench.head);
  t.equal(bench.commit, bench.head);
  // The backup that holds it is lost: the other one does not hold what was released.
  bench.sender.peerDown('c');
  t.equal(bench.sender.proposal(), null, 'b has to hold it first');
  bench.ack('b', bench.head);
  t.same(bench.sender.proposal()?.inSync, ['a', 'b']);
});

t.test('a peer that expects the log and does not get it is told', async (t) => {
  const bench = new Bench();
  bench.sender.peerStatus('b', status);
  t.same(bench.sent.at(-1), ['b', MessageType.Refuse]);
  bench.sender.peerStatus('b', { ...status, role: 'joining' });
  t.equal(bench.sent.length, 1);
});
