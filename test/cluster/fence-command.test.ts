import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import { FenceCommandCoordinator } from '../../failover/cluster/coordinator/fence-command.js';
import { FenceHistory } from '../../failover/cluster/coordinator/fence-history.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-fence-'));
t.teardown(() => rmSync(directory, { recursive: true }));

function stateOf(epoch: number, primary: string): GroupState {
  return { epoch, primary, inSync: [primary], requiredBackups: 0 };
}

t.test('without a state store the fence command decides', async (t) => {
  const fenced: string[] = [];
  let works = false;
  const history = new FenceHistory(join(directory, 'first'), () => 0);
  const fence = async (node: string) => {
    fenced.push(node);
    return works;
  };
  const one = new FenceCommandCoordinator('a', ['b'], fence, { history, delayed: () => t.fail('no fence waits') });
  t.same(await one.read(), { state: null, holder: null });
  t.notOk(await one.claim(stateOf(1, 'a'), false), 'b may be on');
  t.equal(one.leaseUntilUs, 0);
  works = true;
  t.ok(await one.claim(stateOf(1, 'a'), false));
  t.equal(one.leaseUntilUs, Number.POSITIVE_INFINITY);
  t.same(fenced, ['b', 'b']);
  const both = { ...stateOf(1, 'a'), inSync: ['a', 'b'], requiredBackups: 1 };
  t.ok(await one.update(both, []));
  works = false;
  t.notOk(await one.update(stateOf(1, 'a'), []), 'b is not off');
  t.ok(await one.update(stateOf(1, 'a'), ['b']), 'b has shut down');
  t.equal(fenced.length, 3);
  await one.release();
  t.notOk(await one.renew());
  one.observe({ ...stateOf(2, 'b') });
  t.same((await one.read()).state, stateOf(2, 'b'));
  one.observe(stateOf(1, 'a'));
  t.same((await one.read()).state, stateOf(2, 'b'), 'an older state');
  t.ok(await one.claim(stateOf(3, 'a'), true), 'b is known to send no more');
});

t.test('nodes that do not hear each other do not fence each other without end', async (t) => {
  const path = join(directory, 'history', 'a.json');
  let nowMs = 1e12;
  let fences = 0;
  let delays: number[] = [];
  // A node that was switched off starts anew, with its file.
  const restart = (): FenceCommandCoordinator =>
    new FenceCommandCoordinator('a', ['b'], async () => ++fences > 0, {
      history: new FenceHistory(path, () => nowMs),
      delayed: (_node, delayMs) => delays.push(delayMs),
    });
  const day = 24 * 3_600_000;
  for (const end = nowMs + day; nowMs < end; nowMs += 1000) await restart().claim(stateOf(1, 'a'), false);
  t.equal(fences, 28, 'in a day: 0, 15, 75, 315, 1275, 4875 s, then one an hour');
  delays = [];
  const one = restart();
  nowMs += 3_600_000;
  t.ok(await one.claim(stateOf(1, 'a'), false));
  t.notOk(await one.claim(stateOf(1, 'a'), false));
  t.notOk(await one.claim(stateOf(1, 'a'), false));
  t.same(delays, [3_600_000], 'a delay is reported once');
  nowMs -= day;
  t.notOk(await one.claim(stateOf(1, 'a'), false));
  t.ok(await one.claim(stateOf(2, 'a'), true), 'nobody has to be fenced');
  t.ok(await one.update({ ...stateOf(2, 'a'), inSync: ['a', 'b'] }, []), 'the group is whole');
  t.ok(await one.update(stateOf(2, 'a'), []), 'the next failure is handled at once');
  fences = 0;
  const damaged = [
    '',
    '{',
    'null',
    '{"count":"x","lastMs":1}',
    '{"count":1e300,"lastMs":1}',
    '{"count":-4,"lastMs":0}',
  ];
  for (const text of damaged) {
    writeFileSync(path, text);
    t.ok(await restart().claim(stateOf(1, 'a'), false), text);
  }
  const failing = new FenceCommandCoordinator('a', ['b'], async () => false, {
    history: new FenceHistory(join(directory, 'second'), () => nowMs),
    delayed: () => t.fail('a fence that failed delays nothing'),
  });
  for (let i = 0; i < 5; i++) t.notOk(await failing.claim(stateOf(1, 'a'), false));
});
