import t from 'tap';
import { Fifo } from '../../lib/fifo.js';
import { SeededRandom } from '../../lib/random.js';

t.test('first in, first out, as an array would', async (t) => {
  const random = new SeededRandom('fifo');
  const fifo = new Fifo<number>();
  const model: number[] = [];
  for (let n = 0; n < 100_000; n++) {
    // Long times of growth and of decay: it wraps, grows, and gives its room back.
    if (random.u32() % 100 < (Math.floor(n / 10_000) % 2 === 0 ? 75 : 25)) {
      fifo.push(n);
      model.push(n);
    } else if (fifo.shift() !== model.shift()) t.fail(`shift at ${n}`);
    if (fifo.size !== model.length || fifo.first() !== model[0]) t.fail(`size or first at ${n}`);
  }
  fifo.clear();
  t.equal(fifo.size, 0);
  t.equal(fifo.shift(), undefined);
  fifo.push(1);
  t.equal(fifo.first(), 1);
});

t.test('undefined is an item like others', async (t) => {
  const fifo = new Fifo<number | undefined>();
  fifo.push(undefined);
  fifo.push(2);
  t.equal(fifo.shift(), undefined);
  t.equal(fifo.size, 1);
  t.equal(fifo.shift(), 2);
});
