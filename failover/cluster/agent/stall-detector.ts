/** Something that should get on, and does not: a mark that stands still for a time, over many looks. */

/** So many looks without progress, so that our own stall is not taken for one of what we look at. */
const LOOKS = 8;

export class StallDetector {
  #mark = Number.NaN;
  #sinceUs = 0;
  #looks = 0;

  reset(): void {
    this.#mark = Number.NaN;
  }

  /** @returns true when the mark has stood still for `limitUs` though there was something to do; then the time begins anew. */
  stands(nowUs: number, mark: number, idle: boolean, limitUs: number): boolean {
    if (idle || mark !== this.#mark) {
      this.#mark = mark;
      this.#sinceUs = nowUs;
      this.#looks = 0;
      return false;
    }
    if (++this.#looks < LOOKS || nowUs - this.#sinceUs <= limitUs) return false;
    this.#sinceUs = nowUs;
    this.#looks = 0;
    return true;
  }
}
