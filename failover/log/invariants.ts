/**
 * The invariants of output commit, by the names of docs/internals/failure-model.md. They always hold. The mutation check (test/sim/mutation.ts)
 * breaks one at a time, to see that the tests would notice; nothing else may write here.
 */
export const invariants = {
  /** No acknowledgement leaves before the bytes that it covers are in the log. */
  A1: true,
  /** The right edge of the window, once advertised, is honoured by whoever takes over. */
  A2: true,
  /** What is acknowledged selectively is in the log. */
  A3: true,
  /** No data leaves before the events that the program had seen when it wrote it are in the log. */
  D1: true,
  /** Whoever takes over knows how far its predecessor may have sent. */
  D2: true,
  /** No FIN leaves before the event in which the program closed is in the log. */
  F1: true,
  /** No RST leaves before the end of the connection is in the log. */
  F2: true,
  /** Timestamps go on where they were. */
  T1: true,
  /** No SYN-ACK leaves before the connection is in the log. */
  H1: true,
  /** A primary that is believed dead is killed and waited for. */
  fence: true,
  /** `acked`: nothing leaves that depends on more of the log than the backups have. */
  C1: true,
  /** What a program does to the outside world, a backup's does not. */
  E1: true,
  /** Of whose outcome the log does not know is done (again) by whoever takes over. */
  E2: true,
  /** What was read to behind the log's end is put elsewhere before something else is written there. */
  P1: true,
  /** So are frames that a dead primary had in its hands, by whoever goes on writing its log. */
  P2: true,
  /** Several machines: no frame leaves after the time until which the primary may speak. */
  L1: true,
  /** Several machines: nobody is gone on without before the group's state says that it cannot go on itself. */
  S1: true,
};
/** The name of an invariant. */
export type Invariant = keyof typeof invariants;
