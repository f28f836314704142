/**
 * The program's time. It stands still between events; each event has a number and a time, taken from the machine's
 * clocks on the primary and from the log on a backup, and never runs backwards across a takeover.
 */
import type { Clock } from '../lib/clock.js';

export interface EventWorld {
  beginEvent(eventNo: number, monoUs: number, wallMs: number, apart: boolean): void;
}

export class EventTime {
  number = 0;
  monoUs = 0;
  wallMs = 0;
  /** The event is not repeated by backups that run the program. */
  apart = false;

  constructor(
    readonly clock: Clock,
    readonly world: EventWorld,
  ) {}

  nowUs(): number {
    return this.clock.now();
  }

  /** Draws the next event's number and time. */
  next(): void {
    this.number++;
    this.monoUs = Math.max(this.monoUs, this.clock.now());
    this.wallMs = Math.max(this.wallMs, this.clock.wall());
  }

  /** Takes them from the log instead. */
  set(number: number, monoUs: number, wallMs: number): void {
    this.number = number;
    this.monoUs = monoUs;
    this.wallMs = wallMs;
  }

  /** The program now lives in this event. @param apart backups do not repeat it */
  begin(apart = false): void {
    this.apart = apart;
    this.world.beginEvent(this.number, this.monoUs, this.wallMs, apart);
  }
}
