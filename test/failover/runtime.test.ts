import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../../lib/native/native.js';
import { inChild } from './runtime-child.js';
import type { Report, RunOptions } from './runtime-harness.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-runtime-'));
const content = Buffer.alloc(333_333);
for (let i = 0; i < content.length; i++) content[i] = (i * 31) ^ (i >> 8);
writeFileSync(join(directory, 'input.bin'), content);
writeFileSync(join(directory, 'small.txt'), 'first\nsecond\n');
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

let hasNative = true;
try {
  native();
} catch {
  hasNative = false;
}

/**
 * Primary, backup on the whole recording, and backups that take over on the way: all see the same.
 */
async function compare(test: Tap.Test, scenario: string, options: Partial<RunOptions> = {}): Promise<Report> {
  const primary = await inChild(scenario, { directory, ...options });
  test.notMatch(primary.trace.join('\n'), /NOT FINISHED/, 'the primary finishes');
  const { recording } = primary;
  const backup = await inChild(scenario, { directory, ...options, recording, unknownIds: true });
  test.same(backup.trace, primary.trace, 'the backup sees what the primary saw');
  test.same(backup.divergences, [], 'nothing diverged');
  test.equal(backup.unknown, primary.unknown, 'events that came to nothing');
  return primary;
}

/** Backups that go live after some of the events finish the program. */
async function takeovers(
  test: Tap.Test,
  scenario: string,
  primary: Report,
  options: Partial<RunOptions> = {},
): Promise<Report[]> {
  const { recording, trace } = primary;
  const steps = Math.max(1, Math.ceil(recording.events.length / 6));
  const reports: Report[] = [];
  for (let at = 0; at < recording.events.length; at += steps) {
    const backup = await inChild(scenario, { directory, ...options, recording, goLiveAfter: at });
    test.notMatch(backup.trace.join('\n'), /NOT FINISHED/, `finishes after event ${at}`);
    test.equal(backup.trace.length, trace.length, 'as many lines as the primary');
    reports.push(backup);
  }
  return reports;
}

namespace Tap {
  export type Test = typeof t;
}

t.test('timers and immediates', async (t) => {
  const primary = await compare(t as typeof t & Tap.Test, 'timers');
  const order = primary.trace.map((line) => line.split(' ')[0]);
  t.ok(order.indexOf('t1a') < order.indexOf('t1b'), 'same delay: in the order of creation');
  t.ok(order.indexOf('i2') < order.indexOf('i3'), 'an immediate of an immediate comes later');
  t.notOk(primary.trace.some((line) => line.startsWith('never')));
  t.ok(primary.trace.includes('refreshed true'));
  t.equal(primary.trace.indexOf('tick in i1'), primary.trace.indexOf('i1') + 1);
  t.equal(primary.trace.indexOf('microtask in i1'), primary.trace.indexOf('i1') + 2);
  await takeovers(t as never, 'timers', primary);
});

t.test('promises of timers, abort signals, async context', async (t) => {
  const primary = await compare(t as never, 'promises');
  t.ok(primary.trace.includes('kept'), 'AsyncLocalStorage is kept');
  t.ok(primary.trace.includes('AbortError ABORT_ERR The operation was aborted'));
  t.ok(primary.trace.includes('TimeoutError'));
  t.ok(primary.trace.includes('ERR_INVALID_ARG_TYPE'));
  await takeovers(t as never, 'promises', primary);
});

t.test('logical time', async (t) => {
  const primary = await compare(t as never, 'time');
  t.match(primary.trace[1], 'true true true 6');
  t.match(primary.trace[2], 'true true string 7 Date');
  t.match(primary.trace.at(-1), 'backwards 0');
  await takeovers(t as never, 'time', primary);
});

for (const name of ['asymmetric', 'symmetric'])
  t.test(`${name} cryptography of other threads`, async (t) => {
    const primary = await compare(t as never, name);
    t.same(primary.nondeterministic, []);
    await takeovers(t as never, name, primary);
  });

t.test('randomness of OpenSSL', { skip: hasNative ? false : 'the native addon has not been built' }, async (t) => {
  const primary = await compare(t as never, 'randomness');
  t.ok(primary.trace.includes('ERR_OUT_OF_RANGE'));
  await takeovers(t as never, 'randomness', primary);
});

t.test('reading files', async (t) => {
  const primary = await compare(t as never, 'reads');
  t.match(primary.trace[0], 'stream 333333');
  const log = primary.recording.events.reduce((sum, event) => sum + event.result.length, 0);
  t.ok(log < 20_000, `data that a backup can read by itself is not in the log (${log} characters)`);
  for (const backup of await takeovers(t as never, 'reads', primary)) t.same(backup.trace, primary.trace);
  const without = await inChild('reads', { directory, withoutNative: true });
  t.same(without.trace, primary.trace, 'without the addon');
});

