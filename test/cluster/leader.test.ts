/** Who has to hold what is let out: while the set of those changes, and while it is not known whether it has. */
import t from 'tap';
import { LogSender } from '../../failover/cluster/agent/log-sender.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import { MessageType, type Status } from '../../failover/cluster/transport/messages.js';
import type { StartSnapshot } from '../../failover/host/group-directory.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { ManualClock } from '../../lib/clock.js';
import { native } from '../../lib/native/native.js';

const status: Status = { role: 'following', epoch: 1, position: 0, ready: true, speaks: false, state: null };

class Bench {
  readonly ring = new Ring(native(), new ArrayBuffer(RING_HEADER + 65_536));
  readonly sent: [string, MessageType][] = [];
  readonly leader: LogSender;

  constructor(stable = Number.POSITIVE_INFINITY) {
    this.ring.format(new Uint8Array(SECRET_LENGTH));
    this.ring.words[Word.ready] = 1;
    const state: GroupState = { epoch: 1, primary: 'a', inSync: ['a'], stable: 0 };
    this.leader = new LogSender(this.ring, 'a', state, null, stable, {
      send: (peer, type) => this.sent.push([peer, type]) > 0,
      sendData: () => true,
      takes: () => true,
      wake: () => undefined,
      clock: new ManualClock(),
      welcome: () => ({ secret: '', snapshot: {} as StartSnapshot }),
    });
    this.log(8);
  }

  /** The member writes so many units, and comes round. */
  log(units: number): void {
    const { words } = this.ring;
    words[Word.head] = words[Word.head]! + units;
    words[Word.eventEnd] = words[Word.head]!;
    words[Word.heartbeat] = words[Word.heartbeat]! + 1;
    this.leader.pump(0);
    this.leader.settle();
  }

  /** A backup begins, and holds all that there is. */
  join(peer: string): void {
    this.leader.follow(peer, { epoch: 0, position: 0, consumed: 0 });
    this.hold(peer, 0);
    this.leader.pump(0);
    this.hold(peer, this.head);
    this.leader.heard(peer, status);
    this.leader.settle();
  }

  hold(peer: string, position: number): void {
    this.leader.ack(peer, position);
  }

  get head(): number {
    return this.ring.words[Word.head]!;
  }

  get waits(): boolean {
    return this.ring.words[Word.readerReady] === 1;
  }

  get stable(): number {
    return this.ring.words[Word.commitPosition]!;
  }

  /** Until a proposal comes. */
  proposal(...peers: string[]): GroupState {
    for (let n = 0; n < 10; n++) {
      const proposal = this.leader.proposal();
      if (proposal !== null) return proposal;
      this.log(1);
      for (const peer of peers) this.hold(peer, this.head);
    }
    throw new Error('no proposal');
  }
}

t.test('a backup is in sync when it holds all that was let out, and output waits for it', async (t) => {
  const bench = new Bench();
  t.notOk(bench.waits, 'nobody is there');
  bench.join('b');
  t.ok(bench.waits, 'output waits before the state says so');
  t.equal(bench.leader.proposal(), null, 'what left before may not be logged yet');
  const proposal = bench.proposal('b');
  t.same(proposal.inSync, ['a', 'b']);
  bench.leader.adopt(proposal);
  bench.log(5);
  t.equal(bench.stable, bench.head - 5);
  bench.hold('b', bench.head);
  t.equal(bench.stable, bench.head);
  t.equal(bench.leader.proposal(), null);
  bench.leader.down('b');
  bench.log(5);
  t.equal(bench.stable, bench.head - 5, 'until the state says that it is gone');
  const alone = bench.proposal();
  t.same(alone.inSync, ['a']);
  bench.leader.adopt(alone);
  t.notOk(bench.waits);
});

t.test('a proposal that is on its way may be in force', async (t) => {
  const bench = new Bench();
  bench.join('b');
  const proposal = bench.proposal('b');
  bench.leader.tries(proposal);
  const held = bench.stable;
  bench.leader.down('b');
  bench.log(5);
  t.ok(bench.waits, 'b may be the one to go on');
  t.equal(bench.stable, held);
  // Nothing is heard of it; another one is tried.
  const alone = bench.proposal();
  t.same(alone.inSync, ['a'], 'proposed, though it is what was known last');
  bench.leader.tries(alone);
  t.ok(bench.stable <= held || bench.waits);
  bench.leader.adopt(alone);
  t.notOk(bench.waits);
});

t.test('a proposal that is refused never was', async (t) => {
  const bench = new Bench();
  bench.join('b');
  bench.leader.tries(bench.proposal('b'));
  bench.leader.down('b');
  bench.leader.refused();
  bench.log(1);
  t.notOk(bench.waits);
});

t.test('one that comes again has to hold what was let out meanwhile', async (t) => {
  const bench = new Bench();
  bench.join('b');
  bench.log(1);
  bench.log(1);
  bench.leader.proposal();
  bench.leader.down('b');
  bench.log(100);
  t.notOk(bench.waits, 'let out');
  const let_out = bench.head;
  bench.leader.follow('b', { epoch: 1, position: 8, consumed: 8 });
  bench.hold('b', 8);
  bench.leader.heard('b', status);
  for (let n = 0; n < 5; n++) bench.log(1);
  t.equal(bench.leader.proposal(), null, 'it holds 8');
  bench.leader.pump(0);
  bench.hold('b', let_out - 1);
  t.equal(bench.leader.proposal(), null, 'not all');
  bench.hold('b', bench.head);
  t.same(bench.proposal('b').inSync, ['a', 'b']);
});

t.test('one of two has to hold it', async (t) => {
  const bench = new Bench(1);
  for (const peer of ['b', 'c']) bench.join(peer);
  const proposal = bench.proposal('b', 'c');
  t.same(proposal, { epoch: 1, primary: 'a', inSync: ['a', 'b', 'c'], stable: 1 });
  bench.leader.adopt(proposal);
  bench.log(10);
  bench.hold('c', bench.head);
  t.equal(bench.stable, bench.head);
  // The one that has it goes: the other one does not know what was let out.
  bench.leader.down('c');
  t.equal(bench.leader.proposal(), null, 'b has to have it first');
  bench.hold('b', bench.head);
  t.same(bench.leader.proposal()?.inSync, ['a', 'b']);
});

t.test('one that believes to be fed and is not, is told', async (t) => {
  const bench = new Bench();
  bench.leader.heard('b', status);
  t.same(bench.sent.at(-1), ['b', MessageType.Refuse]);
  bench.leader.heard('b', { ...status, role: 'looking' });
  t.equal(bench.sent.length, 1);
});
