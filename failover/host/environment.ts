/**
 * What a replica needs of its machine. The simulation has machines of its own (test/sim), on which
 * the same code runs in virtual time, and can die at any call.
 */
import type { Clock } from '../../lib/clock.js';
import { type NativeAddon, native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import type { Random } from '../../lib/random.js';
import { ownPid } from './own-pid.js';
import { ownIdentity, type ProcessIdentity } from './process-identity.js';

/** A machine: its kernel, clocks and randomness. */
export interface Environment {
  readonly native: NativeAddon;
  readonly clock: Clock;
  readonly random: Random;
  /** This process. */
  readonly pid: number;
  /** Default: not known. */
  readonly identity?: ProcessIdentity;
  /**
   * Received data from this size on is read into the log, and stays there on backups, bytes
   * (default MIN_IN_PLACE).
   */
  readonly minInPlaceBytes?: number;
}

/** This machine. Throws FtError ERR_FT_NATIVE when the addon has not been built. */
export function thisMachine(): Environment {
  return { native: native(), clock: systemClock, random: systemRandom, pid: ownPid, identity: ownIdentity };
}
