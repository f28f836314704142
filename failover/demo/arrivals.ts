/** When data arrived at the client: the longest gap, throughput, and a plot of it. Times in milliseconds. */

/** Width of a bucket of the throughput curve. */
const BUCKET_MS = 5;
const MAX_BUCKETS = 200_000;
const BARS = ' ▁▂▃▄▅▆▇█';

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
    this.#buckets[at]! += amount;
  }

  /** Amount per second between two times; NaN when there is none between. */
  rate(fromMs: number, toMs: number): number {
    const from = Math.max(0, Math.round((fromMs - this.firstMs) / BUCKET_MS));
    const to = Math.min(this.#buckets.length, Math.round((toMs - this.firstMs) / BUCKET_MS));
    let sum = 0;
    for (let i = from; i < to; i++) sum += this.#buckets[i]!;
    return to > from ? (sum * 1000) / ((to - from) * BUCKET_MS) : Number.NaN;
  }

  /** The throughput over time in `width` columns, and a mark where the primary was killed. */
  plot(width: number, killedMs: number, unit: (rate: number) => string): string {
    const count = this.#buckets.length;
    if (count === 0) return '';
    const columns = Math.min(width, count);
    const rates = Array.from({ length: columns }, (_, i) => {
      const from = Math.floor((i * count) / columns);
      const to = Math.max(from + 1, Math.floor(((i + 1) * count) / columns));
      let sum = 0;
      for (let k = from; k < to; k++) sum += this.#buckets[k]!;
      return (sum * 1000) / ((to - from) * BUCKET_MS);
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

/** The middle value; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The value below which so large a part (0 to 1) of all lies; NaN for none. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
