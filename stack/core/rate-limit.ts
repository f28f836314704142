/** Limits of how often something may happen. The caller says what time it is. */

/** A limit as plain data. */
export interface SavedRateLimit {
  windowUs: number;
  count: number;
}

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

  /** The present window, for `load` in another process. */
  save(): SavedRateLimit {
    return { windowUs: this.#windowUs, count: this.#count };
  }

  /** Continues a saved window; `shiftUs` moves its time to this clock. */
  load(saved: SavedRateLimit, shiftUs: number): void {
    this.#windowUs = saved.windowUs + shiftUs;
    this.#count = saved.count;
  }
}
