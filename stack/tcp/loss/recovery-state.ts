/** Recoveries for which a longer reordering window is kept (RFC 8985 section 6.2 step 4). */
export const REO_PERSIST = 16;

/** What a connection knows of losses (recovery.ts), beside the ranges in its `sent`. */
export class Recovery {
  /** Fast recovery; ends when `point` is acknowledged. */
  active = false;
  /** After a timeout; ends when `point` is acknowledged. */
  afterTimeout = false;
  /** SND.NXT when the present, or the last, recovery began. */
  point = 0;
  dupAcks = 0;
  /** Bytes beyond the congestion window that early duplicate acknowledgements allow (RFC 3042). */
  limitedTransmit = 0;
  /** The next retransmission goes whatever the congestion window says (RFC 5681 section 3.2, RFC 6937). */
  retransmitFirst = false;
  // RACK: the youngest delivered segment, and what the network does to order.
  newestUs = -1;
  newestEnd = 0;
  rttUs = 0;
  reorderingSeen = false;
  reoMult = 1;
  reoPersist = REO_PERSIST;
  /** SND.NXT when the window was last made longer: once per round trip. */
  dsackRound = 0;

  // PRR.
  prrFlight = 0;
  prrDelivered = 0;
  prrOut = 0;

  // Undoing.
  /** SND.UNA when the episode began; -1 when nothing can be undone. */
  undoFrom = -1;
  /** Bytes sent again in this episode that no DSACK has reported. */
  undoBytes = 0;
  /** TSval of the episode's first retransmission; -1: none yet. */
  firstTs = -1;
  /** Behind all that was ever sent again. */
  resentEnd = 0;
  /** F-RTO (RFC 5682 section 2.1): 0 off, 1 after the timeout, 2 after the first acknowledgement. */
  frto = 0;

  // Tail loss probe.
  /** SND.NXT when a probe was sent that is not answered yet; -1: none. */
  probeEnd = -1;
  /** It was a retransmission. */
  probeOld = false;

  // ECN (RFC 3168 section 6.1.2).
  /** No further reduction for marks until this is acknowledged. */
  ecnPoint = 0;
  /** What was lost says nothing of congestion: afterwards all is as before. */
  harmless = false;

  /** Nothing of it matters once all that was sent has arrived. */
  get calm(): boolean {
    const now = this.active || this.afterTimeout || this.retransmitFirst || this.harmless || this.frto > 0;
    const known = this.reorderingSeen || this.reoMult > 1 || this.resentEnd > 0 || this.ecnPoint > 0;
    const waiting = this.undoFrom >= 0 || this.probeEnd >= 0 || this.dupAcks > 0 || this.limitedTransmit > 0;
    return !now && !known && !waiting;
  }

  /** What `calm` leaves behind: as new. */
  clear(): void {
    this.point = 0;
    this.newestUs = -1;
    this.newestEnd = 0;
    this.rttUs = 0;
    this.reoPersist = REO_PERSIST;
    this.dsackRound = 0;
    this.prrFlight = 0;
    this.prrDelivered = 0;
    this.prrOut = 0;
    this.undoBytes = 0;
    this.firstTs = -1;
    this.probeOld = false;
  }

  reset(): void {
    this.active = false;
    this.afterTimeout = false;
    this.dupAcks = 0;
    this.limitedTransmit = 0;
    this.retransmitFirst = false;
    this.undoFrom = -1;
    this.frto = 0;
    this.probeEnd = -1;
    this.harmless = false;
  }
}
