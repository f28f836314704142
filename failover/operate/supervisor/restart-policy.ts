/**
 * When a replica that ended is started again: at once at first, then after longer and longer times.
 * A replica that ends again and again soon after its start is given up.
 */

/** The first delay. */
const FIRST_MS = 100;
/** The longest delay. */
const MAX_MS = 10_000;
/** A replica that has lived this long was well. */
const WELL_MS = 10_000;

/** The policy for one replica's place. */
export class RestartPolicy {
  #failures = 0;

  /** @param limit early ends in a row after which the place is given up */
  constructor(readonly limit: number) {}

  /** Early ends in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** @returns the delay before the next start, milliseconds; null: it is given up */
  ended(livedMs: number): number | null {
    if (livedMs >= WELL_MS) this.#failures = 0;
    this.#failures++;
    if (this.#failures > this.limit) return null;
    return Math.min(MAX_MS, FIRST_MS * 2 ** (this.#failures - 1));
  }
}
