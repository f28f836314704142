/**
 * The group's clock. Machines do not agree on the origin of their monotonic clocks, but timers and
 * TCP timestamps must continue after a takeover (invariant T1). The agent keeps the offset of this
 * machine in the log's header. The offset only grows, so that the group's time never runs
 * backwards.
 */
import { bootTime, type Clock } from '../../lib/clock.js';
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

  boot(): number {
    return bootTime(this.#clock) + this.#offsets[0];
  }

  wall(): number {
    return this.#clock.wall() + this.#offsets[1];
  }
}

/**
 * Advances the offsets to the group's time as another machine reports it. Whole units: times are
 * compared exactly.
 */
export function followClock(ring: Ring, clock: Clock, monoUs: number, wallMs: number): void {
  const { offsets } = ring;
  offsets[0] = Math.max(offsets[0], Math.ceil(monoUs - clock.now()));
  offsets[1] = Math.max(offsets[1], Math.ceil(wallMs - clock.wall()));
}
