/**
 * One stack per device: frames of a device with several queues would reach any of them. The claim
 * is a name of the network namespace, which the kernel frees when the process ends. Unlike the
 * locks of a group it does not depend on a directory, which may be removed, or be there twice.
 */
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';

/** A process that was killed gives its claim back within this time, milliseconds. */
const WAIT_MS = 3000;
const POLL_MS = 20;

/** The name in the network namespace. */
export function deviceClaim(device: string): string {
  return `ft-tcp/device/${device}`;
}

/** Claims a device for this process, once. @returns false: another process has it */
export function tryClaimDevice(native: NativeAddon, device: string): boolean {
  return native.lockName(deviceClaim(device)) >= 0;
}

/**
 * Claims a device, and waits for a predecessor that is ending.
 * @param pause resolves after a time, milliseconds
 *
 * Throws FtError EBUSY when another process keeps it.
 */
export async function claimDevice(
  native: NativeAddon,
  device: string,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  for (let waitedMs = 0; !tryClaimDevice(native, device); waitedMs += POLL_MS) {
    if (waitedMs >= WAIT_MS)
      throw new FtError(
        'EBUSY',
        `Another ft-tcp process uses the device ${device}: another group, or this one in another directory`,
        'Give each group a device of its own; see ft-tcp list, and --dir',
      );
    await pause(POLL_MS);
  }
}