t.test('callback, promise and synchronous functions of fs', async (t) => {
  const primary = await compare(t as never, 'faces');
  const text = 'first\nsecond\n';
  t.same(primary.trace, [
    'nothing read 0 4',
    '["returned","callback null 0"] 0',
    '6 rst\nse',
    `${text} `,
    'EBADF fstat file closed',
    '13',
    text,
    JSON.stringify([
      ...['ENOENT', 'ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_VALUE', 'ENOENT'],
      ...['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_OUT_OF_RANGE'],
    ]),
    'ENOENT',
    'ERR_INVALID_ARG_VALUE',
  ]);
  for (const backup of await takeovers(t as never, 'faces', primary)) t.same(backup.trace, primary.trace);

  const file = join(directory, 'faces.txt');
  const wanted = 'vector text whole syncvec callback';
  const writer = await inChild('writeFaces', { directory });
  t.same(writer.trace, ['7 2', '5 text ', '8', '13', 'end']);
  t.equal(readFileSync(file, 'utf8'), wanted);
  rmSync(file);
  const backup = await inChild('writeFaces', { directory, recording: writer.recording });
  t.same(backup.trace, writer.trace);
  t.throws(() => readFileSync(file), 'a backup writes nothing');
});

t.test('a file that differs is reported', async (t) => {
  const primary = await inChild('reads', { directory });
  writeFileSync(join(directory, 'small.txt'), 'first\nSECOND\n');
  const backup = await inChild('reads', { directory, recording: primary.recording });
  writeFileSync(join(directory, 'small.txt'), 'first\nsecond\n');
  t.match(backup.divergences[0], /small\.txt/);
  t.ok(backup.counters['divergences'] > 0);
});

t.test('writing files', async (t) => {
  const made = join(directory, 'made');
  const files = ['sync.txt', 'renamed.txt', 'stream.txt', 'iterable.txt', 'fd.txt'];
  const look = (): string[] => files.map((name) => readFileSync(join(made, name), 'utf8'));
  const primary = await inChild('writes', { directory });
  const wanted = look();
  t.same(wanted, ['sync', 'one two three', 'line 0\nline 1\nline 2\nline 3\nline 4\n', 'abc', 'abcdef']);
  t.equal(primary.output, 'to stdout\nby console\n');
  rmSync(made, { recursive: true });

  const backup = await inChild('writes', { directory, recording: primary.recording });
  t.same(backup.trace, primary.trace);
  t.throws(look, 'a backup writes nothing');
  t.equal(backup.output, '', 'nor to standard output');
  t.equal(backup.counters['suppressedOutput'], 21);
  t.ok(backup.counters['suppressedEffects'] > 10);
  t.same(backup.divergences, []);

  const { events } = primary.recording;
  for (let at = 0; at <= events.length; at++) {
    rmSync(made, { recursive: true, force: true });
    // The primary carried out the effects of the first events, and died.
    const again = await inChild('writes', { directory, stopAfter: at });
    const live = await inChild('writes', {
      directory,
      recording: { ...primary.recording, events: again.recording.events },
      goLiveAfter: at,
    });
    t.same(look(), wanted, `all is written if the primary dies after event ${at}, with all its effects`);
    t.equal(live.trace.at(-1), 'end');
  }
});

t.test('an append is carried out once, except in the event in which the primary died', async (t) => {
  const log = join(directory, 'log.txt');
  const run = async (options: Partial<RunOptions>) => await inChild('appends', { directory, ...options });
  const { recording } = await run({});
  const { events } = recording;
  t.equal(readFileSync(log, 'utf8'), 'one two three ');
  for (let at = 0; at <= events.length; at++) {
    for (const finished of [true, false]) {
      rmSync(log, { force: true });
      const again = await run({ stopAfter: at });
      const last = readFileSync(log, 'utf8').trim().split(' ').at(-1)!;
      const mayRepeat = !finished && again.trace.at(-1) !== 'idle' && again.trace.at(-1) !== 'end';
      await run({ recording: { ...recording, events: again.recording.events }, goLiveAfter: at, finished });
      const words = readFileSync(log, 'utf8').trim();
      const wanted = 'one two three';
      t.ok(
        words === wanted || (mayRepeat && words === wanted.replace(last, `${last} ${last}`)),
        `${at} ${finished}: ${words}`,
      );
    }
  }
});

t.test('compression', async (t) => {
  const primary = await compare(t as never, 'compression');
  t.ok(primary.trace.includes('Z_DATA_ERROR'));
  await takeovers(t as never, 'compression', primary);
});

t.test('a web server', async (t) => {
  const inputs = ['/a', '/own', '/array', '/b'].map((url) => `GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const primary = await compare(t as never, 'web', { inputs });
  const heads = primary.trace.filter((line) => line.startsWith('HTTP/1.1'));
  t.equal(heads.length, 4);
  for (const head of heads) t.equal(head.toLowerCase().split('\r\ndate: ').length, 2, 'one date');
  t.match(heads[1], 'Date: mine\r\n');
  t.match(heads[2], 'date: also mine\r\n');
  await takeovers(t as never, 'web', primary, { inputs });
});

t.test('each API that replay cannot repeat is reported once', async (t) => {
  const report = await inChild('nondeterministic', { directory });
  t.same(report.nondeterministic, [
    ...["process.on('SIGUSR2')", 'v8.getHeapSnapshot', 'MessageChannel', 'performance.timerify'],
  ]);
});
