import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { TimerNode, TimerWheel } from '../../lib/timer-wheel.js';

/** A wheel against a plain list, under random schedules, cancels and advances. */
function compare(seed: string, operations: number, spread: number): { fired: number; problems: string[] } {
  const random = new SeededRandom(seed);
  const start = random.u32();
  const wheel = new TimerWheel(start);
  const problems: string[] = [];
  let now = start;
  let fired = 0;
  const due = new Map<TimerNode, number>();
  const nodes: TimerNode[] = Array.from({ length: 200 }, (_, i) => {
    const node: TimerNode = new TimerNode(() => {
      const deadline = due.get(node);
      if (deadline === undefined) problems.push(`timer ${i} fired without being set`);
      else if (now < deadline) problems.push(`timer ${i} fired ${deadline - now} us early`);
      due.delete(node);
      fired++;
      // Timers set timers.
      if (random.u32() % 4 === 0) set(nodes[random.u32() % nodes.length]);
    });
    return node;
  });
  const set = (node: TimerNode): void => {
    const deadline = now + Math.floor(random.float() ** 4 * spread);
    due.set(node, deadline);
    wheel.schedule(node, deadline);
  };
  for (let i = 0; i < operations; i++) {
    const node = nodes[random.u32() % nodes.length];
    const choice = random.u32() % 10;
    if (choice < 5) set(node);
    else if (choice < 7) {
      due.delete(node);
      wheel.cancel(node);
    } else {
      const next = wheel.nextDeadline();
      const earliest = Math.min(...due.values());
      // What is due already comes with the next tick.
      if (next > Math.max(Math.ceil(earliest / 1000), Math.floor(now / 1000) + 1) * 1000)
        problems.push(`next deadline ${next} is behind ${earliest}`);
      now += choice < 9 ? Math.floor(random.float() * 5000) : Math.min(spread, Math.max(0, next - now));
      wheel.advance(now);
      for (const [late, deadline] of due) {
        if (deadline <= now - 1000) problems.push(`timer ${nodes.indexOf(late)} is ${now - deadline} us late`);
      }
    }
    if (wheel.size !== due.size) problems.push(`size ${wheel.size}, should be ${due.size}`);
    if (problems.length > 5) break;
  }
  return { fired, problems };
}

t.test('agrees with a list', async (t) => {
  for (const [seed, spread] of [
    ['ms', 20_000],
    ['s', 5e6],
    ['minutes', 3e8],
    ['days', 2e11],
  ] as const) {
    const { fired, problems } = compare(seed, 30_000, spread);
    t.same(problems, [], seed);
    t.ok(fired > 1000, `${fired} timers fired`);
  }
});

t.test('a deadline in the past, and one beyond the reach', async (t) => {
  const wheel = new TimerWheel(10_000_000);
  let fired = 0;
  const node = new TimerNode(() => fired++);
  wheel.schedule(node, 5);
  wheel.advance(10_001_000);
  t.equal(fired, 1);
  const far = 10_000_000 + 60 * 86_400e6;
  wheel.schedule(node, far);
  for (let now = 10_001_000; now < far; now = Math.max(now + 1, Math.min(far, wheel.nextDeadline())))
    wheel.advance(now);
  t.equal(fired, 1, 'not early');
  wheel.advance(far + 1000);
  t.equal(fired, 2);
  t.equal(wheel.nextDeadline(), Number.POSITIVE_INFINITY);
});

t.test('callbacks may cancel and move any timer', async (t) => {
  const wheel = new TimerWheel(0);
  const order: string[] = [];
  const b = new TimerNode(() => order.push('b'));
  const c = new TimerNode(() => order.push('c'));
  const a = new TimerNode(() => {
    order.push('a');
    wheel.cancel(b);
    wheel.schedule(c, 9000);
    wheel.schedule(a, order.length === 1 ? 7000 : 50_000);
  });
  wheel.schedule(a, 4000);
  wheel.schedule(b, 5000);
  wheel.schedule(c, 5000);
  wheel.advance(6000);
  wheel.advance(7500);
  wheel.advance(10_000);
  t.same(order, ['a', 'a', 'c']);
  t.equal(wheel.size, 1, 'a waits again');
  t.equal(b.active, false);
});
