/**
 * A switchover on the primary's side, as a table of turns: what the log and the clock show, and
 * what follows.
 */
import t from 'tap';
import { ReaderFault, ShutdownKind } from '../../failover/log/ring-header.js';
import type { RingWriter } from '../../failover/log/ring-writer.js';
import { Switchover } from '../../failover/primary/switchover.js';

/** A log's writer as far as a switchover looks at it. */
class FakeWriter {
  readerReady = true;
  readerAttached = true;
  lag = 100;
  stored: number[] = [];
  fault = 0;
  readonly ring = { store: (_word: number, value: number) => this.stored.push(value), load: () => this.fault };
}

function setUp(): { calls: string[]; writer: FakeWriter; step(nowUs: number): void; switchover: Switchover } {
  const calls: string[] = [];
  const writer = new FakeWriter();
  const switchover = new Switchover({
    beginning: () => calls.push('beginning'),
    waiting: () => calls.push('waiting'),
    completed: () => calls.push('completed'),
    refused: () => calls.push('refused'),
    kick: () => calls.push('kick'),
  });
  const step = (nowUs: number): void => switchover.step(writer as unknown as RingWriter, nowUs);
  return { calls, writer, step, switchover };
}

t.test('it completes when the backup has read the log to its end', async (t) => {
  const { calls, writer, step, switchover } = setUp();
  const done = switchover.begin(writer as unknown as RingWriter, 0);
  t.ok(switchover.underWay);
  step(1000);
  t.same(calls, ['kick', 'beginning', 'waiting']);
  step(2000);
  t.same(calls.slice(3), ['waiting'], 'it begins once');
  writer.lag = 0;
  step(3000);
  await done;
  t.same(calls.slice(4), ['waiting', 'completed']);
  t.same(writer.stored, [1], 'the log says that it was a switchover');
  step(4000);
  t.equal(calls.length, 6, 'nothing more happens');
});

t.test('a backup that is about to end is not handed the group', async (t) => {
  const { calls, writer, step, switchover } = setUp();
  const failed = t.rejects(switchover.begin(writer as unknown as RingWriter, 0), { code: 'ERR_FT_UNPROTECTED' });
  writer.lag = 0;
  writer.fault = ReaderFault.Leaving;
  step(1000);
  t.same(writer.stored, [ShutdownKind.Switchover, ShutdownKind.None], 'it is taken back');
  t.ok(switchover.underWay, 'until the primary has let the backup go');
  writer.readerAttached = false;
  step(2000);
  await failed;
  t.same(calls.slice(-2), ['refused', 'kick']);
});

t.test('a backup that does not reach the end in 3 seconds, or is lost, cannot take over', async (t) => {
  for (const lost of [false, true]) {
    const { calls, writer, step, switchover } = setUp();
    const done = switchover.begin(writer as unknown as RingWriter, 0);
    const failed = t.rejects(done, { code: 'ERR_FT_UNPROTECTED' });
    step(3_000_000);
    t.ok(switchover.underWay);
    if (lost) writer.readerAttached = false;
    step(lost ? 3_000_000 : 3_000_001);
    await failed;
    t.same(calls.slice(-2), ['refused', 'kick']);
    t.notOk(switchover.underWay);
    t.same(writer.stored, []);
    t.ok(switchover.begin(writer as unknown as RingWriter, 5_000_000), 'it can be tried again');
  }
});

t.test('it is refused without a backup that is in sync, and while another one is under way', async (t) => {
  const { writer, switchover } = setUp();
  await t.rejects(switchover.begin(null, 0), { code: 'ERR_FT_UNPROTECTED' });
  writer.readerReady = false;
  await t.rejects(switchover.begin(writer as unknown as RingWriter, 0), { code: 'ERR_FT_UNPROTECTED' });
  writer.readerReady = true;
  switchover.begin(writer as unknown as RingWriter, 0).catch(() => undefined);
  await t.rejects(switchover.begin(writer as unknown as RingWriter, 0), { code: 'ERR_FT_STATE' });
});
