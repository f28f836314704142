/** What replay needs of the replica around it. */
import type { Stack } from '../../stack/stack.js';
import type { ProcessCheckpoint } from '../checkpoint/process-checkpoint.js';
import type { OutputChecks, ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { EventTime } from '../runtime/core/event-time.js';

export interface ReplayHost {
  readonly stack: Stack;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  /** Received data is left where it is in the log from so many bytes on. */
  readonly minInPlace: number | undefined;
  /** Endpoints by connection number, as the program got them. */
  readonly endpoints: Map<number, ReplicaEndpoint>;
  /** False until the program's start-up is complete. */
  readonly programLoaded: boolean;
  /** An event is about to be delivered that the dead primary did not finish: it may be what killed it. 0: no connection. */
  beforeUnfinishedEvent(conn: number): void;
  /** Delivers an event of the program's world. False: it does not know the id. */
  deliverRuntimeEvent(kind: number, id: number, result: Uint8Array | null): boolean;
  /** What independent connections have been told. */
  readonly histories: ConnectionHistories;
  /** The independent connection that an event of the program's world belongs to, 0 for none. */
  ownerOfRuntimeEvent(kind: number, id: number): number;
  /** The program has not come to where the primary's is, as far as an independent connection goes. */
  replayFailed(conn: number, why: string): void;
  /** What the program has saved of itself. */
  readonly saved: ProcessCheckpoint;
  /** The program is given what the primary's has saved: this replica joined in the middle. */
  restoreSaved(): void;
  /** The backup is not where the primary is. */
  diverged(reason: string): void;
}

/** What one step did. */
export type Step = 'event' | 'idle';
