/**
 * Slow start and congestion avoidance of RFC 5681 with appropriate byte counting (RFC 3465, L = 2).
 */
import { type CongestionController, initialWindow } from './controller.js';

/** NewReno for one connection. */
export class NewReno implements CongestionController {
  readonly name = 'newreno';
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  readonly #mss: number;
  #acked = 0;
  #before = { cwnd: 0, ssthresh: 0 };

  constructor(mss: number) {
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(acked: number): void {
    if (this.cwnd < this.ssthresh) {
      // One acknowledgement may cover a super-segment, so all bytes count, as in RFC 9438.
      this.cwnd += acked;
      return;
    }
    this.#acked += acked;
    if (this.#acked >= this.cwnd) {
      this.#acked -= this.cwnd;
      this.cwnd += this.#mss;
    }
  }

  onLoss(flight: number): void {
    this.ssthresh = Math.max(flight / 2, 2 * this.#mss);
    this.cwnd = this.ssthresh;
    this.#acked = 0;
  }

  onTimeout(flight: number): void {
    this.ssthresh = Math.max(flight / 2, 2 * this.#mss);
    this.cwnd = this.#mss;
    this.#acked = 0;
  }

  remember(): void {
    this.#before = { cwnd: this.cwnd, ssthresh: this.ssthresh };
  }

  undo(): void {
    this.cwnd = Math.max(this.cwnd, this.#before.cwnd);
    this.ssthresh = Math.max(this.ssthresh, this.#before.ssthresh);
  }

  save(): number[] {
    return [this.cwnd, this.ssthresh, this.#acked, this.#before.cwnd, this.#before.ssthresh];
  }

  load(values: readonly number[]): void {
    const [cwnd, ssthresh, acked, beforeCwnd, beforeSsthresh] = values as [number, number, number, number, number];
    this.cwnd = cwnd;
    this.ssthresh = ssthresh;
    this.#acked = acked;
    this.#before = { cwnd: beforeCwnd, ssthresh: beforeSsthresh };
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.#mss));
  }
}
