/** CRC-32C in JavaScript says what the addon says. */
import t from 'tap';
import { crc32c, crc32cWords, LITTLE_ENDIAN } from '../../lib/crc32c.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

t.test('known values', async (t) => {
  t.equal(crc32c(Buffer.from('123456789'), 0), 0xe3069283);
  t.equal(crc32c(new Uint8Array(32), 0), 0x8a9136aa, 'RFC 3720: zeros');
  t.equal(crc32c(new Uint8Array(32).fill(255), 0), 0x62a8ab43, 'RFC 3720: ones');
  t.equal(crc32c(new Uint8Array(0), 0), 0);
});

t.test('bytes, words and the addon agree, from any place and with any seed', async (t) => {
  const random = new SeededRandom('crc32c');
  const bytes = new Uint8Array(4096);
  random.fill(bytes);
  const words = new Int32Array(bytes.buffer);
  for (let i = 0; i < 500; i++) {
    const at = random.u32() % 512;
    const count = random.u32() % 64;
    const seed = random.u32();
    const want = native().crc32c(bytes, 4 * at, 4 * count, seed);
    const part = bytes.subarray(4 * at, 4 * (at + count));
    if (crc32c(part, seed) !== want) t.fail(`bytes: ${at}, ${count}, ${seed}`);
    if (LITTLE_ENDIAN && crc32cWords(words, at, count, seed) !== want) t.fail(`words: ${at}, ${count}, ${seed}`);
  }
  const cut = crc32c(bytes.subarray(100), crc32c(bytes.subarray(0, 100), 0));
  t.equal(cut, native().crc32c(bytes, 0, bytes.length, 0), 'and in pieces');
});
