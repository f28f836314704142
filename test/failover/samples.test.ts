/** What a program reads, or changes, at once: on a primary, on a backup, and across a takeover. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { addonName } from '../../failover/runtime/table/addons.js';
import { inChild } from './runtime-child.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-samples-'));
writeFileSync(join(directory, 'small.txt'), 'first\nsecond\n');
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

t.test('values that are read at once come from the log', async (t) => {
  const primary = await inChild('samples', { directory });
  t.ok((primary.counters['samples'] ?? 0) > 40, 'they are logged');
  t.same(primary.nondeterministic, [], 'none is reported');
  const backup = await inChild('samples', { directory, recording: primary.recording });
  t.same(backup.trace, primary.trace, 'a backup gives the same');
  t.same(backup.divergences, []);
  t.equal(backup.counters['replayedSamples'], primary.counters['samples']);
  t.equal(backup.counters['samples'], 0, 'a backup asks nobody');
  // A program that asks for more, or for less, than the primary's.
  for (const [change, complaint] of [
    [(samples: unknown[]) => samples.pop(), /nothing more in this event/],
    [(samples: unknown[]) => samples.push(['os.freemem', '']), /os\.freemem: the program does not call it/],
    [(samples: unknown[]) => samples.splice(0, 1, ['os.freemem', '']), /the primary's called os\.freemem/],
  ] as const) {
    const recording = structuredClone(primary.recording);
    change(recording.events[0].samples);
    const { divergences } = await inChild('samples', { directory, recording });
    t.match(divergences[0], complaint);
  }
});

t.test('beyond the end of the log a backup asks itself, and logs it', async (t) => {
  const primary = await inChild('samples', { directory });
  const at = primary.recording.events.findIndex(({ samples }) => samples.length > 3) + 1;
  const { samples } = primary.recording.events[at - 1];
  for (const loggedSamples of [0, 1, samples.length]) {
    const options = { directory, recording: primary.recording, goLiveAfter: at, loggedSamples };
    const successor = await inChild('samples', options);
    t.same(successor.divergences, []);
    t.equal(successor.counters['unloggedSamples'], samples.length - loggedSamples);
    const third = await inChild('samples', { directory, recording: successor.recording });
    t.same(third.divergences, [], 'a third replica repeats both');
    t.same(third.trace, successor.trace);
  }
});

t.test('errors of synchronous calls are the same, their stacks included', async (t) => {
  const primary = await inChild('syncErrors', { directory });
  rmSync(join(directory, 'made'), { recursive: true });
  const backup = await inChild('syncErrors', { directory, recording: primary.recording });
  t.same(backup.trace, primary.trace);
  t.same(backup.divergences, []);
  t.throws(() => readFileSync(join(directory, 'made')), { code: 'ENOENT' }, 'a backup makes nothing');
  const codes = primary.trace.map((line) => /\b(?:E[A-Z]{3,}|ERR_\w+)\b/.exec(line)?.[0] ?? line.split(' ')[0]);
  t.same(codes, [
    ...['ENOENT', 'ENOENT', 'ok', 'EEXIST', 'ok', 'EEXIST', 'ENOENT', 'ok', 'ENOENT', 'ENOENT'],
    ...['ERR_INVALID_ARG_TYPE', 'ENOENT', 'Error'],
  ]);
  t.match(primary.trace[0], 'sample-scenarios', 'a stack begins in the program');
  t.notMatch(primary.trace[0], /samples\.js|node:fs/);
  t.match(primary.trace.at(-1), '"status":4');
});

t.test('a file that is read and written at once', async (t) => {
  const file = join(directory, 'counter.txt');
  const primary = await inChild('counter', { directory });
  t.same(primary.trace, ['0 1 1', '1 2 1', '2 3 1', '3 4 1']);
  const backup = await inChild('counter', { directory, recording: primary.recording });
  t.same(backup.trace, primary.trace, 'though the file has its last contents all the time');
  t.same(backup.divergences, []);
  const { events } = primary.recording;
  const wanted = primary.trace.map((line) => line.split(' ').slice(1).join(' '));
  for (let at = 1; at <= events.length; at += 2) {
    for (let logged = 1; logged <= events[at - 1].samples.length; logged += 2) {
      rmSync(file, { force: true });
      // The primary dies in the middle of the event: the rest of it has not happened.
      const dead = await inChild('counter', { directory, stopAfter: at, dieAfterSamples: logged });
      const { recording } = dead;
      const live = await inChild('counter', { directory, recording, goLiveAfter: at });
      t.same(
        live.trace.map((line) => line.split(' ').slice(1).join(' ')),
        wanted,
        `it dies in event ${at} after ${logged} calls`,
      );
      t.same(live.divergences, []);
      t.equal(readFileSync(file, 'utf8'), '4');
    }
  }
});

t.test('children run on the live replica, and what they say are events', async (t) => {
  const primary = await inChild('children', { directory });
  t.same(primary.trace, [
    'number true ["cat"] false',
    'one two ["spawn ","exit 0,","close 0,"] 0 null',
    '{"stdout":"out\\n","stderr":"wrong\\n"}',
    'Command failed: echo out; exit 3\n 3 false null echo out; exit 3 out\n',
    'ENOENT spawn no-such-file no-such-file ["x"]',
    'true true [null,"SIGTERM"]',
    'true SIGTERM',
    'ERR_CHILD_PROCESS_STDIO_MAXBUFFER 1000',
    '300000',
    'end',
  ]);
  t.same(primary.nondeterministic, []);
  const backup = await inChild('children', { directory, recording: primary.recording });
  t.same(backup.trace, primary.trace);
  t.same(backup.divergences, []);
  t.equal(backup.counters['samples'], 0, 'a backup starts none');
});

t.test('a child does not outlive its primary', async (t) => {
  const primary = await inChild('orphan', { directory, stopAfter: 1 });
  t.equal(primary.trace[0], 'started');
  const successor = await inChild('orphan', { directory, recording: primary.recording, goLiveAfter: 1 });
  t.same(successor.trace, ['started', 'exit null SIGKILL'], 'the program hears that it was killed');
  await new Promise((done) => setTimeout(done, 2500));
  t.throws(() => readFileSync(join(directory, 'late')), 'and it was');
});

t.test('native addons are refused by name, unless they are known', async (t) => {
  const { trace, nondeterministic } = await inChild('addons', { directory });
  t.match(trace[0], /^unknown ERR_FT_UNSUPPORTED The native addon unknown .* --allow-addon unknown/);
  t.match(trace[1], /^bufferutil ERR_DLOPEN_FAILED /, 'Node looks for what is known');
  t.match(trace[2], /^bcrypt ERR_DLOPEN_FAILED /);
  t.same(nondeterministic, []);
  for (const [file, name] of [
    ['/a/node_modules/b/node_modules/@img/sharp-linux-x64/lib/sharp.node', '@img/sharp'],
    ['/a/node_modules/better-sqlite3/build/Release/better_sqlite3.node', 'better-sqlite3'],
    ['./build/mine.node', 'mine'],
  ] as const)
    t.equal(addonName(file), name);
});
