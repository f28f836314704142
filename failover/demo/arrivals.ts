/**
 * When data arrived at the client: the longest gap, the throughput, and a plot of it. Times in
 * milliseconds.
 */

/** Width of a bucket of the throughput curve. */
const BUCKET_MS = 5;
const MAX_BUCKETS = 200_000;
const BARS = ' ▁▂▃▄▅▆▇█';

/** Records arrivals. Memory is bounded: what comes after 1000 s counts to the last bucket. */
export class Arrivals {
  /** Longest time between two arrivals. */
  gapMs = 0;
  /** When that gap began. */
  gapAtMs = 0;
  total = 0;
  firstMs = Number.NaN;
  lastMs = Number.NaN;
  readonly #buckets: number[] = [];

  /** `amount` (bytes, or messages) arrived at `nowMs` on the monotonic clock. */
  add(amount: number, nowMs: number): void {
    if (Number.isNaN(this.firstMs)) this.firstMs = nowMs;
    else if (nowMs - this.lastMs > this.gapMs) {
      this.gapMs = nowMs - this.lastMs;
      this.gapAtMs = this.lastMs;
    }
    this.lastMs = nowMs;
    this.total += amount;
    const at = Math.min(MAX_BUCKETS - 1, Math.floor((nowMs - this.firstMs) / BUCKET_MS));
    while (this.#buckets.length <= at) this.#buckets.push(0);
    this.#buckets[at] = (this.#buckets[at] ?? 0) + amount;
  }

  /** Amount per second between two times; NaN when there is none between. */
  rate(fromMs: number, toMs: number): number {
    const from = Math.max(0, Math.round((fromMs - this.firstMs) / BUCKET_MS));
    const to = Math.min(this.#buckets.length, Math.round((toMs - this.firstMs) / BUCKET_MS));
    return to > from ? this.#rateOfBuckets(from, to) : Number.NaN;
  }

  /** Amount per second in the buckets from `from` (included) to `to` (excluded). */
  #rateOfBuckets(from: number, to: number): number {
    const sum = this.#buckets.slice(from, to).reduce((total, amount) => total + amount, 0);
    return (sum * 1000) / ((to - from) * BUCKET_MS);
  }

  /** The throughput over time in `width` columns, with a mark where the primary was killed. */
  plot(width: number, killedMs: number, unit: (rate: number) => string): string {
    const count = this.#buckets.length;
    if (count === 0) return '';
    const columns = Math.min(width, count);
    const rates = Array.from({ length: columns }, (_, i) => {
      const from = Math.floor((i * count) / columns);
      const to = Math.max(from + 1, Math.floor(((i + 1) * count) / columns));
      return this.#rateOfBuckets(from, to);
    });
    const top = Math.max(...rates);
    const bars = rates.map((rate) => BARS[top === 0 ? 0 : Math.ceil((rate / top) * 8)]).join('');
    const spanMs = count * BUCKET_MS;
    const lines = [`  ${bars}  peak ${unit(top)}`];
    const at = Math.floor(((killedMs - this.firstMs) / spanMs) * columns);
    if (at >= 0 && at < columns) lines.push(`  ${' '.repeat(at)}^ killed`);
    lines.push(`  0${' '.repeat(Math.max(1, columns - 8))}${(spanMs / 1000).toFixed(2)} s`);
    return lines.join('\n');
  }
}

/** The median; NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** The value below which a part (0 to 1) of all values lies; NaN for no values. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
