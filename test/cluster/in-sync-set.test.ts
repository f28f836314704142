/**
 * The arithmetic of the in-sync set, as tables. Members are written with what they hold: "b:90 c:?
 * d:100" are three backups, of which c has not answered.
 */
import t from 'tap';
import {
  type FollowerProgress,
  InSyncSet,
  jointPosition,
  quorumPosition,
} from '../../failover/cluster/agent/in-sync-set.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';

const ALL = Number.POSITIVE_INFINITY;

/** Members and what they hold. */
function parse(text: string): { set: string[]; acked: (peer: string) => number | null } {
  const held = new Map<string, number | null>();
  for (const word of text.split(' ').filter(Boolean)) {
    const [peer = '', position = '?'] = word.split(':');
    held.set(peer, position === '?' ? null : Number(position));
  }
  return { set: [...held.keys()], acked: (peer) => held.get(peer) ?? null };
}

t.test('the position that k of n members hold', async (t) => {
  // Members, k, end of the log, floor, expected position.
  const table: [string, string, number, number, number, number][] = [
    ['an empty set holds everything', '', 1, 100, 10, 100],
    ['an empty set, all', '', ALL, 100, 10, 100],
    ['one of one', 'b:90', 1, 100, 10, 90],
    ['one that holds everything', 'b:100', 1, 100, 10, 100],
    ['one of two: the faster one', 'b:90 c:70', 1, 100, 10, 90],
    ['two of two: the laggard', 'b:90 c:70', 2, 100, 10, 70],
    ['two of three: the one in the middle', 'b:70 c:90 d:80', 2, 100, 10, 80],
    ['three of three', 'b:70 c:90 d:80', 3, 100, 10, 70],
    ['k above n means all', 'b:90 c:70', 5, 100, 10, 70],
    ['all', 'b:90 c:70 d:80', ALL, 100, 10, 70],
    ['a member without an answer is not needed', 'b:90 c:?', 1, 100, 10, 90],
    ['a member without an answer is needed', 'b:90 c:?', 2, 100, 10, 10],
    ['no member has answered', 'b:? c:?', 1, 100, 10, 10],
    ['equal positions', 'b:80 c:80', 2, 100, 10, 80],
    ['across the wrap of positions', 'b:4294967290 c:3', 2, 5, 0, 4_294_967_290],
    ['across the wrap, the faster one', 'b:4294967290 c:3', 1, 5, 0, 3],
    ['the end of the log has just wrapped', 'b:4294967295', 1, 0, 0, 4_294_967_295],
  ];
  for (const [title, members, required, head, floor, expected] of table) {
    const { set, acked } = parse(members);
    t.equal(quorumPosition(set, acked, { required, head, floor }), expected, title);
  }
});

t.test('several sets: the lowest of their positions', async (t) => {
  const { acked } = parse('b:90 c:70 d:?');
  const table: [string, string[][], number, number][] = [
    ['no set', [], 1, 100],
    ['only empty sets', [[], []], 1, 100],
    ['an empty set beside another one', [[], ['b']], 1, 90],
    ['the old and the new set', [['b'], ['c']], 1, 70],
    ['one of b and c, and c alone', [['b', 'c'], ['c']], 1, 70],
    ['all of each', [['b', 'c'], ['b']], ALL, 70],
    ['a new member without an answer', [['b'], ['b', 'd']], ALL, 10],
    ['a new member without an answer, of which one is enough', [['b'], ['b', 'd']], 1, 90],
  ];
  for (const [title, sets, required, expected] of table)
    t.equal(jointPosition(sets, acked, { required, head: 100, floor: 10 }), expected, title);
});

/** "b" is ready, "b!" is not, "b-" is not connected, "b?" has not answered. */
function followers(text: string): FollowerProgress[] {
  return text
    .split(' ')
    .filter(Boolean)
    .map((word) => ({
      peer: word.replace(/[!?-]$/, ''),
      ready: !word.endsWith('!'),
      up: !word.endsWith('-'),
      acked: word.endsWith('?') ? null : 50,
    }));
}

const stateOf = (inSync: string, requiredBackups: number, epoch = 3): GroupState => ({
  epoch,
  primary: 'a',
  inSync: inSync.split(''),
  requiredBackups,
});

t.test('who should be in sync', async (t) => {
  const table: [string, string, string, string][] = [
    ['nobody follows', 'a', '', ''],
    ['a new backup', 'a', 'b', 'b'],
    ['new backups, by name', 'a', 'c b', 'b,c'],
    ['members keep their place', 'acb', 'b c d', 'c,b,d'],
    ['not ready', 'ab', 'b! c', 'c'],
    ['not connected', 'ab', 'b- c', 'c'],
    ['no answer', 'ab', 'b? c', 'c'],
    ['a member that is not there', 'abc', 'b', 'b'],
    ['a member that returns comes last', 'ac', 'b c', 'c,b'],
  ];
  for (const [title, inSync, present, expected] of table)
    t.equal(new InSyncSet('a', stateOf(inSync, 1), ALL).eligible(followers(present)).join(), expected, title);
});

t.test('the state to propose', async (t) => {
  // Required backups; state in force; proposal under way; backups; expected state.
  const table: [string, number, GroupState, GroupState | null, string, GroupState | null][] = [
    ['nothing changes', ALL, stateOf('ab', 1), null, 'b', null],
    ['a backup joins', ALL, stateOf('a', 0), null, 'b', stateOf('ab', 1)],
    ['a second one joins', ALL, stateOf('ab', 1), null, 'bc', stateOf('abc', 2)],
    ['one of two is enough', 1, stateOf('ab', 1), null, 'bc', stateOf('abc', 1)],
    ['two are required, one is there', 2, stateOf('a', 0), null, 'b', stateOf('ab', 1)],
    ['a backup is removed', ALL, stateOf('abc', 2), null, 'c', stateOf('ac', 1)],
    ['the last backup is removed', ALL, stateOf('ab', 1), null, '', stateOf('a', 0)],
    ['another order', ALL, stateOf('abc', 2), null, 'cb', stateOf('acb', 2)],
    ['the epoch stays', 1, stateOf('a', 0, 9), null, 'b', stateOf('ab', 1, 9)],
    [
      'back to the known state, while another may be in force',
      ALL,
      stateOf('a', 0),
      stateOf('ab', 1),
      '',
      stateOf('a', 0),
    ],
  ];
  for (const [title, required, state, proposed, backups, expected] of table) {
    const set = new InSyncSet('a', state, required);
    if (proposed !== null) set.propose(proposed);
    t.same(set.stateWith(backups.split('').filter(Boolean)), expected, title);
  }
});

t.test('removal and return: a member counts until its removal is in force', async (t) => {
  const set = new InSyncSet('a', stateOf('ab', 1), ALL);
  t.same(set.backupSets, [['b']]);
  const removal = set.stateWith([]);
  t.same(removal, stateOf('a', 0));
  set.propose(stateOf('a', 0));
  t.ok(set.mayContain('b'), 'the removal may have failed');
  t.same(set.backupSets, [['b'], []]);
  set.adopt(stateOf('a', 0));
  t.notOk(set.mayContain('b'));
  t.same(set.backupSets, [[]]);
  set.propose(stateOf('ab', 1));
  t.ok(set.mayContain('b'), 'it may be back');
  t.same(set.backupSets, [[], ['b']]);
  set.reject();
  t.notOk(set.mayContain('b'), 'it is known not to be');
  t.same(set.state, stateOf('a', 0));
});
