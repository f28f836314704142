/**
 * The classes that a replica is composed of. A product uses all of them as they are. The simulation
 * replaces one by a class that breaks an invariant (test/sim/mutants.ts), so that no code of the
 * product needs a switch for it.
 */
import type { BackupParts } from '../backup/backup.js';
import { Follower } from '../backup/follower.js';
import { Replayer } from '../backup/replayer.js';
import { RingWriter } from '../log/ring-writer.js';
import { CommitGate } from '../primary/output-gate.js';
import { Primary, type PrimaryParts } from '../primary/primary.js';
import { Recorder } from '../primary/recorder.js';
import { AsyncOperations } from '../runtime/core/async-operations.js';
import { Samples } from '../runtime/samples/samples.js';
import { Takeover } from './takeover.js';

/** One class for each part of a replica. */
export interface ReplicaParts extends PrimaryParts, BackupParts {
  readonly Primary: typeof Primary;
  readonly CommitGate: typeof CommitGate;
  readonly Takeover: typeof Takeover;
  /** The operations of the program's runtime. */
  readonly Operations: typeof AsyncOperations;
  /** The samples of the program's runtime. */
  readonly Samples: typeof Samples;
}

/** The parts of a product. */
export const REPLICA_PARTS: ReplicaParts = {
  RingWriter,
  Recorder,
  Follower,
  Replayer,
  Primary,
  CommitGate,
  Takeover,
  Operations: AsyncOperations,
  Samples,
};
