import t from 'tap';
import { StallDetector } from '../../lib/stall-detector.js';

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

t.test('when both have stood still, the other one has all of its time again', async (t) => {
  // The observer looks each 2 ms, the counter moves each 20 ms: many looks lie between two moves.
  for (let phase = 1; phase < 10; phase++) {
    const detector = new StallDetector();
    let stalled = false;
    const look = (us: number, value: number): void => {
      stalled ||= detector.isStalled(us, value, false, 500_000);
    };
    for (let us = 0; us < 2000 * phase + 200_000; us += 2000) look(us, Math.floor(us / 20_000));
    // The freezer; then the observer runs first.
    for (let us = 10_000_000; us < 10_400_000; us += 2000) look(us, 10);
    t.notOk(stalled, `phase ${phase}`);
    for (let us = 10_400_000; us < 10_600_000; us += 2000) look(us, 10);
    t.ok(stalled, 'a hang is detected all the same');
  }
});
