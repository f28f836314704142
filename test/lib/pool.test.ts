import t from 'tap';
import { Pool } from '../../lib/pool.js';

t.test('what is given back is used again, up to a limit', async (t) => {
  let made = 0;
  const spare = new Pool(2, () => ({ number: ++made }));
  const [a, b, c] = [spare.take(), spare.take(), spare.take()];
  t.equal(made, 3);
  for (const one of [a, b, c]) spare.give(one);
  t.same([spare.take(), spare.take()], [b, a], 'the last one first, and no more than two');
  t.equal(spare.take().number, 4);
});
