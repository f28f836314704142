/**
 * Samples: values that a program reads at once, and calls whose effect and result are one. The live
 * replica asks Node, and the result goes into the log, as part of the running event. A backup takes
 * the results from the log, in the same order.
 *
 * Beyond the end of the log, in the event in which the primary died, a backup asks Node itself: its
 * predecessor is dead, and nothing that depends on the lost result has left. What it learns there
 * is logged when it has become the primary.
 */

import type { NativeAddon } from '../../../lib/native/native.js';
import type { Outcome } from '../core/async-operations.js';
import type { Divergence, RuntimeCounters } from '../core/counters.js';
import {
  decodeResult,
  encodeNumbers,
  encodeOutcome,
  isDigest,
  type Logged,
  sameOutcome,
} from '../core/result-codec.js';

/** A result as the log has it. */
export interface LoggedSample {
  /** Function that was called: 'os.freemem'. */
  name: string;
  /** How it ended (core/result-codec.ts). */
  result: Uint8Array;
}

/**
 * What a backup finds where its program asks for a sample. `end`: the log ends in this event.
 * `missing`: the event has no further sample. `unlogged`: nobody has logged this event's samples.
 */
export type NextSample = LoggedSample | 'end' | 'missing' | 'unlogged';

/** Where samples are logged; the replica implements it. */
export interface SampleLog {
  /**
   * Appends a sample to the running event; on a backup it was taken beyond the log's end, and is
   * appended when this replica is the primary. The result's bytes are valid during the call.
   * @param isEffect it has changed something outside
   */
  record(sample: LoggedSample, isEffect: boolean): void;
  /** Backup: the running event's next sample. */
  next(): NextSample;
  /** Backup: the program asks for something else than the primary's did. */
  differs(divergence: Divergence): void;
}

/** A log that has no samples. */
export const NO_SAMPLE_LOG: SampleLog = {
  record: () => undefined,
  next: () => 'unlogged',
  differs: () => undefined,
};

/** How a sample is taken, logged and given to the program. */
export interface Sample {
  /** 'os.freemem' */
  readonly name: string;
  /** Asks Node, as if no event were running. */
  take(): unknown;
  /** The names of a result's numbers, in order; `value`: a number; `list`: an array of numbers. */
  readonly numbers?: readonly string[] | 'value' | 'list';
  /** Encodes a result; default: its error, or its value as JSON of at most 64 KiB. */
  encode?(outcome: Outcome): Uint8Array;
  /** Backup: the outcome that a result stands for; default: the reverse of the default. */
  decode?(logged: Logged): Outcome;
  /** It changes something outside of the process: only the live replica does it. */
  readonly isEffect?: boolean;
  /** Does it where the dead primary may have done it, too; default `take`. */
  redo?(): unknown;
  /** An effect's value on a backup whose log does not have it; default undefined. */
  withoutLog?(): unknown;
}

/** What the samples need of the runtime. */
export interface SampleHost {
  readonly active: boolean;
  readonly live: boolean;
  readonly isUnreplicated: boolean;
  readonly native: NativeAddon | null;
  readonly counters: RuntimeCounters;
  outside<T>(fn: () => T): T;
  reportNondeterministic(api: string): void;
  diverged(divergence: Divergence): void;
}

/** Most numbers of one result. */
const MAX_NUMBERS = 64;

/** Takes and repeats samples. */
export class Samples {
  readonly #host: SampleHost;
  readonly #log: SampleLog;
  readonly #scratch = Buffer.alloc(1 + 8 * MAX_NUMBERS);

  constructor(host: SampleHost, log: SampleLog) {
    this.#host = host;
    this.#log = log;
  }

  /**
   * The sample's value for the program. Throws what Node's function throws.
   * @param caller frames up to this function are left out of an error's stack
   */
  take(sample: Sample, caller: (...args: never[]) => unknown): unknown {
    const host = this.#host;
    if (!host.active) return sample.take();
    if (host.isUnreplicated) return host.outside(() => sample.take());
    const outcome = host.live ? this.#taken(sample) : this.replayed(sample);
    if (outcome.error === null) return outcome.values[0];
    // The frames between the program and Node differ between replicas.
    if (outcome.error instanceof Error) Error.captureStackTrace(outcome.error, caller);
    throw outcome.error;
  }

