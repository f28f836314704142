/** The contract between a backup and its failure detector. */

/** Why a primary counts as lost. */
export type LossReason = 'death' | 'hang';

/**
 * What showed the loss of a primary: the kernel marked its event loop's robust futex, or its pidfd
 * became readable; its heartbeat stood still; the agent said so; or the group's lock was free when
 * this process started.
 */
export type Detection = 'futex' | 'pidfd' | 'heartbeat' | 'agent' | 'lock';

/**
 * What proves that a primary sends nothing more: all its threads were exiting, the process had
 * ended, or the agent's word.
 */
export type FenceProof = 'threads' | 'process' | 'agent';

/** Watches a primary, and makes sure that it is dead when it has to be. */
export interface PrimaryWatch {
  /** The watched process; on several machines, the local agent. */
  readonly pid: number;
  /** What showed the loss, once it is lost. */
  readonly detectedBy: Detection;
  /** The process has ended, though that may not have been reported yet. */
  readonly hasDied: boolean;
  /** Looks at the primary's progress; called at least every few milliseconds. */
  look(nowUs: number): void;
  /**
   * @returns a copy of one of the primary's descriptors, or -1 where the kernel does not allow it
   */
  copyDescriptor(fd: number): number;
  /**
   * Makes sure that the primary sends nothing more, and that none of its system calls is under way.
   * Throws FtError ERR_FT_FENCE.
   * @param mayLinger the kernel may free its memory, descriptors and locks later
   */
  fence(mayLinger: boolean): FenceProof;
  close(): void;
}
