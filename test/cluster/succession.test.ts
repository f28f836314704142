import t from 'tap';
import { mayLead, mayStartGroup, type Peer, type Question } from '../../failover/cluster/agent/election.js';
import { StallDetector } from '../../failover/cluster/agent/stall-detector.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import type { Status } from '../../failover/cluster/transport/messages.js';

function peer(role: Status['role'], epoch = 0, position = 0): Peer {
  const status = { role, epoch, position, ready: true, speaks: false, state: null };
  return { incarnation: 'x', status, heardUs: 100, up: true };
}

function question(
  more: Partial<Question>,
  state: GroupState | null = null,
  peers: Record<string, Peer> = {},
): Question {
  return {
    self: 'b',
    nodes: ['a', 'b', 'c'],
    lostMs: 500,
    freshMs: 10_000,
    unasked: false,
    waitedUs: 0,
    view: { state, holder: null },
    viewUs: 50,
    peers: new Map(Object.entries(peers)),
    epoch: 4,
    ...more,
  };
}

const state = (inSync: string[], stable: number, epoch = 4, primary = 'a'): GroupState => ({
  epoch,
  primary,
  inSync,
  stable,
});

t.test('a new group: in the order of succession', async (t) => {
  t.equal(mayStartGroup(question({ self: 'a' })).kind, 'claim');
  t.equal(mayStartGroup(question({ waitedUs: 100_000 })).kind, 'wait');
  t.match(mayStartGroup(question({ waitedUs: 300_000 })), {
    kind: 'claim',
    how: 'begin',
    state: { epoch: 1, inSync: ['b'] },
  });
});

t.test('a group that was: whoever led last, then, late, anybody', async (t) => {
  const was = state(['b', 'c'], 1, 4, 'b');
  t.equal(mayStartGroup(question({ waitedUs: 900_000 }, was)).kind, 'wait');
  t.match(mayStartGroup(question({ waitedUs: 1_100_000 }, was)), { how: 'resume', state: { epoch: 5 } });
  t.equal(
    mayStartGroup(question({ waitedUs: 1_100_000 }, was, { c: peer('orphan', 4) })).kind,
    'wait',
    'c has the log',
  );
  const others = state(['a', 'c'], 1);
  t.equal(mayStartGroup(question({ waitedUs: 9e6 }, others)).kind, 'wait');
  t.match(mayStartGroup(question({ waitedUs: 11e6 }, others)), { how: 'begin', gone: false, state: { epoch: 5 } });
});

t.test('nobody to ask: the first begins when all are there, anybody when the others are off', async (t) => {
  const two = { nodes: ['a', 'b'], unasked: true };
  t.match(mayStartGroup(question({ ...two, self: 'a' }, null, { b: peer('looking') })), { kind: 'claim', gone: true });
  t.equal(mayStartGroup(question({ ...two, self: 'a' })).kind, 'wait');
  t.equal(
    mayStartGroup(question({ ...two, waitedUs: 5e6 }, null, { a: peer('looking') })).kind,
    'wait',
    'it is not the first',
  );
  t.match(mayStartGroup(question({ ...two, waitedUs: 11e6 })), { kind: 'claim', gone: false }, 'after a fence');
});

t.test('all had to hold it: the first in line goes on, the next one a little later', async (t) => {
  const all = state(['a', 'b', 'c'], 2);
  t.match(mayLead(question({}, all), 100, true), {
    kind: 'claim',
    how: 'go on',
    state: { epoch: 5, inSync: ['b'], stable: 0 },
  });
  t.equal(mayLead(question({ self: 'c' }, all), 100, true).kind, 'wait');
  t.equal(mayLead(question({ self: 'c', waitedUs: 200_000 }, all), 100, true).kind, 'claim');
  t.equal(
    mayLead(question({ self: 'c', waitedUs: 200_000 }, all, { b: peer('orphan', 4, 100) }), 100, true).kind,
    'wait',
  );
  t.equal(
    mayLead(question({ waitedUs: 200_000 }, all, { c: peer('orphan', 4, 101) }), 100, true).kind,
    'wait',
    'c has more',
  );
});

t.test('one of two had to hold it: both must be heard, and the one that has more goes on', async (t) => {
  const one = state(['a', 'b', 'c'], 1);
  t.equal(mayLead(question({ waitedUs: 60e6 }, one), 100, true).kind, 'wait', 'c may have more');
  t.equal(mayLead(question({ waitedUs: 60e6 }, one, { c: peer('following', 4, 90) }), 100, true).kind, 'wait');
  t.equal(
    mayLead(question({ waitedUs: 60e6 }, one, { c: peer('orphan', 3, 90) }), 100, true).kind,
    'wait',
    'another reign',
  );
  t.equal(mayLead(question({ waitedUs: 60e6 }, one, { c: peer('orphan', 4, 101) }), 100, true).kind, 'wait');
  t.equal(mayLead(question({}, one, { c: peer('orphan', 4, 90) }), 100, true).kind, 'claim');
  t.equal(mayLead(question({}, one, { c: peer('orphan', 4, 0xffff_fff0) }), 3, true).kind, 'claim', 'positions wrap');
  const old = { ...peer('orphan', 4, 90), heardUs: 10 };
  t.equal(mayLead(question({}, one, { c: old }), 100, true).kind, 'wait', 'from before the right had ended');
});

t.test('a claim of our own of which nothing was heard', async (t) => {
  const ours = state(['b'], 0, 5, 'b');
  t.match(mayLead(question({}, ours), 100, true), { kind: 'claim', how: 'go on', state: { epoch: 6 } });
  t.equal(mayLead(question({}, state(['b'], 0, 6, 'b')), 100, true).kind, 'wait', 'not one that we do not know of');
});

t.test('what is of no use', async (t) => {
  for (const other of [null, state(['a', 'c'], 1), state(['a', 'b'], 1, 5)]) {
    t.equal(mayLead(question({ waitedUs: 5e6 }, other), 100, true).kind, 'wait');
    t.equal(mayLead(question({ waitedUs: 11e6 }, other), 100, true).kind, 'discard');
  }
});

t.test('a connection that only broke switches nobody off', async (t) => {
  const two = state(['a', 'b'], 1);
  t.equal(mayLead(question({ waitedUs: 900_000 }, two), 100, false).kind, 'wait');
  t.match(mayLead(question({ waitedUs: 1_100_000 }, two), 100, false), { kind: 'claim', gone: false });
});

t.test('what stands still', async (t) => {
  const watch = new StallDetector();
  let stood = 0;
  for (let n = 0; n < 40; n++) if (watch.stands(n * 100, n, false, 500)) stood++;
  for (let n = 40; n < 80; n++) if (watch.stands(n * 100, 7, true, 500)) stood++;
  t.equal(stood, 0, 'it gets on, or has nothing to do');
  const at: number[] = [];
  for (let n = 0; n < 25; n++) if (watch.stands(10_000 + n * 100, 8, false, 500)) at.push(n);
  t.same(at, [8, 16, 24], 'after eight looks and the time; then anew');
  t.notOk(watch.stands(1e9, 8, false, 500) && watch.stands(1e9, 9, false, 500));
});
