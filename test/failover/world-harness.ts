/** Drives one program function under a primary world, recording every event, or under a backup world from a recording. */

import { Runtime, real, type WorldEvent } from '../../failover/runtime/runtime.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { native } from '../../lib/native/native.js';

/** One event as the harness logs it; `input` stands for what the runtime's sockets would bring. */
export interface LoggedEvent {
  no: number;
  monoUs: number;
  wallMs: number;
  kind: WorldEvent['kind'] | 'input';
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
  undeclared: string[];
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
  readonly world: Runtime;
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
  strangers?: boolean;
  withoutNative?: boolean;
}

const turn = (): Promise<void> => new Promise((done) => real.setImmediate(done));
const sleep = (ms: number): Promise<void> => new Promise((done) => real.setTimeout(done, ms));

/**
 * Runs an event as the runtime does: from the loop, with ticks and microtasks after it and nothing else. (Of two
 * immediates the second comes right after the ticks of the first, and nothing is polled for in between.)
 */
function oneTurn(world: Runtime, event: () => void): Promise<void> {
  return new Promise((resolve) => {
    real.setImmediate(event);
    real.setImmediate(() => {
      world.endEvent();
      resolve();
    });
  });
}

const clock = {
  now: (): number => Number(real.hrtime.bigint() / 1000n),
  wall: (): number => real.Date.now(),
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
export async function runWorld(program: Program, options: RunOptions): Promise<Report> {
  const { recording } = options;
  const queue: WorldEvent[] = [];
  const trace: string[] = [];
  const undeclared: string[] = [];
  const divergences: string[] = [];
  const events: LoggedEvent[] = [];
  let finished = false;
  let onInput: ((data: Buffer) => void) | undefined;
  let unknown = 0;
  let liveFrom = recording === undefined ? 0 : -1;

  const world = new Runtime({
    clock,
    secret: new Uint8Array(32).fill(7),
    live: recording === undefined,
    native: addon(options),
    request: (event) => queue.push(event),
    onUndeclared: (what) => undeclared.push(what),
    onDivergence: (divergence) => divergences.push(`${divergence.what}: ${divergence.detail}`),
  });
  world.install();
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
    world,
  };
  const deliver = async (event: LoggedEvent): Promise<void> => {
    events.push(event);
    world.beginEvent(event.no, event.monoUs, event.wallMs);
    const bytes = Buffer.from(event.result, 'base64');
    await oneTurn(world, () => {
      if (event.kind === 'input') onInput?.(bytes);
      else if (!world.deliver({ kind: event.kind, id: event.id, result: bytes } as WorldEvent)) unknown++;
    });
  };

  const start = recording ?? { startUs: clock.now(), startMs: clock.wall(), events: [] };
  await turn();
  world.beginEvent(0, start.startUs, start.startMs);
  await oneTurn(world, () => void program(io));

  if (recording !== undefined) {
    const count = Math.min(options.goLiveAfter ?? Number.POSITIVE_INFINITY, recording.events.length);
    for (const event of recording.events.slice(0, count)) {
      if (options.strangers) {
        for (const kind of ['timer', 'immediate', 'async'] as const) {
          if (world.deliver({ kind, id: 2 ** 52 + 5, result: new Uint8Array(0) })) trace.push('a stranger was known');
        }
      }
      await deliver(event);
    }
    if (options.goLiveAfter !== undefined) {
      liveFrom = count;
      world.goLive(options.finished !== true);
    }
  }
  const inputs = [...(options.inputs ?? [])].slice(events.filter((event) => event.kind === 'input').length);
  let nextInput = clock.now() + 5000;
  const deadline = clock.now() + 10e6;
  const stopAfter = options.stopAfter ?? Number.POSITIVE_INFINITY;
  while (world.live && !finished && events.length < stopAfter && clock.now() < deadline) {
    let event: WorldEvent | { kind: 'input'; result: Uint8Array } | undefined =
      queue.shift() ?? world.takeImmediate() ?? world.takeDue(clock.now());
    if (event === undefined && inputs.length > 0 && clock.now() > nextInput) {
      event = { kind: 'input', result: Buffer.from(inputs.shift()!, 'latin1') };
      nextInput = clock.now() + 5000;
    }
    if (event === undefined) {
      await (world.pendingImmediates > 0 ? turn() : sleep(1));
      continue;
    }
    await deliver({
      no: events.length + 1,
      ...world.stamp(),
      kind: event.kind,
      id: 'id' in event ? event.id : 0,
      result: 'result' in event ? Buffer.from(event.result).toString('base64') : '',
    });
  }
  if (events.length >= stopAfter) await sleep(30);
  if (world.live && !finished) trace.push('NOT FINISHED');
  world.uninstall();
  return {
    trace,
    recording: { startUs: start.startUs, startMs: start.startMs, events },
    undeclared,
    divergences,
    counters: { ...world.counters },
    unknown,
    liveFrom,
  };
}
