/**
 * The number and the time of the running event. Time stands still between events. The primary takes
 * it from the machine's clocks, a backup from the log, and it never runs backwards across a
 * takeover.
 */
import type { Clock } from '../../../lib/clock.js';
import type { EventKind } from './logical-time.js';

export type { EventKind } from './logical-time.js';

/** What begins an event for the program, and knows how far the program has seen the clocks. */
export interface EventRuntime {
  readonly time: {
    /** Microseconds. */
    readonly seenMonoUs: number;
    /** Whole milliseconds. */
    readonly seenWallMs: number;
  };
  beginEvent(eventNo: number, monoUs: number, wallMs: number, kind: EventKind, owner: number): void;
}

/** Draws the numbers and times of a replica's events. */
export class EventTime {
  /** Number of the current event; 0 before the first one. */
  number = 0;
  /** Monotonic time of the event, in microseconds. */
  monoUs = 0;
  /** Wall-clock time of the event, in milliseconds since 1970. */
  wallMs = 0;
  /** Whether backups repeat the event. */
  kind: EventKind = 'live';
  /** The independent connection that the event belongs to, 0 for none. */
  owner = 0;

  constructor(
    readonly clock: Clock,
    readonly runtime: EventRuntime,
  ) {}

  /** Backups do not repeat the event. */
  get isUnreplicated(): boolean {
    return this.kind === 'unreplicated';
  }

  /** The machine's monotonic clock, in microseconds. */
  nowUs(): number {
    return this.clock.now();
  }

  /** Draws the next event's number and time, never before a time that the program has seen. */
  next(): void {
    const { clock } = this;
    const { time } = this.runtime;
    this.number++;
    this.monoUs = Math.max(this.monoUs, clock.now(), time.seenMonoUs);
    this.wallMs = Math.max(this.wallMs, clock.wall(), time.seenWallMs);
  }

  /** Takes number and time from the log instead. */
  set(number: number, monoUs: number, wallMs: number): void {
    this.number = number;
    this.monoUs = monoUs;
    this.wallMs = wallMs;
  }

  /**
   * The event begins for the program. @param owner the independent connection it belongs to, 0 for
   * none
   */
  begin(kind: EventKind = 'live', owner = 0): void {
    this.kind = kind;
    this.owner = owner;
    this.runtime.beginEvent(this.number, this.monoUs, this.wallMs, kind, owner);
  }
}
