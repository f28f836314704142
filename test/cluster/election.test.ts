/** The election policy, as tables: a situation, and the decision of the node in it. */
import t, { type Test } from 'tap';
import { type Decision, type ElectionInput, mayLead, mayStartGroup } from '../../failover/cluster/agent/election.js';
import type { Peer } from '../../failover/cluster/agent/peers.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import type { AgentStatus } from '../../failover/cluster/transport/messages.js';

interface Case {
  title: string;
  /** Differences to the usual input. */
  input?: Partial<ElectionInput>;
  state?: GroupState | null;
  peers?: Record<string, Peer>;
  /** What the decision has to contain. */
  expected: object;
}

interface TakeoverCase extends Case {
  position?: number;
  leaderGone?: boolean;
}

function peer(role: AgentStatus['role'], epoch = 0, position = 0): Peer {
  const status: AgentStatus = { role, epoch, position, ready: true, holdsLease: false, state: null };
  return { incarnation: 'x', status, heardUs: 100, up: true };
}

/** Node b of a, b and c, with the log of epoch 4. */
function inputOf({ input = {}, state = null, peers = {} }: Case): ElectionInput {
  return {
    self: 'b',
    nodes: ['a', 'b', 'c'],
    peerTimeoutMs: 500,
    newGroupDelayMs: 10_000,
    noStateStore: false,
    waitedUs: 0,
    view: { state, holder: null },
    viewAtUs: 50,
    peers: new Map(Object.entries(peers)),
    epoch: 4,
    ...input,
  };
}

const stateOf = (inSync: string[], requiredBackups: number, epoch = 4, primary = 'a'): GroupState => ({
  epoch,
  primary,
  inSync,
  requiredBackups,
});

const CLAIM = { kind: 'claim' } as const;
const WAIT = { kind: 'wait' } as const;
const DISCARD = { kind: 'discard' } as const;

function check(test: Test, cases: readonly Case[], decide: (one: Case) => Decision): void {
  for (const one of cases) test.match(decide(one), one.expected, one.title);
}

function checkStart(test: Test, cases: readonly Case[]): void {
  check(test, cases, (one) => mayStartGroup(inputOf(one)));
}

function checkTakeover(test: Test, cases: readonly TakeoverCase[]): void {
  check(test, cases, (one: TakeoverCase) => mayLead(inputOf(one), one.position ?? 100, one.leaderGone ?? true));
}

t.test('a new group starts in the order of succession', async (t) => {
  checkStart(t, [
    { title: 'the first node, at once', input: { self: 'a' }, expected: CLAIM },
    { title: 'the second node, too early', input: { waitedUs: 100_000 }, expected: WAIT },
    {
      title: 'the second node, in its turn',
      input: { waitedUs: 300_000 },
      expected: { kind: 'claim', reason: 'new-group', state: { epoch: 1, inSync: ['b'] } },
    },
  ]);
});

t.test('an old group is resumed by its last leader, or started anew much later', async (t) => {
  const ours = stateOf(['b', 'c'], 1, 4, 'b');
  const theirs = stateOf(['a', 'c'], 1);
  checkStart(t, [
    { title: 'the last leader, too early', state: ours, input: { waitedUs: 900_000 }, expected: WAIT },
    {
      title: 'the last leader, in time',
      state: ours,
      input: { waitedUs: 1_100_000 },
      expected: { reason: 'resume', state: { epoch: 5 } },
    },
    {
      title: 'the last leader, while a backup has the log',
      state: ours,
      input: { waitedUs: 1_100_000 },
      peers: { c: peer('disconnected', 4) },
      expected: WAIT,
    },
    { title: 'another node, too early', state: theirs, input: { waitedUs: 9e6 }, expected: WAIT },
    {
      title: 'another node, after the delay',
      state: theirs,
      input: { waitedUs: 11e6 },
      expected: { reason: 'new-group', leaderGone: false, state: { epoch: 5 } },
    },
  ]);
});

t.test('without a state store the first node starts when all are there, any node after a fence', async (t) => {
  const two: Partial<ElectionInput> = { nodes: ['a', 'b'], noStateStore: true };
  checkStart(t, [
    {
      title: 'the first node, and the other one joins',
      input: { ...two, self: 'a' },
      peers: { b: peer('joining') },
      expected: { kind: 'claim', leaderGone: true },
    },
    { title: 'the first node, alone', input: { ...two, self: 'a' }, expected: WAIT },
    {
      title: 'the second node, while the first one joins',
      input: { ...two, waitedUs: 5e6 },
      peers: { a: peer('joining') },
      expected: WAIT,
    },
    {
      title: 'the second node, alone for long',
      input: { ...two, waitedUs: 11e6 },
      expected: { kind: 'claim', leaderGone: false },
    },
  ]);
});

