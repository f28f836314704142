/** Logical time: the event's own, plus a microsecond per read, so that loops on the clock end. */
import type { Clock } from '../../../lib/clock.js';
import type { RuntimeContext } from '../core/context.js';
import type { EventKind } from '../core/event-time.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

/** A pair of times that belongs to one event. */
export interface Stamp {
  monoUs: number;
  wallMs: number;
}

/** The wall clock may be set back by more than this; smaller steps are hidden. */
const WALL_STEP_MS = 1000;

export class LogicalTime {
  #mono = 0;
  #wall = 0;
  #ticks = 0;
  /**
   * Events apart have a course of their own, as a backup does not know how often they looked; and so have past ones. The others'
   * wait here.
   */
  #kind: EventKind = 'usual';
  readonly #courses = {
    usual: { mono: 0, wall: 0, ticks: 0 },
    apart: { mono: 0, wall: 0, ticks: 0 },
    past: { mono: 0, wall: 0, ticks: 0 },
  };
  /** How far the courses are that wait. */
  #elsewhereMono = 0;
  #elsewhereWall = 0;
  /** Times of the first event. */
  origin: Stamp | null = null;

  /** Takes over an event's time. It never runs backwards, whatever is handed in, but where the past is repeated. */
  begin(monoUs: number, wallMs: number, kind: EventKind = 'usual'): void {
    if (kind !== this.#kind) this.#change(kind);
    if (kind === 'past') {
      this.#mono = monoUs;
      this.#wall = wallMs;
      this.#ticks = 0;
      return;
    }
    const lastMono = this.#mono + this.#ticks;
    const lastWall = Math.floor(this.#wall + this.#ticks / 1000);
    this.#mono = Math.max(monoUs, lastMono);
    this.#wall = wallMs < lastWall && wallMs > lastWall - WALL_STEP_MS ? lastWall : wallMs;
    this.#ticks = 0;
    if (this.origin === null) this.origin = { monoUs: this.#mono, wallMs: this.#wall };
  }

  /** The time that the primary gives to its next event: the clock's, but not before what the program has seen already. */
  stamp(clock: Clock): Stamp {
    const lastMono = this.#mono + this.#ticks;
    const lastWall = Math.floor(this.#wall + this.#ticks / 1000);
    const monoUs = Math.max(Math.floor(clock.now()), lastMono);
    const wall = Math.floor(clock.wall());
    return { monoUs, wallMs: wall < lastWall && wall > lastWall - WALL_STEP_MS ? lastWall : wall };
  }

  #change(kind: EventKind): void {
    Object.assign(this.#courses[this.#kind], { mono: this.#mono, wall: this.#wall, ticks: this.#ticks });
    const { mono, wall, ticks } = this.#courses[kind];
    this.#mono = mono;
    this.#wall = wall;
    this.#ticks = ticks;
    this.#kind = kind;
    // What is repeated of the past was seen long ago.
    const { usual, apart } = this.#courses;
    this.#elsewhereMono = Math.max(usual.mono + usual.ticks, apart.mono + apart.ticks);
    this.#elsewhereWall = Math.max(usual.wall + usual.ticks / 1000, apart.wall + apart.ticks / 1000);
  }

  /** What has been seen of the clocks in any course, in microseconds and whole milliseconds. */
  get seenMonoUs(): number {
    return Math.max(this.#mono + this.#ticks, this.#elsewhereMono);
  }

  get seenWallMs(): number {
    return Math.floor(Math.max(this.#wall + this.#ticks / 1000, this.#elsewhereWall));
  }

  /** Monotonic microseconds, without counting as a read. */
  peek(): number {
    return this.#mono + this.#ticks;
  }

  /** Wall-clock milliseconds, without counting as a read. */
  peekWall(): number {
    return this.#wall + this.#ticks / 1000;
  }

  /** A read of the monotonic clock, in microseconds. */
  mono(): number {
    return this.#mono + this.#ticks++;
  }

  /** A read of the wall clock, in whole milliseconds. */
  wall(): number {
    return Math.floor(this.#wall + this.#ticks++ / 1000);
  }

  /** A read of the monotonic clock, in microseconds since the first event. */
  sinceOrigin(): number {
    return this.mono() - (this.origin?.monoUs ?? 0);
  }
}

/** Makes the Date constructor that the program sees. Everything but "now" is the real one's. */
function virtualDate(world: RuntimeContext): DateConstructor {
  const RealDate = originals.Date;
  const now = (): number => (world.active ? world.time.wall() : RealDate.now());
  // A function, not a class: Date() without new is legal.
  function VirtualDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new RealDate(now()).toString();
    if (args.length === 0) args = [now()];
    return Reflect.construct(RealDate, args, new.target);
  }
  for (const key of Reflect.ownKeys(RealDate)) {
    Object.defineProperty(VirtualDate, key, Object.getOwnPropertyDescriptor(RealDate, key)!);
  }
  Object.defineProperty(VirtualDate, 'now', { value: now, writable: true, configurable: true, enumerable: false });
  Object.defineProperty(now, 'name', { value: 'now', configurable: true });
  return VirtualDate as unknown as DateConstructor;
}

/** Formatters take "now" when they are not given a date. */
function patchIntl(world: RuntimeContext, patcher: Patcher): void {
  const prototype = Intl.DateTimeFormat.prototype;
  const getter = Object.getOwnPropertyDescriptor(prototype, 'format')?.get;
  const bound = new WeakMap<object, (date?: Date | number) => string>();
  if (getter !== undefined) {
    patcher.getter(prototype, 'format', function format(this: Intl.DateTimeFormat) {
      const original = getter.call(this) as (date?: Date | number) => string;
      let mine = bound.get(this);
      if (mine === undefined) {
        mine = (date) => original(date === undefined && world.active ? world.time.wall() : date);
        bound.set(this, mine);
      }
      return mine;
    });
  }
  patcher.method(
    prototype,
    'formatToParts',
    (original) =>
      function formatToParts(this: unknown, date?: unknown) {
        return original.call(this, date === undefined && world.active ? world.time.wall() : date);
      },
  );
}

/** Puts logical time under Date, performance, process and Intl. */
export function installClocks(world: RuntimeContext, patcher: Patcher): void {
  const { time } = world;
  const VirtualDate = virtualDate(world);
  patcher.value(globalThis, 'Date', VirtualDate);
  patcher.value(originals.Date.prototype, 'constructor', VirtualDate);

  const { performance } = globalThis;
  patcher.method(
    performance,
    'now',
    () => () => (world.active ? time.sinceOrigin() / 1000 : originals.performanceNow()),
  );
  const timeOrigin = performance.timeOrigin;
  patcher.getter(performance, 'timeOrigin', () => (world.active ? (time.origin?.wallMs ?? timeOrigin) : timeOrigin));

  const bigint = (): bigint => (world.active ? BigInt(time.mono()) * 1000n : originals.hrtime.bigint());
  patcher.method(
    process,
    'hrtime',
    () =>
      function hrtime(before?: unknown) {
        if (!world.active) return originals.hrtime(before as [number, number] | undefined);
        // An argument that is no pair is Node's to complain about.
        if (before !== undefined && !(Array.isArray(before) && before.length === 2))
          return originals.hrtime(before as never);
        const us = time.mono();
        let seconds = Math.floor(us / 1e6);
        let nanos = (us - seconds * 1e6) * 1000;
        if (before !== undefined) {
          seconds -= (before as number[])[0]!;
          nanos -= (before as number[])[1]!;
          if (nanos < 0) {
            seconds--;
            nanos += 1e9;
          }
        }
        return [seconds, nanos];
      },
  );
  patcher.value(process.hrtime, 'bigint', bigint);
  patcher.method(process, 'uptime', () => () => (world.active ? time.sinceOrigin() / 1e6 : originals.uptime()));
  patchIntl(world, patcher);
}
