import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { unwrap, wire } from '../../lib/seq.js';

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
