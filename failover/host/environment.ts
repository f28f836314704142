/**
 * What a replica needs of the machine that it runs on. The simulation has machines of its own (test/sim), on which the same
 * code runs in virtual time and dies at any call.
 */
import type { Clock } from '../../lib/clock.js';
import { type NativeAddon, native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import type { Random } from '../../lib/random.js';
import { ownPid } from './own-pid.js';

export interface Environment {
  readonly native: NativeAddon;
  readonly clock: Clock;
  readonly random: Random;
  /** This process's number. */
  readonly pid: number;
  /** Received data of so many bytes and more is read into the log, and left there by backups (default LEAST_IN_PLACE). */
  readonly leastInPlace?: number;
}

/** This machine. Throws FtError ERR_FT_NATIVE when the addon has not been built. */
export function thisMachine(): Environment {
  return { native: native(), clock: systemClock, random: systemRandom, pid: ownPid };
}
