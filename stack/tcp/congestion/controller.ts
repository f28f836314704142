/**
 * Congestion control as the sender sees it. Sizes are bytes, times microseconds; it reads no clock.
 */
export interface CongestionController {
  readonly name: string;
  /** Congestion window. */
  cwnd: number;
  /** Slow start threshold. */
  ssthresh: number;
  /**
   * `acked` new bytes were acknowledged outside of recovery, while the window limited the sender.
   */
  onAck(acked: number, nowUs: number, rttUs: number): void;
  /**
   * Loss was found by SACK or duplicate acknowledgements with `flight` bytes outstanding; once per
   * recovery episode.
   */
  onLoss(flight: number, nowUs: number): void;
  /** The retransmission timer ran out with `flight` bytes outstanding. */
  onTimeout(flight: number, nowUs: number): void;
  /** The path was idle for longer than the retransmission timeout (RFC 5681 section 4.1). */
  onIdle(): void;
  /**
   * Saves what `undo` needs, before `onLoss` or `onTimeout`: the loss may turn out to be spurious.
   */
  remember(): void;
  /** Nothing was lost: restores the state of `remember`; the window does not shrink. */
  undo(): void;
  /** The whole state, for `load` in another process. */
  save(): number[];
  /** Takes over a saved state; `shiftUs` moves its times to this clock. */
  load(values: readonly number[], shiftUs: number): void;
}

/** Initial window of RFC 6928. */
export function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14600));
}

/** Makes the controller of a connection, from its sending MSS in bytes. */
export type CongestionFactory = (mss: number) => CongestionController;
