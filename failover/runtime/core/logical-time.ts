/**
 * Logical time: the event's own, plus a microsecond per read, so that loops on the clock end. The
 * patch of Node's clocks (virtual/clocks.ts) reads it.
 */
import type { Clock } from '../../../lib/clock.js';

/**
 * `live`: every replica runs the event in the order of the log. `unreplicated`: it belongs to a
 * connection in state mode, and backups that run the program do not repeat it. `historical`: a
 * replica that joined late repeats it from a connection's history
 * (failover/log/connection-history.ts).
 */
export type EventKind = 'live' | 'unreplicated' | 'historical';

/** The times of one event. */
export interface Stamp {
  /** Monotonic, in microseconds. */
  monoUs: number;
  /** Wall clock, in milliseconds since 1970. */
  wallMs: number;
}

/** The wall clock may be set back by more than this; smaller steps are hidden. */
const WALL_STEP_MS = 1000;

interface Timeline {
  mono: number;
  wall: number;
  ticks: number;
}

/** The clocks that the program sees. */
export class LogicalTime {
  #mono = 0;
  #wall = 0;
  #ticks = 0;
  #kind: EventKind = 'live';
  /**
   * Each kind of event has a timeline of its own, because a backup does not know how often the
   * program read the clock in an unreplicated event. The timelines that wait are kept here.
   */
  readonly #timelines: Record<EventKind, Timeline> = {
    live: { mono: 0, wall: 0, ticks: 0 },
    unreplicated: { mono: 0, wall: 0, ticks: 0 },
    historical: { mono: 0, wall: 0, ticks: 0 },
  };
  /** How far the waiting timelines have come. */
  #waitingMono = 0;
  #waitingWall = 0;
  /** Times of the first event; null before it. */
  origin: Stamp | null = null;

  /** Takes over an event's time. It never runs backwards, except for a historical event. */
  begin(monoUs: number, wallMs: number, kind: EventKind = 'live'): void {
    if (kind !== this.#kind) this.#change(kind);
    if (kind === 'historical') {
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

  /**
   * The time of the primary's next event: the clock's, but not before a time that the program has
   * seen.
   */
  stamp(clock: Clock): Stamp {
    const lastMono = this.#mono + this.#ticks;
    const lastWall = Math.floor(this.#wall + this.#ticks / 1000);
    const monoUs = Math.max(Math.floor(clock.now()), lastMono);
    const wall = Math.floor(clock.wall());
    return { monoUs, wallMs: wall < lastWall && wall > lastWall - WALL_STEP_MS ? lastWall : wall };
  }

  #change(kind: EventKind): void {
    Object.assign(this.#timelines[this.#kind], { mono: this.#mono, wall: this.#wall, ticks: this.#ticks });
    const { mono, wall, ticks } = this.#timelines[kind];
    this.#mono = mono;
    this.#wall = wall;
    this.#ticks = ticks;
    this.#kind = kind;
    // A historical event shows times that were seen long ago.
    const { live, unreplicated } = this.#timelines;
    this.#waitingMono = Math.max(live.mono + live.ticks, unreplicated.mono + unreplicated.ticks);
    this.#waitingWall = Math.max(live.wall + live.ticks / 1000, unreplicated.wall + unreplicated.ticks / 1000);
  }

  /** The latest monotonic time that the program has seen, in microseconds. */
  get seenMonoUs(): number {
    return Math.max(this.#mono + this.#ticks, this.#waitingMono);
  }

  /** The latest wall-clock time that the program has seen, in whole milliseconds. */
  get seenWallMs(): number {
    return Math.floor(Math.max(this.#wall + this.#ticks / 1000, this.#waitingWall));
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
