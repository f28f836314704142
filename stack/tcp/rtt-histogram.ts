/**
 * How often which round-trip time was measured, over all connections of a stack. A measurement
 * costs one increment: each bucket is twice as wide as the one before.
 */

/** The first bucket's upper bound, as a power of two of microseconds: 64 µs. */
const FIRST_POWER = 6;
/** The last bucket but one ends at 64 µs · 2^20 = 67 s; the last one has no upper bound. */
const BUCKETS = 22;

/** The inclusive upper bounds of all buckets, microseconds; the last one is Infinity. */
export const RTT_BOUNDS_US: readonly number[] = Array.from({ length: BUCKETS }, (_, i) =>
  i === BUCKETS - 1 ? Number.POSITIVE_INFINITY : 2 ** (FIRST_POWER + i),
);

/** Counts round-trip times. */
export class RttHistogram {
  /** Measurements by bucket of {@link RTT_BOUNDS_US}, not cumulative. */
  readonly counts = new Float64Array(BUCKETS);
  /** All measurements added up, microseconds. */
  sumUs = 0;

  /** Takes one measurement, microseconds. */
  add(rttUs: number): void {
    this.sumUs += rttUs;
    // Times above 2^31 µs are more than the last bound.
    const whole = Math.min(0x7fffffff, Math.ceil(rttUs)) - 1;
    this.counts[Math.min(BUCKETS - 1, Math.max(0, 32 - Math.clz32(whole) - FIRST_POWER))]++;
  }
}
