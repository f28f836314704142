/** `--create`: the device is made when it does not exist. */
import { type DeviceUse, hasDevice } from '../host/device-check.js';
import { ip } from '../lab/network.js';
import type { ReplicaOptions } from '../replica/replica.js';

/** How replicas use their device. */
export function deviceUse({ tap, offload }: Pick<ReplicaOptions, 'tap' | 'offload'>): Omit<DeviceUse, 'addresses'> {
  return { name: tap, mode: 'tap', multiQueue: true, offload };
}

/**
 * Makes a TAP device with several queues, which stays, and sets it up. No effect when there is a
 * device of this name. Throws FtError EPERM, ERR_FT_DEVICE.
 */
export function createDevice({ tap, offload }: Pick<ReplicaOptions, 'tap' | 'offload'>): void {
  if (hasDevice(tap)) return;
  ip(`tuntap add dev ${tap} mode tap multi_queue${offload ? ' vnet_hdr' : ''}`);
  ip(`link set ${tap} up`);
}
