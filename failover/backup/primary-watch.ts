/** The contract between a backup and its failure detector. */

/** Why a primary counts as lost. */
export type LossReason = 'death' | 'hang';

/** Watches a primary, and makes sure that it is dead when it has to be. */
export interface PrimaryWatch {
  /** The watched process; on several machines, the local agent. */
  readonly pid: number;
  /** Looks at the primary's progress; called at least every few milliseconds. */
  look(nowUs: number): void;
  /**
   * @returns a copy of one of the primary's descriptors, or -1 where the kernel does not allow it
   */
  copyDescriptor(fd: number): number;
  /** Makes sure that the primary sends nothing more. Throws FtError ERR_FT_FENCE. */
  fence(): void;
  close(): void;
}
