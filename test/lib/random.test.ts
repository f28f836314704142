import t from 'tap';
import { SeededRandom, SipHash } from '../../lib/random.js';

t.test('the same seed gives the same numbers, another one others', async (t) => {
  const draw = (seed: string | number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 20 }, () => random.u32());
  };
  t.same(draw('a'), draw('a'));
  t.notSame(draw('a'), draw('b'));
  t.notSame(draw(1), draw(2));
  // Pinned: a seed that is kept as a test must mean the same in every version.
  t.same(draw('pinned').slice(0, 3), [1589369065, 2899737259, 2266679076]);
});
t.test('bits are even', async (t) => {
  const random = new SeededRandom('bits');
  const ones = new Array<number>(32).fill(0);
  const n = 20_000;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const x = random.u32();
    for (let bit = 0; bit < 32; bit++) ones[bit] += (x >>> bit) & 1;
    const f = random.float();
    if (!(f >= 0 && f < 1)) t.fail('float out of range');
    sum += f;
  }
  // Five standard deviations.
  const bound = 5 * Math.sqrt(n / 4);
  t.ok(ones.every((count) => Math.abs(count - n / 2) < bound));
  t.ok(Math.abs(sum / n - 0.5) < 0.02);
});

t.test('SipHash-2-4: vectors of its authors', async (t) => {
  const hash = new SipHash(Uint8Array.from({ length: 16 }, (_, i) => i));
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);
  const vectors: [number, string][] = [
    [0, '726fdb47dd0e0e31'],
    [1, '74f839c593dc67fd'],
    [7, 'ab0200f58b01d137'],
    [8, '93f5f5799a932462'],
    [15, 'a129ca6149be45e5'],
  ];
  for (const [length, wanted] of vectors) {
    const low = hash.hash(bytes, length);
    const got = hash.hi.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
    t.equal(got, wanted, `${length} bytes`);
  }
  t.throws(() => new SipHash(new Uint8Array(15)), TypeError);
});
