/**
 * The invariants of output commit, under the names of docs/internals/failure-model.md. All of them
 * always hold. The mutation check (test/sim/mutation.ts) breaks one at a time, to see that the
 * tests notice. No other code writes here.
 */
export const invariants = {
  /** No acknowledgement leaves before the bytes that it covers are in the log. */
  A1: true,
  /** After a takeover the window's right edge is never left of what was advertised. */
  A2: true,
  /** What is acknowledged selectively is in the log. */
  A3: true,
  /**
   * No data leaves before the events that the program had seen when it wrote the data are in the
   * log.
   */
  D1: true,
  /** The new primary knows how far the old one may have sent. */
  D2: true,
  /** No FIN leaves before the event in which the program closed is in the log. */
  F1: true,
  /** No RST leaves before the end of the connection is in the log. */
  F2: true,
  /** After a takeover timestamps continue where they were. */
  T1: true,
  /** No SYN-ACK leaves before the connection is in the log. */
  H1: true,
  /** A primary that is believed dead is killed, and its end is awaited. */
  fence: true,
  /** `acked`: no output leaves that depends on more of the log than the backups have. */
  C1: true,
  /** Effects outside of the stack happen on the primary only. */
  E1: true,
  /** After a takeover, operations without an outcome in the log are performed (again). */
  E2: true,
  /** Payload that was placed behind the log's end is relocated before a record is written there. */
  P1: true,
  /** Frames that a dead primary had in hand are relocated before its successor writes the log. */
  P2: true,
  /** Several machines: no frame leaves after the end of the lease. */
  L1: true,
  /**
   * Several machines: a machine is excluded only after the group's state says that it cannot become
   * the leader.
   */
  S1: true,
};
/** The name of an invariant. */
export type Invariant = keyof typeof invariants;
