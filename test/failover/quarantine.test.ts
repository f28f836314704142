/** A suspect event: what it throws, how long it runs, and the end of the process in it. */
import t from 'tap';
import { ProcessEnd } from '../../failover/backup/process-end.js';
import { Quarantine } from '../../failover/backup/quarantine.js';
import { native } from '../../lib/native/native.js';

/** An event's memory may grow by this. */
const MEMORY_BYTES = 256 * 1024 * 1024;

function make(limitMs: number | null = 300) {
  const aborted: number[] = [];
  const interrupted: string[] = [];
  const abort = (conn: number): unknown => aborted.push(conn);
  const quarantine = new Quarantine({
    abort,
    interrupted: () => interrupted.push('interrupted'),
    limitMs,
    withinMemory: (fn) => native().callWithinMemory(fn, MEMORY_BYTES),
  });
  return { quarantine, aborted, interrupted };
}

// The tests' own frame wraps `reallyExit`.
const { exit, abort, kill } = process as unknown as Record<string, unknown>;

function changed(): string[] {
  const now = process as unknown as Record<string, unknown>;
  const before = { exit, abort, kill };
  return Object.entries(before)
    .filter(([name, value]) => now[name] !== value)
    .map(([name]) => name);
}

t.test('every way to end the process throws, and resets the connection', async (t) => {
  const ways: [() => unknown, RegExp][] = [
    [() => process.exit(2), /process\.exit\(2\)/],
    [() => process.abort(), /process\.abort\(\)/],
    [() => process.kill(process.pid, 'SIGKILL'), /SIGKILL/],
    [() => process.kill(process.pid, 11), /process\.kill\(process\.pid, 11\)/],
  ];
  for (const [way, says] of ways) {
    const { quarantine, aborted } = make();
    quarantine.watch(7);
    t.throws(() => quarantine.run(() => way() !== null), ProcessEnd);
    t.ok(quarantine.isWatching);
    t.same(aborted, [7]);
    t.match(quarantine.end(), { conn: 7, error: says });
    t.notOk(quarantine.isWatching);
    t.same(changed(), [], 'and afterwards they do what they did');
  }
});

t.test('an event that exhausts the heap, or memory beside it, is interrupted', async (t) => {
  const kept: unknown[] = [];
  const ways: Record<string, () => unknown> = {
    heap: () => kept.push(new Array(10_000).fill(0.5)),
    buffers: () => kept.push(Buffer.alloc(1024 * 1024, 1)),
  };
  for (const [name, grow] of Object.entries(ways)) {
    const { quarantine, aborted, interrupted } = make(60_000);
    quarantine.watch(9);
    const endless = (): boolean => {
      for (;;) grow();
    };
    t.throws(() => quarantine.run(endless), { message: 'The event exhausted the memory' }, name);
    t.same(aborted, [9]);
    t.same(interrupted, ['interrupted']);
    t.match(quarantine.end(), { conn: 9, error: /exhausted the memory/ });
    t.ok(kept.length > 0);
    kept.length = 0;
  }
  const { quarantine } = make();
  quarantine.watch(1);
  t.equal(
    quarantine.run(() => true),
    true,
    'and the next event runs',
  );
  t.equal(quarantine.end(), null);
});

t.test('a program that catches it does not escape', async (t) => {
  const { quarantine, aborted } = make();
  quarantine.watch(3);
  const swallow = (): boolean => {
    try {
      process.exit(1);
    } catch {
      return true;
    }
  };
  t.equal(quarantine.run(swallow), true);
  t.same(aborted, [3]);
  t.match(quarantine.end(), { conn: 3, error: /process\.exit\(1\)/ });
});

t.test('harmless signals, and questions, pass', async (t) => {
  const { quarantine, aborted } = make();
  quarantine.watch(1);
  t.equal(
    quarantine.run(() => process.kill(process.pid, 0)),
    true,
  );
  t.equal(quarantine.end(), null);
  t.same(aborted, []);
});

// Loops in ticks and microtasks are in poison.test.ts: they need the event loop's own turns.
t.test('an event that does not end is interrupted', async (t) => {
  const endless: (() => void)[] = [
    () => {
      for (;;);
    },
    () => void /^(a+)+$/.test(`${'a'.repeat(60)}b`),
  ];
  for (const [n, event] of endless.entries()) {
    const { quarantine, aborted, interrupted } = make(200);
    const body = (): boolean => {
      event();
      return true;
    };
    const begun = Date.now();
    quarantine.watch(5);
    t.throws(() => quarantine.run(body), { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' }, `event ${n}`);
    t.match(quarantine.end(), { conn: 5, error: /did not end within 200 ms/ });
    t.ok(Date.now() - begun >= 190);
    t.same(aborted, [5]);
    t.same(interrupted, ['interrupted']);
  }
});

t.test('an event without a suspicion runs as it is, and so does one without a guard', async (t) => {
  for (const limitMs of [300, null]) {
    const { quarantine } = make(limitMs);
    t.equal(
      quarantine.run(() => false),
      false,
    );
    t.equal(quarantine.end(), null);
    t.same(changed(), []);
  }
});
