import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { seqAdd, seqDiff, seqGe, seqGt, seqInWindow, seqLe, seqLt, unwrap, wire } from '../../lib/seq.js';

t.test('comparison follows the circle', async (t) => {
  const around = [0, 1, 5, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
  const steps = [0, 1, 2, 1000, 0x7ffffffe, 0x7fffffff];
  for (const a of around) {
    for (const step of steps) {
      const b = seqAdd(a, step);
      t.equal(seqDiff(b, a), step);
      t.equal(seqLt(a, b), step > 0);
      t.equal(seqLe(a, b), true);
      t.equal(seqGt(b, a), step > 0);
      t.equal(seqGe(b, a), true);
      t.equal(seqAdd(b, -step), a);
    }
  }
});

t.test('windows across the wrap', async (t) => {
  t.equal(seqInWindow(0xfffffff0, 0xfffffff0, 0x20), true);
  t.equal(seqInWindow(0x0f, 0xfffffff0, 0x20), true);
  t.equal(seqInWindow(0x10, 0xfffffff0, 0x20), false);
  t.equal(seqInWindow(0xffffffef, 0xfffffff0, 0x20), false);
  t.equal(seqInWindow(7, 7, 0), false, 'an empty window holds nothing');
});

t.test('unwrap finds the offset back, however long the connection', async (t) => {
  const random = new SeededRandom('unwrap');
  let wrong = 0;
  for (let i = 0; i < 100_000; i++) {
    const initial = random.u32();
    const near = Math.floor(random.float() * 2 ** 50) + 2 ** 31;
    const offset = near + (random.u32() | 0);
    if (unwrap(wire(initial, offset), initial, near) !== offset) wrong++;
  }
  t.equal(wrong, 0);
});
