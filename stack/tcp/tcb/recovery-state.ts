/** Recoveries for which a longer reordering window is kept (RFC 8985 section 6.2 step 4). */
export const REO_PERSIST = 16;

/** The state of loss recovery (recovery.ts) of one connection; its scoreboard has the ranges. */
export class Recovery {
  /** Fast recovery; ends when `recoveryPoint` is acknowledged. */
  active = false;
  /** After a timeout; ends when `recoveryPoint` is acknowledged. */
  afterTimeout = false;
  /** SND.NXT when the present or the last recovery began (RFC 6675 RecoveryPoint). */
  recoveryPoint = 0;
  /** Duplicate acknowledgements in a row. */
  dupAcks = 0;
  /** Bytes beyond the congestion window that early duplicate acknowledgements allow (RFC 3042). */
  limitedTransmit = 0;
  /** The next retransmission ignores the congestion window (RFC 5681 section 3.2, RFC 6937). */
  retransmitFirst = false;
  // RACK (RFC 8985 section 6): the delivered segment that was sent last, and reordering in the
  // network.
  rackSentUs = -1;
  rackEnd = 0;
  rackRttUs = 0;
  reorderingSeen = false;
  reoMult = 1;
  reoPersist = REO_PERSIST;
  /** SND.NXT when the reordering window last grew: it grows once per round trip. */
  dsackRound = 0;

  // PRR.
  prrFlight = 0;
  prrDelivered = 0;
  prrOut = 0;

  // Undoing.
  /** SND.UNA when the episode began; -1 when nothing can be undone. */
  undoFrom = -1;
  /** Bytes retransmitted in this episode that no DSACK has reported. */
  undoBytes = 0;
  /** TSval of the episode's first retransmission; -1: none yet. */
  firstTs = -1;
  /** Offset behind all that was ever retransmitted. */
  resentEnd = 0;
  /**
   * F-RTO (RFC 5682 section 2.1): 0 off, 1 after the timeout, 2 after the first acknowledgement.
   */
  frto = 0;

  // Tail loss probe.
  /** SND.NXT when the probe was sent that is not answered yet (RFC 8985 TLP.end_seq); -1: none. */
  tlpEnd = -1;
  /** It was a retransmission (RFC 8985 TLP.is_retrans). */
  tlpIsRetransmission = false;

  // ECN (RFC 3168 section 6.1.2).
  /** No further reduction for marks until this is acknowledged. */
  ecnPoint = 0;
  /** The loss says nothing about congestion: the window is restored afterwards. */
  nonCongestive = false;

  /** Nothing has to be remembered once everything that was sent has arrived. */
  get isIdle(): boolean {
    const now = this.active || this.afterTimeout || this.retransmitFirst || this.nonCongestive || this.frto > 0;
    const known = this.reorderingSeen || this.reoMult > 1 || this.resentEnd > 0 || this.ecnPoint > 0;
    const waiting = this.undoFrom >= 0 || this.tlpEnd >= 0 || this.dupAcks > 0 || this.limitedTransmit > 0;
    return !now && !known && !waiting;
  }

  /** Resets the fields that `isIdle` does not look at. */
  clear(): void {
    this.recoveryPoint = 0;
    this.rackSentUs = -1;
    this.rackEnd = 0;
    this.rackRttUs = 0;
    this.reoPersist = REO_PERSIST;
    this.dsackRound = 0;
    this.prrFlight = 0;
    this.prrDelivered = 0;
    this.prrOut = 0;
    this.undoBytes = 0;
    this.firstTs = -1;
    this.tlpIsRetransmission = false;
  }

  /** Ends recovery and forgets the episode. */
  reset(): void {
    this.active = false;
    this.afterTimeout = false;
    this.dupAcks = 0;
    this.limitedTransmit = 0;
    this.retransmitFirst = false;
    this.undoFrom = -1;
    this.frto = 0;
    this.tlpEnd = -1;
    this.nonCongestive = false;
  }
}

/** The state of a connection that remembers no loss; shared, never written. */
export const NO_RECOVERY = new Recovery();
