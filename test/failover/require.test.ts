/** `ft-tcp status --require`: what a group lacks, as a sentence. */
import t from 'tap';
import type { ReplicaStatus } from '../../failover/admin/status.js';
import type { Requirement } from '../../failover/cli/group-options.js';
import { type GroupStatus, lackOf } from '../../failover/cli/status.js';

/** The part of a status that counts. */
type Part = Partial<Pick<ReplicaStatus, 'protected' | 'joining' | 'loading' | 'lagBytes' | 'connections'>>;

function status(role: 'primary' | 'backup', part: Part = {}, more: object = {}): GroupStatus {
  const connections = { total: 2, protected: 2 };
  const base = { role, protected: true, joining: false, loading: false, lagBytes: 0, connections };
  const replica = { ...base, ...part } as ReplicaStatus;
  return { schema: 1, group: 'web', replicas: [replica], unresponsive: [], ...more };
}

const NOBODY: GroupStatus = { schema: 1, group: 'web', replicas: [], unresponsive: [] };
const AWAY = { cluster: { node: 'b', role: 'follower', peers: { a: { up: true, role: 'leader' } } } };

const CASES: [what: string, GroupStatus, Requirement, RegExp | null][] = [
  ['a primary', status('primary', { protected: false }), 'primary', null],
  ['nobody', NOBODY, 'primary', /^Group web has no primary\. Start one/],
  ['one that hangs', { ...NOBODY, unresponsive: [7] }, 'protected', /no primary; process 7 does not answer/],
  ['protected', status('primary'), 'all-connections', null],
  ['no backup', status('primary', { protected: false }), 'protected', /not protected\. Start a backup/],
  [
    'a backup joins',
    status('primary', { protected: false, joining: true, lagBytes: 9 }),
    'protected',
    /yet: .* 9 bytes/,
  ],
  ['it loads', status('primary', { protected: false, loading: true }), 'protected', /being loaded/],
  ['older connections', status('primary', { connections: { total: 3, protected: 1 } }), 'protected', null],
  ['older ones count', status('primary', { connections: { total: 3, protected: 1 } }), 'all-connections', /2 of 3/],
  ['led by another machine', status('backup', {}, AWAY), 'protected', null],
  ['not followed', status('backup', { protected: false }, AWAY), 'protected', /node b does not follow/],
];

t.test('what a group lacks', async (t) => {
  for (const [what, group, required, expected] of CASES) {
    const lack = lackOf(group, required);
    if (expected === null) t.equal(lack, null, what);
    else t.match(lack, expected, what);
  }
});
