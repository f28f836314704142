/** CUBIC (RFC 9438). Window arithmetic in segments as the RFC has it, kept in bytes outside. */
import { type CongestionController, initialWindow } from './controller.js';

const C = 0.4;
const BETA = 0.7;
/** alpha of the Reno-friendly region (RFC 9438 section 4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** The saved state before the first loss. */
const NOTHING = { cwnd: 0, ssthresh: 0, wMax: 0, k: 0, epochStartUs: -1, wEst: 0, cwndPrior: 0 };

/** CUBIC for one connection. */
export class Cubic implements CongestionController {
  readonly name = 'cubic';
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  readonly #mss: number;
  #wMax = 0;
  #k = 0;
  #epochStartUs = -1;
  #wEst = 0;
  #cwndPrior = 0;
  #before = NOTHING;

  constructor(mss: number) {
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(acked: number, nowUs: number, rttUs: number): void {
    if (this.cwnd < this.ssthresh) {
      this.cwnd += acked;
      return;
    }
    const mss = this.#mss;
    const cwnd = this.cwnd / mss;
    if (this.#epochStartUs < 0) {
      this.#epochStartUs = nowUs;
      this.#wEst = cwnd;
      if (this.#wMax <= cwnd) {
        this.#wMax = cwnd;
        this.#k = 0;
      } else {
        this.#k = Math.cbrt((this.#wMax - cwnd) / C);
      }
    }
    const t = (nowUs - this.#epochStartUs) / 1e6;
    const rtt = rttUs / 1e6;
    const wCubic = C * (t - this.#k) ** 3 + this.#wMax;
    const ahead = C * (t + rtt - this.#k) ** 3 + this.#wMax;
    const target = Math.min(Math.max(ahead, cwnd), 1.5 * cwnd);
    const segments = acked / mss;
    const alpha = this.#wEst >= this.#cwndPrior ? 1 : ALPHA;
    this.#wEst += (alpha * segments) / cwnd;
    if (wCubic < this.#wEst) this.cwnd = Math.max(this.cwnd, this.#wEst * mss);
    else this.cwnd += ((target - cwnd) / cwnd) * segments * mss;
  }

  onLoss(flight: number): void {
    this.#reduce(flight);
    this.cwnd = this.ssthresh;
  }

  onTimeout(flight: number): void {
    this.#reduce(flight);
    this.cwnd = this.#mss;
  }

  remember(): void {
    this.#before = {
      cwnd: this.cwnd,
      ssthresh: this.ssthresh,
      wMax: this.#wMax,
      k: this.#k,
      epochStartUs: this.#epochStartUs,
      wEst: this.#wEst,
      cwndPrior: this.#cwndPrior,
    };
  }

  /** RFC 9438 section 4.9. */
  undo(): void {
    const { cwnd, ssthresh, wMax, k, epochStartUs, wEst, cwndPrior } = this.#before;
    this.cwnd = Math.max(this.cwnd, cwnd);
    this.ssthresh = Math.max(this.ssthresh, ssthresh);
    this.#wMax = wMax;
    this.#k = k;
    this.#epochStartUs = epochStartUs;
    this.#wEst = wEst;
    this.#cwndPrior = cwndPrior;
  }

  save(): number[] {
    const { cwnd, ssthresh, wMax, k, epochStartUs, wEst, cwndPrior } = this.#before;
    const before = [cwnd, ssthresh, wMax, k, epochStartUs, wEst, cwndPrior];
    const now = [this.cwnd, this.ssthresh, this.#wMax, this.#k, this.#epochStartUs, this.#wEst, this.#cwndPrior];
    return [...now, ...before];
  }

  load(values: readonly number[], shiftUs: number): void {
    const at = (time: number): number => (time < 0 ? time : time + shiftUs);
    const [cwnd, ssthresh, wMax, k, epoch, wEst, cwndPrior, ...before] = values as [
      ...[number, number, number, number, number, number, number],
      ...number[],
    ];
    this.cwnd = cwnd;
    this.ssthresh = ssthresh;
    this.#wMax = wMax;
    this.#k = k;
    this.#epochStartUs = at(epoch);
    this.#wEst = wEst;
    this.#cwndPrior = cwndPrior;
    this.#before = {
      cwnd: before[0],
      ssthresh: before[1],
      wMax: before[2],
      k: before[3],
      epochStartUs: at(before[4]),
      wEst: before[5],
      cwndPrior: before[6],
    };
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.#mss));
    this.#epochStartUs = -1;
  }

  #reduce(flight: number): void {
    const cwnd = this.cwnd / this.#mss;
    // Fast convergence (RFC 9438 section 4.7).
    this.#wMax = cwnd < this.#wMax ? (cwnd * (1 + BETA)) / 2 : cwnd;
    this.#cwndPrior = cwnd;
    this.#epochStartUs = -1;
    this.ssthresh = Math.max(flight * BETA, 2 * this.#mss);
  }
}
