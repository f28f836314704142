/** The deterministic runtime of a replica's program, and where its samples are logged. */
import { randomBytes } from 'node:crypto';
import type { Replayer } from '../backup/replayer.js';
import type { RuntimeEvent } from '../runtime/core/events.js';
import { Runtime } from '../runtime/runtime.js';
import type { LoggedSample, SampleLog } from '../runtime/samples/samples.js';
import { RUNTIME_SECRET_BYTES } from './device.js';
import type { ReplicaOptions } from './options.js';
import type { ReplicaParts } from './parts.js';

/** The half of a replica that records samples: its primary, or its backup beyond the log's end. */
export interface SampleRecorder {
  recordSample(sample: LoggedSample, isEffect: boolean): void;
}

/** What the runtime needs of its replica. */
export interface ProgramRuntimeHost {
  readonly role: 'primary' | 'backup';
  readonly native: Runtime['native'];
  readonly parts: ReplicaParts;
  readonly options: ReplicaOptions;
  readonly stateMode: boolean;
  /** The program of a warm standby; null: there is none. */
  readonly standby: object | null;
  readonly current: SampleRecorder | null;
  readonly replayer: Replayer | null;
  readonly checkpoint: { restore(): void };
  emit(event: 'nondeterministicApi', api: string): unknown;
  /** An operation has ended, or something has arrived. */
  request(event: RuntimeEvent): void;
  /** This backup's program is not where the primary's is. */
  diverged(reason: string): void;
}

/** The samples of a replica, whatever its role is at a time. */
function sampleLog(host: ProgramRuntimeHost): SampleLog {
  return {
    record: (sample, isEffect) => host.current?.recordSample(sample, isEffect),
    next: () => host.replayer?.nextSample() ?? 'unlogged',
    differs: ({ what, detail }) => host.replayer?.differs(`${what}: ${detail}`),
  };
}

/**
 * Makes the runtime. @param groupSecret what all replicas have in common: their programs draw the
 * same random numbers. The program of a warm standby runs beside the primary's, and draws others.
 */
export function programRuntime(host: ProgramRuntimeHost, groupSecret: Uint8Array): Runtime {
  const { origin, solo, allowedAddons = [] } = host.options;
  const isStandby = host.standby !== null;
  return new Runtime({
    secret: isStandby ? randomBytes(RUNTIME_SECRET_BYTES) : Uint8Array.from(groupSecret),
    live: host.role === 'primary' || isStandby,
    native: host.native,
    Operations: host.parts.Operations,
    Samples: host.parts.Samples,
    allowedAddons: host.stateMode || solo ? 'all' : allowedAddons,
    samples: sampleLog(host),
    request: (event) => host.request(event),
    restore: () => host.checkpoint.restore(),
    onNondeterministicApi: (api) => host.emit('nondeterministicApi', api),
    onDivergence: (divergence) => host.diverged(`${divergence.what}: ${divergence.detail}`),
    ...(origin === undefined ? {} : { origin }),
  });
}
