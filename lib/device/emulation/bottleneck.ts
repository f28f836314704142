/**
 * The bottleneck of a path: a line with a rate, behind a drop-tail queue with a limit in bytes.
 * Links may share one.
 */
export class Bottleneck {
  /** Frames that found the queue full. */
  dropped = 0;
  /** Longest queue there ever was, in bytes. */
  peakBytes = 0;
  readonly #perByteUs: number;
  /** When it has sent all it has. */
  #busyUntilUs = 0;

  constructor(
    /** Bits per second. */
    readonly rate: number,
    /** Bytes that wait, the frame being sent not counted. */
    readonly queueBytes: number,
  ) {
    this.#perByteUs = 8e6 / rate;
  }

  /** Bytes that wait. */
  queuedBytes(nowUs: number): number {
    return Math.max(0, this.#busyUntilUs - nowUs) / this.#perByteUs;
  }

  /** When a frame that comes now will have left, or -1 when the queue is full. */
  departure(nowUs: number, length: number): number {
    const start = Math.max(nowUs, this.#busyUntilUs);
    const waiting = (start - nowUs) / this.#perByteUs;
    if (waiting > this.queueBytes) {
      this.dropped++;
      return -1;
    }
    if (waiting > this.peakBytes) this.peakBytes = waiting;
    this.#busyUntilUs = start + length * this.#perByteUs;
    return this.#busyUntilUs;
  }
}
