import t from 'tap';
import { StallDetector } from '../../failover/cluster/agent/stall-detector.js';

t.test('a counter that moves or is idle does not stall', async (t) => {
  const detector = new StallDetector();
  let stalls = 0;
  for (let n = 0; n < 40; n++) if (detector.isStalled(n * 100, n, false, 500)) stalls++;
  for (let n = 40; n < 80; n++) if (detector.isStalled(n * 100, 7, true, 500)) stalls++;
  t.equal(stalls, 0);
});

t.test('a counter that stands still stalls after eight observations and the limit, again and again', async (t) => {
  const detector = new StallDetector();
  const at: number[] = [];
  for (let n = 0; n < 25; n++) if (detector.isStalled(10_000 + n * 100, 8, false, 500)) at.push(n);
  t.same(at, [8, 16, 24]);
});

t.test('a long pause of the observer is no stall', async (t) => {
  const detector = new StallDetector();
  t.notOk(detector.isStalled(0, 8, false, 500));
  t.notOk(detector.isStalled(1e9, 8, false, 500), 'the second observation');
  t.notOk(detector.isStalled(1e9, 9, false, 500), 'progress');
});