  /** Asks Node, as if no event were running. */
  protected ask(fn: () => unknown): Outcome {
    try {
      return { error: null, values: [this.#host.outside(fn)] };
    } catch (error) {
      return { error: error as NodeJS.ErrnoException, values: [] };
    }
  }

  #taken(sample: Sample): Outcome {
    const { counters } = this.#host;
    const outcome = this.ask(() => sample.take());
    const result = this.#encode(sample, outcome);
    if (sample.encode === undefined && isDigest(result))
      this.#host.reportNondeterministic(`${sample.name} with a result of more than 64 KiB`);
    counters.samples++;
    counters.sampleBytes += result.length;
    this.#log.record({ name: sample.name, result }, sample.isEffect === true);
    return outcome;
  }

  #encode(sample: Sample, outcome: Outcome): Uint8Array {
    if (sample.encode !== undefined) return sample.encode(outcome);
    const { numbers } = sample;
    if (numbers !== undefined && outcome.error === null) {
      const list = numbersOf(outcome.values[0], numbers);
      if (list !== null) return encodeNumbers(list, this.#scratch);
    }
    return encodeOutcome(this.#host.native, outcome);
  }

  /** A backup's outcome: the log's. */
  protected replayed(sample: Sample): Outcome {
    const host = this.#host;
    const next = this.#log.next();
    if (next === 'end') return this.#takenBeyond(sample);
    if (typeof next === 'object' && next.name === sample.name) {
      host.counters.replayedSamples++;
      if (sample.isEffect === true) host.counters.suppressedEffects++;
      return this.#decode(sample, decodeResult(next.result));
    }
    if (next !== 'unlogged') {
      const primary = next === 'missing' ? 'nothing more in this event' : next.name;
      const detail = `this replica's program calls it, the primary's called ${primary}`;
      this.#log.differs({ what: sample.name, id: 0, detail });
    }
    return this.#withoutLog(sample);
  }

  /** No result is to be had: what changes something is left out. */
  #withoutLog(sample: Sample): Outcome {
    const host = this.#host;
    if (sample.isEffect !== true) return this.ask(() => sample.take());
    host.counters.suppressedEffects++;
    return { error: null, values: [sample.withoutLog?.()] };
  }

  #takenBeyond(sample: Sample): Outcome {
    const host = this.#host;
    host.counters.unloggedSamples++;
    if (sample.isEffect === true) host.counters.redoneEffects++;
    const outcome = this.ask(() => (sample.redo ?? sample.take).call(sample));
    this.#log.record({ name: sample.name, result: this.#encode(sample, outcome) }, sample.isEffect === true);
    return outcome;
  }

  #decode(sample: Sample, logged: Logged): Outcome {
    if (logged.tag === 'error') return { error: logged.error, values: [] };
    if (sample.decode !== undefined) return sample.decode(logged);
    switch (logged.tag) {
      case 'values':
        return { error: null, values: logged.values };
      case 'numbers':
        return { error: null, values: [fromNumbers(logged.numbers, sample.numbers)] };
      case 'digest':
        return this.#compared(sample, logged);
      default:
        return { error: null, values: [undefined] };
    }
  }

  /** The result was too long for the log: it can be repeated only if it is the same here. */
  #compared(sample: Sample, logged: { length: number; crc: number }): Outcome {
    const host = this.#host;
    if (sample.isEffect === true) {
      host.diverged({
        what: sample.name,
        id: 0,
        detail: `its result of ${logged.length} bytes is too long for the log`,
      });
      return { error: null, values: [sample.withoutLog?.()] };
    }
    const mine = this.ask(() => sample.take());
    if (!sameOutcome(host.native, logged, mine)) {
      const detail = `its result of ${logged.length} bytes is too long for the log (65536), and is another one here`;
      host.diverged({ what: sample.name, id: 0, detail });
    }
    return mine;
  }
}

/** A result as numbers; null: it is none. */
function numbersOf(value: unknown, names: readonly string[] | 'value' | 'list'): readonly number[] | null {
  if (names === 'value') return typeof value === 'number' ? [value] : null;
  if (names === 'list') {
    const isShort = Array.isArray(value) && value.length <= MAX_NUMBERS;
    return isShort && value.every((entry) => typeof entry === 'number') ? (value as number[]) : null;
  }
  const bag = value as Record<string, unknown>;
  const keys = Object.keys(bag);
  if (keys.length !== names.length) return null;
  const list: number[] = [];
  for (let i = 0; i < names.length; i++) {
    const entry = bag[names[i]];
    if (keys[i] !== names[i] || typeof entry !== 'number') return null;
    list.push(entry);
  }
  return list;
}

/** The reverse of {@link numbersOf}. */
function fromNumbers(list: readonly number[], names: readonly string[] | 'value' | 'list' | undefined): unknown {
  if (names === 'value') return list[0];
  if (names === undefined || names === 'list') return list;
  const bag: Record<string, number> = {};
  names.forEach((name, i) => {
    bag[name] = list[i];
  });
  return bag;
}