t.test('all backups hold the log: the first one takes over, the next one a little later', async (t) => {
  const state = stateOf(['a', 'b', 'c'], 2);
  const later = { waitedUs: 200_000 };
  checkTakeover(t, [
    {
      title: 'the first backup',
      state,
      expected: { kind: 'claim', reason: 'takeover', state: { epoch: 5, inSync: ['b'], requiredBackups: 0 } },
    },
    { title: 'the second one, at once', state, input: { self: 'c' }, expected: WAIT },
    { title: 'the second one, in its turn', state, input: { self: 'c', ...later }, expected: CLAIM },
    {
      title: 'the second one, while the first one is a candidate',
      state,
      input: { self: 'c', ...later },
      peers: { b: peer('disconnected', 4, 100) },
      expected: WAIT,
    },
    {
      title: 'another backup has a longer log',
      state,
      input: later,
      peers: { c: peer('disconnected', 4, 101) },
      expected: WAIT,
    },
    {
      title: 'another backup has a longer log, and does not take over',
      state,
      input: { waitedUs: 2_000_000 },
      peers: { c: peer('disconnected', 4, 101) },
      expected: CLAIM,
    },
  ]);
});

t.test('one of two backups holds the log: both must be heard, and the longer log wins', async (t) => {
  const state = stateOf(['a', 'b', 'c'], 1);
  const long = { waitedUs: 60e6 };
  const stale = { ...peer('disconnected', 4, 90), heardUs: 10 };
  const down = { ...peer('disconnected', 4, 90), up: false };
  checkTakeover(t, [
    { title: 'the other one is not heard', state, input: long, expected: WAIT },
    { title: 'it follows', state, input: long, peers: { c: peer('follower', 4, 90) }, expected: WAIT },
    { title: 'it has another epoch', state, input: long, peers: { c: peer('disconnected', 3, 90) }, expected: WAIT },
    { title: 'its log is longer', state, input: long, peers: { c: peer('disconnected', 4, 101) }, expected: WAIT },
    { title: 'its log is shorter', state, peers: { c: peer('disconnected', 4, 90) }, expected: CLAIM },
    {
      title: 'its log is shorter, across the wrap of positions',
      state,
      position: 3,
      peers: { c: peer('disconnected', 4, 0xffff_fff0) },
      expected: CLAIM,
    },
    { title: 'it was heard before the lease had expired', state, peers: { c: stale }, expected: WAIT },
    { title: 'its connection is down', state, peers: { c: down }, expected: WAIT },
  ]);
});

t.test('a claim whose answer was lost is repeated with the next epoch', async (t) => {
  checkTakeover(t, [
    {
      title: 'our claim',
      state: stateOf(['b'], 0, 5, 'b'),
      expected: { kind: 'claim', reason: 'takeover', state: { epoch: 6 } },
    },
    { title: 'a later epoch of ours', state: stateOf(['b'], 0, 6, 'b'), expected: WAIT },
  ]);
});

t.test('a copy that is of no use is discarded after the delay', async (t) => {
  const states = {
    'no state': null,
    'not in sync': stateOf(['a', 'c'], 1),
    'a newer epoch': stateOf(['a', 'b'], 1, 5),
  };
  for (const [title, state] of Object.entries(states))
    checkTakeover(t, [
      { title: `${title}, before`, state, input: { waitedUs: 5e6 }, expected: WAIT },
      { title: `${title}, after`, state, input: { waitedUs: 11e6 }, expected: DISCARD },
    ]);
});

t.test('a leader that may be alive is not fenced for a short break of the connection', async (t) => {
  const state = stateOf(['a', 'b'], 1);
  checkTakeover(t, [
    { title: 'short', state, leaderGone: false, input: { waitedUs: 900_000 }, expected: WAIT },
    {
      title: 'long',
      state,
      leaderGone: false,
      input: { waitedUs: 1_100_000 },
      expected: { kind: 'claim', leaderGone: false },
    },
  ]);
});
