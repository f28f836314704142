/** Retransmission timer estimation (RFC 6298), in microseconds. */
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 60_000_000;
export const RTO_INITIAL_US = 1_000_000;
/** Clock granularity G of RFC 6298 section 2: that of our timer wheel. */
const GRANULARITY_US = 1000;

export class RttEstimator {
  /** Smoothed round-trip time; 0 before the first sample. */
  srttUs = 0;
  rttvarUs = 0;
  minUs = Number.POSITIVE_INFINITY;
  latestUs = 0;
  /** Number of times the timer has backed off since the last new acknowledgement. */
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

  /** The retransmission timeout with its backoff applied, within [200 ms, 60 s]. */
  rtoUs(): number {
    const base =
      this.srttUs === 0
        ? RTO_INITIAL_US
        : Math.max(RTO_MIN_US, this.srttUs + Math.max(GRANULARITY_US, 4 * this.rttvarUs));
    return Math.min(RTO_MAX_US, base * 2 ** Math.min(this.backoff, 12));
  }
}
