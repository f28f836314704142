/**
 * Time is handed in: nothing in lib/ or stack/ reads a clock by itself. The one place that reads
 * the machine's clocks is {@link systemClock} in lib/native/system.ts, which only programs (not the
 * stack) ask for.
 */
export interface Clock {
  /**
   * Monotonic time in microseconds since an arbitrary origin (CLOCK_MONOTONIC on a real machine, so
   * replicas share it).
   */
  now(): number;
  /**
   * As `now`, but it runs on while the machine is suspended (CLOCK_BOOTTIME); for leases. A clock
   * without it is never suspended.
   */
  boot?(): number;
  /** Wall-clock time in milliseconds since the Unix epoch. */
  wall(): number;
}

/**
 * Time that runs on while the machine is suspended, microseconds: what leases are measured with.
 */
export function bootTime(clock: Clock): number {
  return clock.boot === undefined ? clock.now() : clock.boot();
}

/** A clock that moves only when told to. */
export class ManualClock implements Clock {
  #us: number;
  #wallAtZero: number;

  constructor(startUs = 0, wallMs = 1_600_000_000_000) {
    this.#us = startUs;
    this.#wallAtZero = wallMs - startUs / 1000;
  }

  now(): number {
    return this.#us;
  }

  wall(): number {
    return this.#wallAtZero + this.#us / 1000;
  }

  /** Sets the wall clock forward by `ms` milliseconds; the monotonic clock is not changed. */
  setWall(ms: number): void {
    this.#wallAtZero += ms;
  }

  /** Moves the clock on by `us` microseconds (never back). */
  advance(us: number): void {
    if (us > 0) this.#us += us;
  }
}
