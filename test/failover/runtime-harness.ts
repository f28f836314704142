/** Drives one program function under a primary runtime, recording every event, or under a backup runtime from a recording. */

import type { RuntimeEvent } from '../../failover/runtime/core/events.js';
import { originals } from '../../failover/runtime/core/originals.js';
import { Runtime } from '../../failover/runtime/runtime.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { native } from '../../lib/native/native.js';

/** One event as the harness logs it; `input` stands for what the runtime's sockets would bring. */
export interface LoggedEvent {
  no: number;
  monoUs: number;
  wallMs: number;
  kind: RuntimeEvent['kind'] | 'input';
  id: number;
  /** base64 */
  result: string;
}

export interface Recording {
  startUs: number;
  startMs: number;
  events: LoggedEvent[];
}

export interface Report {
  trace: string[];
  recording: Recording;
  nondeterministic: string[];
  divergences: string[];
  counters: Record<string, number>;
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

export type Program = (io: ProgramIo) => unknown;

export interface RunOptions {
  directory: string;
  /** Inputs that the primary gets, one every few milliseconds. */
  inputs?: string[];
  recording?: Recording;
  /** Backup: become primary after so many events. */
  goLiveAfter?: number;
  /** The primary had ended the last event. */
  finished?: boolean;
  /** Primary: dies after so many events, when all that they began has been done. */
  stopAfter?: number;
  /** Backup: deliver events with ids that nobody knows in between. */
  unknownIds?: boolean;
  withoutNative?: boolean;
}

const turn = (): Promise<void> => new Promise((done) => originals.setImmediate(done));
const sleep = (ms: number): Promise<void> => new Promise((done) => originals.setTimeout(done, ms));

/**
 * Runs an event as the runtime does: from the loop, with ticks and microtasks after it and nothing else. (Of two
 * immediates the second comes right after the ticks of the first, and nothing is polled for in between.)
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

/** Runs the program to its end. */
export async function runProgram(program: Program, options: RunOptions): Promise<Report> {
  const { recording } = options;
  const queue: RuntimeEvent[] = [];
  const trace: string[] = [];
  const undeclared: string[] = [];
  const divergences: string[] = [];
  const events: LoggedEvent[] = [];
  let finished = false;
  let onInput: ((data: Buffer) => void) | undefined;
  let unknown = 0;
  let liveFrom = recording === undefined ? 0 : -1;

  const runtime = new Runtime({
    secret: new Uint8Array(32).fill(7),
    live: recording === undefined,
    native: addon(options),
    request: (event) => queue.push(event),
    onNondeterministicApi: (what) => undeclared.push(what),
    onDivergence: (divergence) => divergences.push(`${divergence.what}: ${divergence.detail}`),
  });
  runtime.install();
  const io: ProgramIo = {
    trace: (...values) =>
      trace.push(values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' ')),
    done: () => {
      finished = true;
    },
    onInput: (fn) => {
      onInput = fn;
    },
    directory: options.directory,
    runtime,
  };
  const deliver = async (event: LoggedEvent): Promise<void> => {
    events.push(event);
    runtime.beginEvent(event.no, event.monoUs, event.wallMs);
    const bytes = Buffer.from(event.result, 'base64');
    await oneTurn(runtime, () => {
      if (event.kind === 'input') onInput?.(bytes);
      else if (!runtime.deliver({ kind: event.kind, id: event.id, result: bytes } as RuntimeEvent)) unknown++;
    });
  };

  const start = recording ?? { startUs: clock.now(), startMs: clock.wall(), events: [] };
  await turn();
  runtime.beginEvent(0, start.startUs, start.startMs);
  await oneTurn(runtime, () => void program(io));

  if (recording !== undefined) {
    const count = Math.min(options.goLiveAfter ?? Number.POSITIVE_INFINITY, recording.events.length);
    for (const event of recording.events.slice(0, count)) {
      if (options.unknownIds) {
        for (const kind of ['timer', 'immediate', 'async'] as const) {
          if (runtime.deliver({ kind, id: 2 ** 52 + 5, result: new Uint8Array(0) })) trace.push('a stranger was known');
        }
      }
      await deliver(event);
    }
    if (options.goLiveAfter !== undefined) {
      liveFrom = count;
      runtime.goLive(options.finished !== true);
    }
  }
  const inputs = [...(options.inputs ?? [])].slice(events.filter((event) => event.kind === 'input').length);
  let nextInput = clock.now() + 5000;
  const deadline = clock.now() + 10e6;
  const stopAfter = options.stopAfter ?? Number.POSITIVE_INFINITY;
  while (runtime.live && !finished && events.length < stopAfter && clock.now() < deadline) {
    let event: RuntimeEvent | { kind: 'input'; result: Uint8Array } | undefined =
      queue.shift() ?? runtime.timers.takeImmediate() ?? runtime.timers.takeDue(clock.now());
    if (event === undefined && inputs.length > 0 && clock.now() > nextInput) {
      event = { kind: 'input', result: Buffer.from(inputs.shift()!, 'latin1') };
      nextInput = clock.now() + 5000;
    }
    if (event === undefined) {
      await (runtime.timers.pendingImmediates > 0 ? turn() : sleep(1));
      continue;
    }
    await deliver({
      no: events.length + 1,
      ...runtime.time.stamp(clock),
      kind: event.kind,
      id: 'id' in event ? event.id : 0,
      result: 'result' in event ? Buffer.from(event.result).toString('base64') : '',
    });
  }
  if (events.length >= stopAfter) await sleep(30);
  if (runtime.live && !finished) trace.push('NOT FINISHED');
  runtime.uninstall();
  return {
    trace,
    recording: { startUs: start.startUs, startMs: start.startMs, events },
    nondeterministic: undeclared,
    divergences,
    counters: { ...runtime.counters },
    unknown,
    liveFrom,
  };
}
