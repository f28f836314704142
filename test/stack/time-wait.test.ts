/** The table of TIME_WAIT against a plain model of it, through random use. */
import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { type TimeWaitEntry, TimeWaitTable } from '../../stack/tcp/time-wait.js';

function entry(n: number, expiresUs: number): TimeWaitEntry {
  return {
    localAddress: 0xc0a80001,
    remoteAddress: 0x0a000000 + (n >> 4),
    localPort: 80,
    remotePort: 1000 + (n & 15),
    sndNxt: (n * 2_654_435_761) >>> 0,
    rcvNxt: (n * 40_503) >>> 0,
    tsOk: n % 3 === 0,
    tsRecent: n,
    tsOffset: 0xffffffff - n,
    rcvWindow: n & 0xffff,
    expiresUs,
    answeredUs: Number.NEGATIVE_INFINITY,
    synAnsweredUs: Number.NEGATIVE_INFINITY,
  };
}

const tuple = (one: TimeWaitEntry): [number, number, number, number] => [
  one.localAddress,
  one.localPort,
  one.remoteAddress,
  one.remotePort,
];

t.test('behaves as a Map with expiry', async (t) => {
  for (const seed of ['a', 'b', 'c']) {
    const random = new SeededRandom(seed);
    const limit = 300;
    const table = new TimeWaitTable(limit);
    const model = new Map<number, TimeWaitEntry>();
    let now = 0;
    let evicted = 0;
    let wrong = 0;
    const put = (n: number, one: TimeWaitEntry): void => {
      model.delete(n);
      if (model.size >= limit) {
        model.delete(model.keys().next().value as number);
        evicted++;
      }
      model.set(n, one);
    };
    for (let step = 0; step < 20_000; step++) {
      now += random.u32() % 100;
      const n = random.u32() % 600;
      const what = random.u32() % 10;
      if (what < 5) {
        const one = entry(n, now + 100_000);
        table.add(one);
        put(n, one);
      } else if (what === 5) {
        table.delete(...tuple(entry(n, 0)));
        model.delete(n);
      } else if (what === 6) {
        const found = table.get(...tuple(entry(n, 0)));
        if (found !== undefined) {
          table.renew(found, now + 100_000);
          put(n, { ...model.get(n)!, expiresUs: now + 100_000 });
        }
      } else if (what === 7) {
        const found = table.get(...tuple(entry(n, 0)));
        if (found !== undefined) {
          const syn = now % 2 === 0;
          table.answered(found, now, syn);
          model.get(n)!.answeredUs = now;
          if (syn) model.get(n)!.synAnsweredUs = now;
        }
      } else if (what === 8) {
        table.expire(now);
        for (const [key, one] of model) if (one.expiresUs <= now) model.delete(key);
      } else if (step % 1000 === 0) {
        table.clear();
        model.clear();
      }
      if (table.size !== model.size || table.evicted !== evicted) wrong++;
      if (JSON.stringify(table.get(...tuple(entry(n, 0)))) !== JSON.stringify(model.get(n))) wrong++;
      if (table.has(...tuple(entry(n, 0))) !== model.has(n)) wrong++;
      if (step % 500 === 0 && JSON.stringify([...table.values()]) !== JSON.stringify([...model.values()])) wrong++;
    }
    t.equal(wrong, 0, seed);
    t.ok(evicted > 100, `${evicted} gave way`);
  }
});

t.test('an entry that is renewed for ever does not make the table grow', async (t) => {
  const table = new TimeWaitTable(1000);
  table.add(entry(1, 1));
  table.add(entry(2, 1));
  for (let n = 0; n < 10_000; n++) table.renew(table.get(...tuple(entry(2, 0)))!, n);
  t.same([table.size, [...table.values()].map(({ tsRecent }) => tsRecent)], [2, [1, 2]]);
  table.expire(10_000);
  t.equal(table.size, 0);
});
