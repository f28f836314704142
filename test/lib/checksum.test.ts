import t from 'tap';
import { adjust, finish, fold, pseudoSum4, pseudoSum6, setChecksumKernel, sum16 } from '../../lib/checksum.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

/** RFC 1071, section 1, word by word with end-around carry at once. */
function naive(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (i + 1 < bytes.length ? bytes[i + 1] : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

const same = (a: number, b: number): boolean => a % 0xffff === b % 0xffff;

t.test('the example of RFC 1071 section 3', async (t) => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  t.equal(sum16(bytes, 0, 8, 0), 0xddf2);
  t.equal(finish(sum16(bytes, 0, 8, 0)), 0x220d);
});

t.test('all lengths and alignments, in JavaScript and native', async (t) => {
  const random = new SeededRandom('checksum');
  const bytes = new Uint8Array(2000);
  random.fill(bytes);
  const kernel = native();
  for (const use of [false, true]) {
    setChecksumKernel(use ? (b, o, l, s) => kernel.checksum(b, o, l, s) : null);
    let wrong = 0;
    for (let length = 0; length < 600; length++) {
      for (let offset = 0; offset < 9; offset++) {
        const got = sum16(bytes, offset, length, 0);
        if (got > 0xffff || !same(got, naive(bytes.subarray(offset, offset + length)))) wrong++;
      }
    }
    t.equal(wrong, 0, use ? 'native' : 'JavaScript');
    bytes.fill(255, 0, 1000);
    t.equal(sum16(bytes, 0, 1000, 0), 0xffff, 'all ones stay all ones, not zero');
    random.fill(bytes);
  }
  setChecksumKernel(null);
});

t.test('parts add up, wherever the (even) cut is', async (t) => {
  const random = new SeededRandom('parts');
  const bytes = new Uint8Array(512);
  random.fill(bytes);
  const whole = sum16(bytes, 0, 512, 0);
  for (let cut = 0; cut <= 512; cut += 2) t.ok(same(sum16(bytes, cut, 512 - cut, sum16(bytes, 0, cut, 0)), whole));
});

t.test('incremental update equals computing again (RFC 1624)', async (t) => {
  const random = new SeededRandom('adjust');
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  let wrong = 0;
  for (let i = 0; i < 20_000; i++) {
    random.fill(bytes);
    const before = finish(sum16(bytes, 0, 20, 0));
    const at = (random.u32() % 10) * 2;
    const old = view.getUint16(at);
    const changed = i % 7 === 0 ? 0 : i % 11 === 0 ? 0xffff : random.u32() & 0xffff;
    view.setUint16(at, changed);
    if (adjust(before, old, changed) !== finish(sum16(bytes, 0, 20, 0))) wrong++;
  }
  t.equal(wrong, 0);
  // The case that RFC 1141 gets wrong.
  t.equal(adjust(0xdd2f, 0x5555, 0x3285), 0x0000);
});

t.test('pseudo-headers', async (t) => {
  const four = Uint8Array.of(192, 0, 2, 1, 198, 51, 100, 2, 0, 6, 0x12, 0x34);
  t.equal(fold(pseudoSum4(0xc0000201, 0xc6336402, 6, 0x1234)), sum16(four, 0, 12, 0));
  const a = Uint8Array.from({ length: 16 }, (_, i) => i * 7);
  const b = Uint8Array.from({ length: 16 }, (_, i) => 255 - i);
  const six = new Uint8Array(40);
  six.set(a);
  six.set(b, 16);
  new DataView(six.buffer).setUint32(32, 0x12345);
  six[39] = 17;
  t.equal(fold(pseudoSum6(a, b, 17, 0x12345)), sum16(six, 0, 40, 0));
});
