/** The bytes that the demo's server sends: always the same, and different at every position. */
import { createHash } from 'node:crypto';

const BLOCK = 1 << 20;
/** Bytes of a chunk. */
export const CHUNK = 65_536;
/** Odd, and prime to the number of positions: chunks repeat only after a long distance. */
const STEP = 40_503;

let block: Buffer | undefined;

function content(): Buffer {
  if (block !== undefined) return block;
  block = Buffer.allocUnsafe(BLOCK);
  // xorshift32: no byte predicts another.
  let x = 0x9e3779b9;
  for (let i = 0; i < BLOCK; i += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    block.writeInt32LE(x | 0, i);
  }
  return block;
}

/** The n-th chunk, cut to `length` bytes; a view that must not be written to. */
export function chunk(n: number, length: number): Buffer {
  const at = (n * STEP) % (BLOCK - CHUNK);
  return content().subarray(at, at + length);
}

/** SHA-256 (hex) of the first `bytes` bytes, a number of times. */
export function contentSha256(bytes: number, times = 1): string {
  const hash = createHash('sha256');
  for (let i = 0; i < times; i++) {
    for (let n = 0, left = bytes; left > 0; n++) {
      const length = Math.min(left, CHUNK);
      hash.update(chunk(n, length));
      left -= length;
    }
  }
  return hash.digest('hex');
}
