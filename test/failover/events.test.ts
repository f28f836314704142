/**
 * The events' table: each line has the common fields, and every event says what the operator does.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EventLog, eventLine, eventText } from '../../failover/admin/event-log.js';
import { COMMON_EVENT_FIELDS, EVENT_SCHEMA, EVENTS, type EventName, levelOf } from '../../failover/admin/events.js';
import { FILE_OR_FD } from '../../failover/cli/value-types.js';

t.test('a line has the common fields, then its own', async (t) => {
  const at = Date.UTC(2026, 10, 30, 5, 46, 23, 7);
  const line = JSON.parse(eventLine('protected', { unprotected: 3 }, { group: 'web' }, at));
  t.match(line, { event: 'protected', schema: EVENT_SCHEMA, time: '2026-11-30T05:46:23.007Z', group: 'web' });
  t.equal(line.pid, process.pid);
  t.equal(line.unprotected, 3);
  t.notOk('node' in line, 'only agents have a node');
  const ofAgent = JSON.parse(eventLine('leader', { epoch: 2, how: 'alone' }, { group: 'web', node: 'a' }, at));
  t.same(Object.keys(ofAgent).slice(0, 8), Object.keys(COMMON_EVENT_FIELDS));
});

t.test('the table', async (t) => {
  for (const [name, { when, action, fields }] of Object.entries(EVENTS)) {
    t.match(name, /^[a-z]+(-[a-z]+)*$/);
    t.ok(when.endsWith('.') && action.endsWith('.'), `${name}: whole sentences`);
    for (const field of Object.keys(fields)) t.notOk(field in COMMON_EVENT_FIELDS, `${name}.${field} is its own`);
  }
});

const directory = mkdtempSync(join(tmpdir(), 'ft-events-'));
t.teardown(() => rmSync(directory, { recursive: true }));

/** A clock that the test moves, and what was written to standard error. */
function bench(isTTY = false): { clock: { nowUs: number; now(): number; wall(): number }; stderr: Written } {
  const clock = { nowUs: 0, now: () => clock.nowUs, wall: () => Date.UTC(2026, 0, 1) + clock.nowUs / 1000 };
  const stderr: Written = {
    isTTY,
    text: '',
    write(text: string) {
      stderr.text += text;
    },
  };
  return { clock, stderr };
}

interface Written {
  isTTY: boolean;
  text: string;
  write(text: string): void;
}

function lines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

t.test('a file of their own; standard error is silent, or has text on a terminal', async (t) => {
  const file = join(directory, 'events.jsonl');
  const quiet = bench();
  const log = new EventLog({ group: 'web' }, { target: { file }, ...quiet });
  log.report('protected', { unprotected: 0 });
  t.equal(quiet.stderr.text, '');
  const shown = bench(true);
  const second = new EventLog({ group: 'web' }, { target: { file }, ...shown });
  second.report('unprotected', { reason: 'it \x1b[31mended' });
  t.match(lines(readFileSync(file, 'utf8')), [{ event: 'protected', level: 'info' }, { event: 'unprotected' }]);
  t.equal(
    shown.stderr.text,
    `00:00:00.000 web ${process.pid}: unprotected  reason it \\x1b[31mended\n    ${EVENTS.unprotected.action}\n`,
    'a terminal is not controlled by what a program says',
  );
  log.close();
  second.close();
  t.throws(() => new EventLog({ group: 'web' }, { target: { file: join(directory, 'none', 'x') } }), {
    code: 'ENOENT',
  });
});

t.test('a descriptor: a pipe that nobody reads does not stop the process', async (t) => {
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(fifo, 'a');
  const { clock, stderr } = bench();
  const log = new EventLog({ group: 'web' }, { target: { fd }, clock, stderr });
  const reason = 'x'.repeat(1000);
  for (let i = 0; i < 300; i++) {
    clock.nowUs += 1_000_000;
    log.report('unprotected', { reason });
  }
  const bytes = Buffer.alloc(1 << 20);
  let read = readSync(reader, bytes, 0, bytes.length, null);
  clock.nowUs += 1_000_000;
  log.close();
  read += readSync(reader, bytes, read, bytes.length - read, null);
  const written = lines(bytes.toString('utf8', 0, read));
  const last = written.at(-1);
  t.match(last, { event: 'left-out', of: 'unprotected' });
  t.equal(written.length - 1 + Number(last?.['count']), 300, 'each is a whole line, or counted');
  closeSync(reader);
  closeSync(fd);
  t.throws(() => new EventLog({ group: 'web' }, { target: { fd: 9999 } }), { code: 'ERR_FT_USAGE' });
});

t.test('events of one name are bounded per second, and what is left out is counted', async (t) => {
  const { clock, stderr } = bench();
  const log = new EventLog({ group: 'web' }, { clock, stderr });
  for (let i = 0; i < 80; i++) log.report('kernel-socket', { what: `${i}` });
  log.report('protected', { unprotected: 0 });
  t.equal(lines(stderr.text).length, 51, 'other names are not affected');
  log.close();
  t.match(lines(stderr.text).at(-1), { event: 'left-out', of: 'kernel-socket', count: 30 });
});

t.test('text of any record', async (t) => {
  t.equal(eventText({}).includes('undefined'), true, 'it does not throw');
  const data = { breakdown: { reason: 'death', fenceUs: 3 }, list: ['a', 'b'], none: null, empty: [] };
  t.equal(
    eventText({ event: 'takeover', time: '2026-01-01T10:00:00.123Z', group: 'g', pid: 1, ...data }),
    '10:00:00.123 g 1: takeover  reason death  fenceUs 3  list a, b',
  );
});

t.test('levels come from what the operator does', async (t) => {
  t.equal(levelOf('ready'), 'info');
  t.equal(levelOf('unprotected'), 'warning');
  t.equal(levelOf('diverged'), 'error');
  for (const name of Object.keys(EVENTS) as EventName[])
    t.equal(levelOf(name) === 'info', EVENTS[name].action.startsWith('None'), name);
});

t.test('values of --events', async (t) => {
  t.same(FILE_OR_FD.read('3'), { fd: 3 });
  t.same(FILE_OR_FD.read('./3'), { file: './3' });
  for (const wrong of ['', '0', '1', '99999999999']) t.equal(FILE_OR_FD.read(wrong), undefined, wrong);
});

t.test('a line of a process that starts has all fields', async (t) => {
  const cli = new URL('../../../bin/ft-tcp.js', import.meta.url).pathname;
  const words = [cli, 'run', '--events', '9', '--dir', directory, 'none.js'];
  const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  t.equal(status, 2);
  t.match(stderr, /ERR_FT_USAGE: --events 9: no such descriptor is open\. Open it, as in 9>events\.jsonl/);
});
