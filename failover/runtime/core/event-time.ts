/**
 * The program's time. It stands still between events; each event has a number and a time, taken from the machine's
 * clocks on the primary and from the log on a backup, and never runs backwards across a takeover.
 */
import type { Clock } from '../../../lib/clock.js';

export interface EventRuntime {
  /** What the program has seen of the clocks: microseconds, and whole milliseconds. */
  readonly seenMonoUs: number;
  readonly seenWallMs: number;
  beginEvent(eventNo: number, monoUs: number, wallMs: number, kind: EventKind, owner: number): void;
}

/** `apart`: backups that run the program do not repeat it; `past`: it is repeated long after it happened (failover/log/connection-history.ts). */
export type EventKind = 'usual' | 'apart' | 'past';

export class EventTime {
  number = 0;
  monoUs = 0;
  wallMs = 0;
  kind: EventKind = 'usual';
  /** The independent connection that the event belongs to, 0 for none. */
  owner = 0;

  constructor(
    readonly clock: Clock,
    readonly world: EventRuntime,
  ) {}

  /** The event is not repeated by backups that run the program. */
  get apart(): boolean {
    return this.kind === 'apart';
  }

  nowUs(): number {
    return this.clock.now();
  }

  /** Draws the next event's number and time: exactly what the program will see, as another one may not have seen what it has. */
  next(): void {
    const { clock, world } = this;
    this.number++;
    this.monoUs = Math.max(this.monoUs, clock.now(), world.seenMonoUs);
    this.wallMs = Math.max(this.wallMs, clock.wall(), world.seenWallMs);
  }

  /** Takes them from the log instead. */
  set(number: number, monoUs: number, wallMs: number): void {
    this.number = number;
    this.monoUs = monoUs;
    this.wallMs = wallMs;
  }

  /** The program now lives in this event. */
  begin(kind: EventKind = 'usual', owner = 0): void {
    this.kind = kind;
    this.owner = owner;
    this.world.beginEvent(this.number, this.monoUs, this.wallMs, kind, owner);
  }
}
