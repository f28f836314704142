/** The machine's own clock and randomness, for programs to hand into the stack. */
import { randomFillSync } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { Random } from '../random.js';
import { native } from './native.js';

/** CLOCK_MONOTONIC and CLOCK_BOOTTIME of this machine. */
export const systemClock: Clock = {
  now: () => native().monotonicUs(),
  boot: () => native().boottimeUs(),
  wall: () => native().realtimeMs(),
};

class SystemRandom implements Random {
  // Nothing is drawn ahead: a recorded or replayed generator must see the draws where they happen.
  readonly #words = new Uint32Array(2);

  u32(): number {
    randomFillSync(this.#words, 0, 1);
    return this.#words[0];
  }

  /** In [0, 1), with all 53 bits of a double. */
  float(): number {
    randomFillSync(this.#words);
    return ((this.#words[0] >>> 5) * 0x4000000 + (this.#words[1] >>> 6)) / 0x20000000000000;
  }

  fill(bytes: Uint8Array): void {
    randomFillSync(bytes);
  }
}

/** The kernel's random numbers. */
export const systemRandom: Random = new SystemRandom();
