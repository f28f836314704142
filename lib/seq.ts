/**
 * Sequence numbers (RFC 9293 section 3.4) are 32 bits on the wire. The stack counts bytes from the
 * start of a connection, in numbers that never wrap (exact up to 2^53, eight petabytes); {@link
 * unwrap} leads from the wire to such an offset and {@link wire} back.
 */

/** The offset from `initial` that `seq` stands for: the one nearest to the offset `near`. */
export function unwrap(seq: number, initial: number, near: number): number {
  return near + ((seq - ((initial + near) >>> 0)) | 0);
}

/** The sequence number of an offset from `initial`. */
export function wire(initial: number, offset: number): number {
  return (initial + offset) >>> 0;
}
