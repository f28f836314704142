/** Events that a backup does not repeat leave no trace in those that it does. */
import t from 'tap';
import { ProcessCheckpoint } from '../../failover/connections/checkpoint/process-checkpoint.js';
import { LogicalTime } from '../../failover/runtime/core/logical-time.js';
import { Runtime } from '../../failover/runtime/runtime.js';

/** What a program sees of time in an event that looks so often. */
function look(time: LogicalTime, times: number): number[] {
  return Array.from({ length: times }, () => time.mono() + time.wall() / 1e6);
}

t.test('time: reads of the clock in an unreplicated event are not counted', async (t) => {
  const [primary, backup] = [new LogicalTime(), new LogicalTime()];
  for (let n = 1; n < 50; n++) {
    const [mono, wall] = [n * 10, n];
    if (n % 3 === 0) {
      primary.begin(mono, wall, 'unreplicated');
      const seen = look(primary, 40);
      t.ok(
        seen.every((value, i) => i === 0 || value > seen[i - 1]),
        'it goes on there, too',
      );
      continue;
    }
    primary.begin(mono, wall);
    backup.begin(mono, wall);
    t.same(look(primary, n % 7), look(backup, n % 7));
    t.equal(primary.peek(), backup.peek());
  }
});

t.test('ids: what an unreplicated event begins is known by its sign; the others are as without it', async (t) => {
  const runtime = (): Runtime =>
    new Runtime({
      secret: new Uint8Array(32),
      live: true,
      native: null,
      request: () => undefined,
    });
  const [primary, backup] = [runtime(), runtime()];
  for (let n = 1; n < 20; n++) {
    const unreplicated = n % 2 === 0;
    primary.beginEvent(n, n, n, unreplicated ? 'unreplicated' : 'live');
    t.equal(primary.isUnreplicated, unreplicated);
    if (unreplicated) {
      t.ok([primary.drawId(), primary.drawId()].every((id) => id < 0));
    } else {
      backup.beginEvent(n, n, n);
      t.same([primary.drawId(), primary.drawId()], [backup.drawId(), backup.drawId()]);
      backup.endEvent();
    }
    primary.endEvent();
  }
});

t.test('saved values are bounded, and say whose they are', async (t) => {
  const saved = new ProcessCheckpoint();
  const told: string[] = [];
  saved.onSave = (name) => told.push(name);
  saved.save('a', { n: 1 });
  t.same(told, ['a']);
  t.notOk(saved.hasForeignValues);
  t.throws(() => saved.save('x'.repeat(257), 1), { code: 'ERR_FT_CONTEXT' });
  t.throws(() => saved.save(7 as unknown as string, 1), { code: 'ERR_FT_CONTEXT' });
  t.throws(() => saved.save('big', Buffer.alloc(70_000)), { code: 'ERR_FT_CONTEXT' });
  for (let n = 0; n < 255; n++) saved.save(`n${n}`, n);
  t.throws(() => saved.save('one more', 1), { code: 'ERR_FT_CONTEXT' });
  saved.save('a', { n: 2 });
  let got: unknown[] = [];
  saved.onRestore = (get) => {
    got = [get('a'), get('n7'), get('nothing')];
  };
  const other = new ProcessCheckpoint();
  other.onRestore = saved.onRestore;
  saved.forEach((name, bytes) => {
    other.adopt(name, bytes);
  });
  t.ok(other.hasForeignValues);
  other.restore();
  t.notOk(other.hasForeignValues);
  t.same(got, [{ n: 2 }, 7, undefined]);
});
