/** What replay needs of the replica around it. */
import type { Stack } from '../../stack/stack.js';
import type { ProcessCheckpoint } from '../connections/checkpoint/process-checkpoint.js';
import type { OutputChecks, ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { EventTime } from '../runtime/core/event-time.js';

/** The replica, as replay sees it. */
export interface ReplayHost {
  readonly stack: Stack;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  /** Chunks from this many bytes on are borrowed from the log; undefined: the default. */
  readonly minInPlaceBytes: number | undefined;
  /** The program's endpoints by connection number. */
  readonly endpoints: Map<number, ReplicaEndpoint>;
  /** The program's start is over. */
  readonly programLoaded: boolean;
  /**
   * Delivers an event that the dead primary did not finish: it may have killed it.
   * @param conn 0: no connection
   * @returns what `deliver` returns
   */
  unfinishedEvent(conn: number, deliver: () => boolean): boolean;
  /**
   * Delivers an event of the runtime.
   * @returns false when the program does not have the timer or operation
   */
  deliverRuntimeEvent(kind: number, id: number, result: Uint8Array | null): boolean;
  /** Histories of independent connections. */
  readonly histories: ConnectionHistories;
  /** The independent connection that a timer or operation belongs to, 0 for none. */
  ownerOfRuntimeEvent(kind: number, id: number): number;
  /** The history of an independent connection could not be replayed here. */
  replayFailed(conn: number, reason: string): void;
  /** Values that the program saved. */
  readonly saved: ProcessCheckpoint;
  /** Gives the program the values that the primary's program saved, where this replica joined. */
  restoreSaved(): void;
  /** This backup is not in the state of the primary. @param conn whose output differs; 0: none */
  diverged(reason: string, conn?: number): void;
  /** What an event of the runtime is called: 'timer', 'fs.readFile'. */
  nameOfRuntimeEvent(kind: number, id: number): string;
}

/** What one step did. */
export type Step = 'event' | 'idle';
