/**
 * Sequence numbers (RFC 9293 section 3.4): 32 bits, compared by the sign of their difference, which is right while two
 * numbers are less than 2^31 apart. The stack itself counts bytes from the start of a connection, in numbers that never
 * wrap (exact up to 2^53, eight petabytes); {@link unwrap} takes it there from the wire and {@link wire} back.
 */

/** a + n, modulo 2^32; n may be negative. */
export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** How far `a` is ahead of `b`: -2^31 to 2^31 - 1. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export function seqGe(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}

/** Whether `a` is in [start, start + size), size at most 2^32 - 1. */
export function seqInWindow(a: number, start: number, size: number): boolean {
  return (a - start) >>> 0 < size;
}

/** The offset from `initial` that `seq` stands for: the one nearest to the offset `near`. */
export function unwrap(seq: number, initial: number, near: number): number {
  return near + ((seq - ((initial + near) >>> 0)) | 0);
}

/** The sequence number of an offset from `initial`. */
export function wire(initial: number, offset: number): number {
  return (initial + offset) >>> 0;
}
