/** A backup rehearses a takeover, without any effect but that its code is compiled. */
import t from 'tap';
import { warmUp } from '../../failover/replica/warm-up.js';

t.test('the rehearsal is a whole takeover, and the second one is faster', async (t) => {
  const tookMs: number[] = [];
  for (let n = 0; n < 3; n++) {
    const began = performance.now();
    t.equal(warmUp(), true, 'everything came back over the thawed connection');
    tookMs.push(performance.now() - began);
  }
  t.ok(Math.min(tookMs[1], tookMs[2]) < tookMs[0], `${tookMs.map((ms) => ms.toFixed(1)).join(', ')} ms`);
});
