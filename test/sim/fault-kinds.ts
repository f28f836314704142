/** The kinds of faults that the simulation injects. */

/**
 * `at` counts from the moment the clients start: calls of the process into its kernel, for a death.
 * A hang or an admin command comes at the end of the turn in which that call was.
 *
 * - kill: the primary dies
 * - kill-backup: the backup dies; another one joins, and then the primary dies
 * - hang: the primary stands still, and wakes much later, when another process is primary
 * - pause: primary and backup stand still for longer than the hang timeout, and the backup wakes
 *   first: nobody takes over
 * - double: the primary dies; a third replica joins; the new primary dies, too
 * - slow: the backup stands still for a while, and then the primary dies
 * - switchover: the primary hands over on command, and ends
 * - restart: both die; a process that starts later resumes the group from the log
 * - clock: the wall clock jumps
 * - machine: the primary dies with its memory: of the log, only what the backup has processed is
 *   left
 */
export const FAULTS = [
  'kill',
  'kill-backup',
  'hang',
  'pause',
  'double',
  'slow',
  'switchover',
  'restart',
  'clock',
  'machine',
] as const;
/** One of {@link FAULTS}. */
export type FaultKind = (typeof FAULTS)[number];
