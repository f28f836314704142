/**
 * Drives one program function under a primary's runtime, recording every event, or under a backup's
 * runtime from a recording.
 */

import type { RuntimeEvent } from '../../failover/runtime/core/events.js';
import { originals } from '../../failover/runtime/core/originals.js';
import { Runtime } from '../../failover/runtime/runtime.js';
import type { NextSample } from '../../failover/runtime/samples/samples.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { native } from '../../lib/native/native.js';

/** One event as the harness logs it; an `input` is what the replica's sockets would bring. */
export interface LoggedEvent {
  no: number;
  monoUs: number;
  wallMs: number;
  kind: RuntimeEvent['kind'] | 'input';
  id: number;
  /** base64 */
  result: string;
  /** What the program sampled in it: names, and results in base64. */
  samples: [name: string, result: string][];
}

/** What a backup needs to repeat a run. */
export interface Recording {
  startUs: number;
  startMs: number;
  /** Samples of the start. */
  samples: [name: string, result: string][];
  events: LoggedEvent[];
}

/** How a run went. */
export interface Report {
  /** What the program has traced. */
  trace: string[];
  recording: Recording;
  /** Names of the APIs that were reported. */
  nondeterministic: string[];
  divergences: string[];
  counters: Record<string, number>;
  /** Events for which nothing ran. */
  unknown: number;
  /** Events delivered before goLive. */
  liveFrom: number;
}

/** What a program of a test gets. */
export interface ProgramIo {
  trace(...values: unknown[]): void;
  done(): void;
  /** Called with each input. */
  onInput(fn: (data: Buffer) => void): void;
  readonly directory: string;
  readonly runtime: Runtime;
}

/** A program of a test; it traces what it sees, and calls done() at its end. */
export type Program = (io: ProgramIo) => unknown;

/** How a program is run. Without a recording it runs on a primary. */
export interface RunOptions {
  directory: string;
  /** Inputs that the primary gets, one every few milliseconds. */
  inputs?: string[];
  recording?: Recording;
  /** Backup: number of events after which it becomes primary. */
  goLiveAfter?: number;
  /** The primary had ended the last event. */
  finished?: boolean;
  /** Primary: number of events after which it dies, with all their effects carried out. */
  stopAfter?: number;
  /** Primary: it dies when it has logged this many samples in the last of these events. */
  dieAfterSamples?: number;
  /** Backup: this many samples of the last event before it becomes primary are in the log. */
  loggedSamples?: number;
  /** Backup: deliver events with unknown ids in between. */
  unknownIds?: boolean;
  withoutNative?: boolean;
}

/** Microseconds between two inputs. */
const INPUT_INTERVAL_US = 5000;
/** Microseconds after which a program that has not finished is given up. */
const TIMEOUT_US = 10e6;

const turn = (): Promise<void> => new Promise((done) => originals.setImmediate(done));
const sleep = (ms: number): Promise<void> => new Promise((done) => originals.setTimeout(done, ms));

/**
 * Runs an event as the replica does: from the loop, with ticks and microtasks after it and nothing
 * else. (Of two immediates, the second comes directly after the ticks of the first. Nothing is
 * polled for in between.)
 */
function oneTurn(runtime: Runtime, event: () => void): Promise<void> {
  return new Promise((resolve) => {
    originals.setImmediate(event);
    originals.setImmediate(() => {
      runtime.endEvent();
      resolve();
    });
  });
}

const clock = {
  now: (): number => Number(originals.hrtime.bigint() / 1000n),
  wall: (): number => originals.Date.now(),
};

function addon(options: RunOptions): NativeAddon | null {
  if (options.withoutNative) return null;
  try {
    return native();
  } catch {
    return null;
  }
}

/** One run of a program. */
class Run {
  readonly #options: RunOptions;
  readonly #runtime: Runtime;
  readonly #queue: RuntimeEvent[] = [];
  readonly #trace: string[] = [];
  readonly #nondeterministic: string[] = [];
  readonly #divergences: string[] = [];
  readonly #events: LoggedEvent[] = [];
  readonly #startSamples: [string, string][] = [];
  /** Where samples of the running event are logged. */
  #logged: [string, string][] = this.#startSamples;
  /** Backup: samples of the running event that have not been asked for; null: none are logged. */
  #samples: [string, string][] | null = null;
  /** The log ends in the running event. */
  #isLast = false;
  #finished = false;
  #onInput: ((data: Buffer) => void) | undefined;
  #unknown = 0;
  #liveFrom: number;

  readonly #die: (report: Report) => void;
  #start: Omit<Recording, 'events'> = { startUs: 0, startMs: 0, samples: [] };

