/**
 * How far the output of a connection is committed; offsets from ISS and IRS, as in the connection.
 */
export class CommitLimit {
  /** Up to here may be sent. */
  snd = 0;
  /** Up to here may be acknowledged. */
  rcv = 0;
  /** What `snd` becomes when the gate has reached `position`. */
  nextSnd = 0;
  /** What `rcv` becomes when the gate has reached `position`. */
  nextRcv = 0;
  /** Position of the gate. */
  position = 0;
  /** Data out of order may be reported by SACK when the gate has reached this position. */
  sackPosition = 0;
  /** Data out of order may be reported now. */
  sacks = false;
  /** Some output had to wait. */
  waiting = false;
  /** The connection is in the queue of those that wait. */
  queued = false;
}
