/**
 * Detects that a counter which should move stands still. Only the time in which the observer itself
 * ran counts: when both stand still, as with SIGSTOP, the freezer of a cgroup or a paused machine,
 * the counter's owner has all of its time again.
 */

/** Observations without progress that a stall needs at least. */
const MIN_OBSERVATIONS = 8;

/** Watches one counter. */
export class StallDetector {
  #value = Number.NaN;
  #lastUs = 0;
  #observedUs = 0;

  /** Begins anew, with another counter. */
  reset(): void {
    this.#value = Number.NaN;
  }

  /**
   * @param nowUs monotonic, microseconds
   * @param isIdle the counter has no reason to move
   * @returns true when the counter has stood still for `limitUs`; the time then starts again
   */
  isStalled(nowUs: number, value: number, isIdle: boolean, limitUs: number): boolean {
    const sinceUs = nowUs - this.#lastUs;
    this.#lastUs = nowUs;
    if (isIdle || value !== this.#value) {
      this.#value = value;
      this.#observedUs = 0;
      return false;
    }
    this.#observedUs += Math.min(sinceUs, limitUs / MIN_OBSERVATIONS);
    if (!(this.#observedUs >= limitUs)) return false;
    this.#observedUs = 0;
    return true;
  }
}
