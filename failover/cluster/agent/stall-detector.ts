/** Detects that a counter which should move stands still, over many observations. */

/** Observations without progress that a stall needs: a pause of the observer itself is not one. */
const MIN_OBSERVATIONS = 8;

/** Watches one counter. */
export class StallDetector {
  #value = Number.NaN;
  #sinceUs = 0;
  #observations = 0;

  /** Begins anew, with another counter. */
  reset(): void {
    this.#value = Number.NaN;
  }

  /**
   * @returns true when a counter that is not idle has stood still for `limitUs`; the time then
   * starts again.
   */
  isStalled(nowUs: number, value: number, isIdle: boolean, limitUs: number): boolean {
    if (isIdle || value !== this.#value) {
      this.#value = value;
      this.#restart(nowUs);
      return false;
    }
    if (++this.#observations < MIN_OBSERVATIONS || nowUs - this.#sinceUs <= limitUs) return false;
    this.#restart(nowUs);
    return true;
  }

  #restart(nowUs: number): void {
    this.#sinceUs = nowUs;
    this.#observations = 0;
  }
}
