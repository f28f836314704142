/** Chunks in order, wherever they lie. */
import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { ReceiveQueue } from '../../stack/tcp/tcb/receive-queue.js';

t.test('chunks come out as they went in, however many there are', async (t) => {
  const queue = new ReceiveQueue();
  const random = new SeededRandom('receive queue');
  const sources = Array.from({ length: 5 }, (_, n) => Uint8Array.from({ length: 1000 }, (_, i) => (i * (n + 3)) & 255));
  const expected: Uint8Array[] = [];
  let wrong = 0;
  let most = 0;
  for (let i = 0; i < 50_000; i++) {
    const fill = (i >> 9) % 3 > 0;
    if (random.u32() % 5 < (fill ? 3 : 1)) {
      const bytes = sources[random.u32() % sources.length];
      const from = random.u32() % 900;
      const length = 1 + (random.u32() % 100);
      queue.push(bytes, from, length);
      expected.push(bytes.subarray(from, from + length));
    } else if (expected.length > 0) {
      queue.drop();
      expected.shift();
    }
    most = Math.max(most, expected.length);
    if (queue.length !== expected.length) wrong++;
    if (expected.length === 0) continue;
    const n = random.u32() % expected.length;
    if (queue.lengthAt(n) !== expected[n].length || Buffer.compare(queue.viewAt(n), expected[n]) !== 0) wrong++;
  }
  t.equal(wrong, 0);
  t.ok(most > 256, `${most} at once: more than an empty one keeps room for`);
  while (queue.length > 0) queue.drop();
  queue.drop();
  t.equal(queue.length, 0, 'an empty one stays so');
});

t.test('chunks are moved and cut', async (t) => {
  const queue = new ReceiveQueue();
  const bytes = Buffer.from('0123456789');
  queue.push(bytes, 2, 3);
  queue.push(bytes, 5, 5);
  queue.move(1, Buffer.from('fghij'));
  t.equal(queue.viewAt(1).toString(), 'fghij');
  t.equal(queue.fromAt(1), 0);
  queue.cut(1);
  t.equal(queue.viewAt(0).toString(), '34');
  t.equal(queue.lengthAt(0), 2);
  t.equal(queue.sourceAt(0), bytes);
});
