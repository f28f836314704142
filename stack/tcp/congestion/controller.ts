/** Congestion control as the sender sees it: all in bytes and microseconds, no clock of its own. */
export interface CongestionController {
  readonly name: string;
  /** Congestion window. */
  cwnd: number;
  /** Slow start threshold. */
  ssthresh: number;
  /** `acked` new bytes were acknowledged outside of recovery, and the window was in use. */
  onAck(acked: number, nowUs: number, rttUs: number): void;
  /** Loss was found by SACK or duplicate acknowledgements with `flight` bytes outstanding; once per recovery episode. */
  onLoss(flight: number, nowUs: number): void;
  /** The retransmission timer ran out with `flight` bytes outstanding. */
  onTimeout(flight: number, nowUs: number): void;
  /** The path was idle for longer than the retransmission timeout (RFC 5681 section 4.1). */
  onIdle(): void;
  /** An episode of loss begins, which may turn out to have been none: keeps what `undo` needs. Comes before onLoss or onTimeout. */
  remember(): void;
  /** Nothing was lost: all is as it was when `remember` was called, but the window does not shrink. */
  undo(): void;
  /** Everything that `load` needs to go on in another process; times are moved by `shiftUs` there. */
  save(): number[];
  load(values: readonly number[], shiftUs: number): void;
}

/** Initial window of RFC 6928. */
export function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14600));
}

export type CongestionFactory = (mss: number) => CongestionController;
