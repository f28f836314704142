import t from 'tap';
import { Pool } from '../../lib/pool.js';

t.test('what is given back is used again, up to a limit', async (t) => {
  let made = 0;
  const pool = new Pool(2, () => ({ number: ++made }));
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  t.equal(made, 3);
  for (const one of [a, b, c]) pool.give(one);
  t.same([pool.take(), pool.take()], [b, a], 'the last one first, and no more than two');
  t.equal(pool.take().number, 4);
});