  constructor(options: RunOptions, die: (report: Report) => void) {
    this.#options = options;
    this.#die = die;
    this.#liveFrom = options.recording === undefined ? 0 : -1;
    this.#runtime = new Runtime({
      secret: new Uint8Array(32).fill(7),
      live: options.recording === undefined,
      native: addon(options),
      request: (event) => this.#queue.push(event),
      samples: {
        record: ({ name, result }) => {
          this.#logged.push([name, Buffer.from(result).toString('base64')]);
          const { stopAfter, dieAfterSamples } = this.#options;
          if (this.#events.length === stopAfter && this.#logged.length === dieAfterSamples) this.#die(this.#report());
        },
        next: () => this.#nextSample(),
        differs: ({ what, detail }) => this.#divergences.push(`${what}: ${detail}`),
      },
      onNondeterministicApi: (api) => this.#nondeterministic.push(api),
      onDivergence: ({ what, detail }) => this.#divergences.push(`${what}: ${detail}`),
    });
  }

  async run(program: Program): Promise<Report> {
    const { recording } = this.#options;
    const runtime = this.#runtime;
    runtime.install();
    const start = recording ?? { startUs: clock.now(), startMs: clock.wall(), samples: [], events: [] };
    this.#start = { startUs: start.startUs, startMs: start.startMs, samples: this.#startSamples };
    this.#beginSamples(recording?.samples ?? null, this.#options.goLiveAfter === 0);
    await turn();
    runtime.beginEvent(0, start.startUs, start.startMs);
    await oneTurn(runtime, () => void program(this.#io()));
    this.#endSamples();
    if (recording !== undefined) await this.#replay(recording);
    await this.#live();
    runtime.uninstall();
    return this.#report();
  }

  #report(): Report {
    return {
      trace: this.#trace,
      recording: { ...this.#start, events: this.#events },
      nondeterministic: this.#nondeterministic,
      divergences: this.#divergences,
      counters: { ...this.#runtime.counters },
      unknown: this.#unknown,
      liveFrom: this.#liveFrom,
    };
  }

  #io(): ProgramIo {
    return {
      trace: (...values) =>
        this.#trace.push(values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' ')),
      done: () => {
        this.#finished = true;
      },
      onInput: (fn) => {
        this.#onInput = fn;
      },
      directory: this.#options.directory,
      runtime: this.#runtime,
    };
  }

  /** An event begins. @param isLast the log ends in it */
  #beginSamples(logged: [string, string][] | null, isLast: boolean): void {
    const { finished, loggedSamples } = this.#options;
    this.#isLast = isLast && finished !== true;
    this.#samples = logged === null ? null : logged.slice(0, this.#isLast ? loggedSamples : undefined);
  }

  #nextSample(): NextSample {
    if (this.#samples === null) return 'unlogged';
    const next = this.#samples.shift();
    if (next === undefined) return this.#isLast ? 'end' : 'missing';
    this.#logged.push(next);
    return { name: next[0], result: Buffer.from(next[1], 'base64') };
  }

  #endSamples(): void {
    for (const [name] of this.#samples ?? []) this.#divergences.push(`${name}: the program does not call it`);
    this.#samples = null;
  }

  async #deliver(logged: LoggedEvent, isLast = false): Promise<void> {
    const runtime = this.#runtime;
    const event: LoggedEvent = { ...logged, samples: [] };
    this.#events.push(event);
    this.#logged = event.samples;
    this.#beginSamples(runtime.live ? null : logged.samples, isLast);
    runtime.beginEvent(event.no, event.monoUs, event.wallMs);
    const bytes = Buffer.from(event.result, 'base64');
    await oneTurn(runtime, () => {
      if (event.kind === 'input') this.#onInput?.(bytes);
      else if (!runtime.deliver({ kind: event.kind, id: event.id, result: bytes } as RuntimeEvent)) this.#unknown++;
    });
    this.#endSamples();
  }

  /** Backup: the recording's events, up to the takeover. */
  async #replay(recording: Recording): Promise<void> {
    const { goLiveAfter, unknownIds } = this.#options;
    const count = Math.min(goLiveAfter ?? Number.POSITIVE_INFINITY, recording.events.length);
    for (const [i, event] of recording.events.slice(0, count).entries()) {
      if (unknownIds) this.#deliverUnknown();
      await this.#deliver(event, goLiveAfter !== undefined && i === count - 1);
    }
    if (goLiveAfter === undefined) return;
    this.#liveFrom = count;
    this.#runtime.goLive();
  }

  #deliverUnknown(): void {
    for (const kind of ['timer', 'immediate', 'async'] as const) {
      if (this.#runtime.deliver({ kind, id: 2 ** 52 + 5, result: new Uint8Array(0) }))
        this.#trace.push('an unknown id was known');
    }
  }

  /** Primary: events as they become due, until the program has finished. */
  async #live(): Promise<void> {
    const runtime = this.#runtime;
    const events = this.#events;
    const stopAfter = this.#options.stopAfter ?? Number.POSITIVE_INFINITY;
    const inputs = (this.#options.inputs ?? []).slice(events.filter(({ kind }) => kind === 'input').length);
    let nextInput = clock.now() + INPUT_INTERVAL_US;
    const deadline = clock.now() + TIMEOUT_US;
    while (runtime.live && !this.#finished && events.length < stopAfter && clock.now() < deadline) {
      let event: RuntimeEvent | { kind: 'input'; result: Uint8Array } | undefined =
        this.#queue.shift() ?? runtime.timers.takeImmediate() ?? runtime.timers.takeDue(clock.now());
      const input = event === undefined && clock.now() > nextInput ? inputs.shift() : undefined;
      if (input !== undefined) {
        event = { kind: 'input', result: Buffer.from(input, 'latin1') };
        nextInput = clock.now() + INPUT_INTERVAL_US;
      }
      if (event === undefined) {
        await (runtime.timers.pendingImmediates > 0 ? turn() : sleep(1));
        continue;
      }
      await this.#deliver({
        no: events.length + 1,
        ...runtime.time.stamp(clock),
        kind: event.kind,
        id: 'id' in event ? event.id : 0,
        result: 'result' in event ? Buffer.from(event.result).toString('base64') : '',
        samples: [],
      });
    }
    if (events.length >= stopAfter) await sleep(30);
    if (runtime.live && !this.#finished) this.#trace.push('NOT FINISHED');
  }
}

/** Runs a program to its end. @param die ends the process, in the middle of an event */
export function runProgram(program: Program, options: RunOptions, die: (report: Report) => void): Promise<Report> {
  return new Run(options, die).run(program);
}
