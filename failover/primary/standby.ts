/**
 * The contract between a primary and the object that looks after its standby, on this machine or on
 * others.
 */
import type { NativeAddon } from '../../lib/native/native.js';
import type { GroupPlace } from '../host/group-directory.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { CommitGate } from './output-gate.js';

/** What a {@link Standby} needs of the primary. */
export interface StandbyHost {
  readonly native: NativeAddon;
  readonly gate: CommitGate;
  readonly group: GroupPlace;
  /** The program's start-up is complete; no backup can join before. */
  readonly programLoaded: boolean;
  /**
   * A main loop that makes no progress for this time counts as hung, microseconds; Infinity: never.
   */
  readonly hangTimeoutUs: number;
  /** The group's monotonic clock, microseconds. */
  nowUs(): number;
  /** Rings the backup's doorbell. */
  wakeBackup(): void;
  /** Stops and starts reading from the device. */
  holdInput(on: boolean): void;
  /** The number of the next connection. A backup that joins late does not know those before it. */
  nextConnection(): number;
  /** Writes the record at which a late joiner begins. */
  recordJoin(): void;
  /**
   * Continues the state transfer of older connections, as far as the log has room.
   * @returns true when it is complete
   */
  transferState(): boolean;
  /** A backup follows, and has not caught up yet. @param lagBytes what it still has to apply */
  onJoining(pid: number, lagBytes: number): void;
  onProtected(): void;
  onUnprotected(reason: string): void;
  /**
   * Tells neighbours where the group's addresses are (gratuitous ARP, unsolicited advertisements).
   */
  announce(): void;
}

/**
 * A primary's view of its standby: a backup on this machine, or the agent that ships the log to
 * others.
 */
export interface Standby {
  /**
   * Connections below this number are older than the backup that follows now, which may not know
   * them.
   */
  readonly firstProtected: number;
  /** A backup follows. */
  readonly following: boolean;
  /** It follows, but has not caught up yet. */
  readonly joining: boolean;
  /** The log is nearly full: no input and no events until the backup has caught up. */
  readonly paused: boolean;
  /** For the log's writer: a record finds no room. */
  readonly overrun: () => void;
  /** Begins to serve with a new writer; no backup follows yet. */
  start(writer: RingWriter): void;
  /**
   * Flow control: a log that is nearly full slows the primary down, so that the backup is not lost.
   * @returns true while the primary has to wait
   */
  overloaded(): boolean;
  /** Called once a turn, when no event is due. */
  serve(): void;
  close(): void;
}
