/** Retransmission timer estimation (RFC 6298), in microseconds. */

/**
 * Minimum time beyond the smoothed round trip; more than the clock granularity G of RFC 6298
 * section 2.
 */
export const RTO_MIN_US = 200_000;
/** Longest retransmission timeout (RFC 6298 section 2.5). */
export const RTO_MAX_US = 60_000_000;
/** The timeout before the first measurement (RFC 6298 section 2.1). */
export const RTO_INITIAL_US = 1_000_000;

/** The round-trip time of one connection. */
export class RttEstimator {
  /** Smoothed round-trip time; 0 before the first sample. */
  srttUs = 0;
  /** Its variance. */
  rttvarUs = 0;
  /** The shortest measured; Infinity before the first sample. */
  minUs = Number.POSITIVE_INFINITY;
  /** The latest measured. */
  latestUs = 0;
  /** Timeouts since the last new acknowledgement. */
  backoff = 0;

  /** Takes one measurement of a segment that was sent once (Karn's rule is the caller's). */
  sample(rttUs: number): void {
    this.latestUs = rttUs;
    if (rttUs < this.minUs) this.minUs = rttUs;
    if (this.srttUs === 0) {
      this.srttUs = rttUs;
      this.rttvarUs = rttUs / 2;
    } else {
      this.rttvarUs += (Math.abs(this.srttUs - rttUs) - this.rttvarUs) / 4;
      this.srttUs += (rttUs - this.srttUs) / 8;
    }
  }

  /**
   * The retransmission timeout with its backoff applied, at most 60 s. The variance counts as at
   * least 200 ms: a steady path with a long round trip would otherwise leave no time for a delayed
   * acknowledgement.
   */
  rtoUs(): number {
    const base = this.srttUs === 0 ? RTO_INITIAL_US : this.srttUs + Math.max(RTO_MIN_US, 4 * this.rttvarUs);
    return Math.min(RTO_MAX_US, base * (1 << Math.min(this.backoff, 12)));
  }
}
