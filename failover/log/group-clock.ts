/**
 * The group's clock, where its replicas are on several machines: no two machines count from the same time, and timers and TCP's
 * timestamps have to go on where they were (rule T1). The agent keeps the difference in the log's header; it only grows, so that the
 * group's time never goes back.
 */
import type { Clock } from '../../lib/clock.js';
import type { Ring } from './ring.js';

/** The machine's clock, shifted to the group's time. */
export class GroupClock implements Clock {
  readonly #clock: Clock;
  readonly #offsets: Float64Array;

  constructor(clock: Clock, ring: Ring) {
    this.#clock = clock;
    this.#offsets = ring.offsets;
  }

  now(): number {
    return this.#clock.now() + this.#offsets[0];
  }

  wall(): number {
    return this.#clock.wall() + this.#offsets[1];
  }
}

/** Takes note of what another machine's clocks show of the group's time. Whole units: times are compared exactly. */
export function followClock(ring: Ring, clock: Clock, monoUs: number, wallMs: number): void {
  const { offsets } = ring;
  offsets[0] = Math.max(offsets[0], Math.ceil(monoUs - clock.now()));
  offsets[1] = Math.max(offsets[1], Math.ceil(wallMs - clock.wall()));
}
