/** Limits of how often something may happen. The caller says what time it is. */

/**
 * At most `perSecond` events in each second; windows begin with the first event after the last one.
 */
export class RateLimit {
  #windowUs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(readonly perSecond: number) {}

  /** Counts one event. @returns whether it is within the limit */
  allow(nowUs: number): boolean {
    if (nowUs - this.#windowUs >= 1_000_000) {
      this.#windowUs = nowUs;
      this.#count = 0;
    }
    return ++this.#count <= this.perSecond;
  }
}
