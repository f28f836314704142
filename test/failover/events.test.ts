/**
 * The events' table: each line has the common fields, and every event says what the operator does.
 */
import t from 'tap';
import { COMMON_EVENT_FIELDS, EVENT_SCHEMA, EVENTS, eventLine } from '../../failover/admin/events.js';

t.test('a line has the common fields, then its own', async (t) => {
  const at = Date.UTC(2026, 10, 30, 5, 46, 23, 7);
  const line = JSON.parse(eventLine('protected', { unprotected: 3 }, { group: 'web' }, at));
  t.match(line, { event: 'protected', schema: EVENT_SCHEMA, time: '2026-11-30T05:46:23.007Z', group: 'web' });
  t.equal(line.pid, process.pid);
  t.equal(line.unprotected, 3);
  t.notOk('node' in line, 'only agents have a node');
  const ofAgent = JSON.parse(eventLine('leader', { epoch: 2, how: 'alone' }, { group: 'web', node: 'a' }, at));
  t.same(Object.keys(ofAgent).slice(0, 7), Object.keys(COMMON_EVENT_FIELDS));
});

t.test('the table', async (t) => {
  for (const [name, { when, action, fields }] of Object.entries(EVENTS)) {
    t.match(name, /^[a-z]+(-[a-z]+)*$/);
    t.ok(when.endsWith('.') && action.endsWith('.'), `${name}: whole sentences`);
    for (const field of Object.keys(fields)) t.notOk(field in COMMON_EVENT_FIELDS, `${name}.${field} is its own`);
  }
});
