/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4) in JavaScript: for a few bytes it is faster than a
 * call into the addon, and it is there without it. The addon's is by far the faster one for many.
 */

/** Tables for four bytes at once, one after the other. */
const table = new Int32Array(1024);
for (let i = 0; i < 256; i++) {
  let c = i;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  table[i] = c;
}
for (let i = 0; i < 768; i++) table[i + 256] = (table[i] >>> 8) ^ table[table[i] & 255];

/** Whether the machine's own order of bytes is that of `crc32cWords`. */
export const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Continues a sum (0 to begin with) over bytes. @returns 32 bits, unsigned */
export function crc32c(bytes: Uint8Array, seed: number): number {
  let crc = ~seed;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

/** The same over whole words, on a little-endian machine; `at` and `count` are in words. */
export function crc32cWords(words: Int32Array, at: number, count: number, seed: number): number {
  let crc = ~seed;
  for (let i = at; i < at + count; i++) {
    crc ^= words[i];
    crc =
      table[768 + (crc & 255)] ^
      table[512 + ((crc >>> 8) & 255)] ^
      table[256 + ((crc >>> 16) & 255)] ^
      table[crc >>> 24];
  }
  return ~crc >>> 0;
}
