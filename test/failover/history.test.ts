/** The history of a group in its two files: bounded, without secrets, read whatever is in them. */
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventRecord } from '../../failover/admin/event-log.js';
import { parsePeer, REASONS } from '../../failover/admin/explain.js';
import { HISTORY_FILES, History } from '../../failover/admin/history.js';
import { explainText } from '../../failover/cli/history.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-history-'));
t.teardown(() => rmSync(directory, { recursive: true }));
let number = 0;

function history(): [History, (name: string) => string] {
  const prefix = `${number++}-`;
  const file = (name: string): string => join(directory, prefix + name);
  return [new History(file), file];
}

function record(event: 'protected' | 'unprotected' | 'kernel-socket' | 'diverged', data: object) {
  return eventRecord(event, data, { group: 'web' }, 0);
}

t.test('marked events are kept, others are not, and nothing that a program said', async (t) => {
  const [kept, file] = history();
  t.same(kept.read(), []);
  kept.add('protected', record('protected', { unprotected: 1 }), null);
  kept.add('kernel-socket', record('kernel-socket', { what: 'x' }), null);
  const said = {
    reason: 'other bytes',
    here: 'password',
    primary: 'password',
    lastEvents: ['password'],
    error: 'password',
  };
  kept.add('diverged', record('diverged', said), null);
  t.match(kept.read(), [{ event: 'protected' }, { event: 'diverged', reason: 'other bytes' }]);
  t.equal(kept.read().length, 2);
  t.notMatch(readFileSync(file(HISTORY_FILES[0]), 'utf8'), 'password');
  t.equal(statSync(file(HISTORY_FILES[0])).mode & 0o777, 0o600);
});

t.test('two files of a bounded size', async (t) => {
  const [kept, file] = history();
  for (let i = 0; i < 2000; i++)
    kept.add('unprotected', record('unprotected', { reason: `${i} ${'x'.repeat(1000)}` }), null);
  for (const name of HISTORY_FILES) t.ok(statSync(file(name)).size < 66_000, name);
  const all = kept.read();
  t.ok(all.length > 100);
  t.match(String(all.at(-1)?.['reason']), /^1999 x{295}$/, 'long texts are cut');
});

t.test('totals: of the last line that has them', async (t) => {
  const [kept, file] = history();
  t.same(kept.totals(), { takeovers: { death: 0, hang: 0, switchover: 0 }, unprotectedMs: 0 });
  const totals = { takeovers: { death: 2, hang: 0, switchover: 1 }, unprotectedMs: 70 };
  kept.add('protected', record('protected', { unprotected: 0 }), totals);
  kept.add('unprotected', record('unprotected', { reason: 'x' }), null);
  writeFileSync(file(HISTORY_FILES[0]), '{"event":"x","totals":{"takeovers":null}}\n{"event', { flag: 'a' });
  t.same(kept.totals(), totals, 'lines that are none do not count');
});

t.test('anything may be in the files', async (t) => {
  const [kept, file] = history();
  writeFileSync(file(HISTORY_FILES[1]), Buffer.alloc(300_000, 0xff));
  writeFileSync(file(HISTORY_FILES[0]), 'null\n[]\n7\n{"event":1}\n\n');
  t.equal(kept.read().length, 1);
  const [linked, link] = history();
  symlinkSync('/etc/passwd', link(HISTORY_FILES[0]));
  t.same(linked.read(), [], 'a link is not followed');
  const gone = new History(() => '/no/such/directory/x');
  gone.add('protected', record('protected', { unprotected: 1 }), null);
  t.same(gone.read(), []);
});

t.test('peers, and what is said of them', async (t) => {
  t.same(parsePeer('10.77.0.1:50123'), { address: '10.77.0.1', port: 50_123 });
  t.same(parsePeer('[FD77:0::1]:1'), { address: 'fd77::1', port: 1 });
  for (const wrong of ['', '10.77.0.1', ':80', '10.77.0.1:0', '10.77.0.1:65536', '[10.77.0.1', 'host:80', '[]:1'])
    t.equal(parsePeer(wrong), undefined, wrong);
  t.match(explainText('10.0.0.1:5', { connections: [], total: 3, replayFailures: 0 }), /No connection .* 3 others/);
  for (const [name, { because, action }] of Object.entries(REASONS)) {
    t.match(name, /^[a-z]+(-[a-z]+)*$/);
    t.ok(because.endsWith('.') && action.endsWith('.'), `${name}: whole sentences`);
  }
});
