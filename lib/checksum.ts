/**
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are of 16-bit
 * big-endian words.
 */

/**
 * Sum of the words in bytes [offset, offset + length), plus `seed` (a partial sum), folded to 16
 * bits, not complemented.
 */
export type ChecksumKernel = (bytes: Uint8Array, offset: number, length: number, seed: number) => number;

/** From this length on a native kernel, if there is one, is worth its call. */
const KERNEL_FROM = 256;
let kernel: ChecksumKernel | null = null;

/** Plugs in a faster kernel for long inputs; null takes it out. */
export function setChecksumKernel(fn: ChecksumKernel | null): void {
  kernel = fn;
}

/** Folds a sum below 2^53 to 16 bits. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** See {@link ChecksumKernel}. An odd last byte counts as the high half of a word. */
export function sum16(bytes: Uint8Array, offset: number, length: number, seed: number): number {
  if (kernel !== null && length >= KERNEL_FROM) return kernel(bytes, offset, length, seed);
  let sum = seed;
  const end = offset + (length & ~1);
  for (let i = offset; i < end; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  if ((length & 1) !== 0) sum += bytes[end] << 8;
  return fold(sum);
}

/** The checksum field's value for a folded sum. */
export function finish(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** A checksum field after one 16-bit word changed (RFC 1624, equation 3). */
export function adjust(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}

/** Pseudo-header sum for IPv4 (RFC 9293 section 3.1); addresses as u32. */
export function pseudoSum4(source: number, destination: number, protocol: number, length: number): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length;
}

/** Pseudo-header sum for IPv6 (RFC 8200 section 8.1); addresses as 16 bytes. */
export function pseudoSum6(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (let i = 0; i < 16; i += 2) {
    sum += ((source[i] << 8) | source[i + 1]) + ((destination[i] << 8) | destination[i + 1]);
  }
  return sum;
}
