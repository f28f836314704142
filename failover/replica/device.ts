/**
 * The group's TAP device, as a replica opens it: with a capture of its frames, and the output gate
 * in front.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../lib/clock.js';
import type { FrameDevice } from '../../lib/device/device.js';
import { CapturedDevice, PcapWriter } from '../../lib/device/pcap.js';
import { slabBytes } from '../../lib/device/rx-slab.js';
import { TapDevice } from '../../lib/device/tap.js';
import { formatMac } from '../../lib/mac-address.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { RX_SLOTS } from '../backup/follower.js';
import { senderOptions } from '../host/busy-poll.js';
import type { Ring } from '../log/ring.js';
import { SECRET_LENGTH } from '../log/ring-header.js';
import { type CommitGate, GatedDevice } from '../primary/output-gate.js';
import type { ReplicaOptions } from './options.js';

/**
 * Bytes of the group's secret that the program's randomness comes from; the rest is the stack's.
 */
export const RUNTIME_SECRET_BYTES = 32;

/** What opening a device needs of the replica. */
export interface DeviceHost {
  readonly native: NativeAddon;
  readonly clock: Clock;
  readonly pid: number;
  readonly role: 'primary' | 'backup';
  readonly options: ReplicaOptions;
  readonly ring: Ring | null;
  readonly gate: CommitGate;
}

/** An open device. */
export interface OpenedDevice {
  /** The kernel's device. */
  readonly tap: TapDevice;
  /** The same with the gate, for the stack. */
  readonly gated: GatedDevice;
  /** Hardware address, `aa:bb:cc:dd:ee:ff`. */
  readonly mac: string;
}

/** Opens the device. A backup's queue receives nothing before its takeover. Throws FtError. */
export function openDevice(host: DeviceHost): OpenedDevice {
  const { native, options, ring, pid, role, gate, clock } = host;
  // A backup watches them from its join on, and this process sends nothing before.
  const threads = ring === null ? null : options.group.createThreads(pid);
  const tap = TapDevice.open({
    native,
    name: options.tap,
    multiQueue: true,
    offload: options.offload,
    detached: role === 'backup',
    sender: senderOptions(options.sendThread === true, options.busyPollUs ?? 0, threads),
    ...(ring === null ? {} : { slab: options.group.createSlab(pid, slabBytes(RX_SLOTS)) }),
  });
  const gated = new GatedDevice(captured(host, tap), gate, () => clock.now());
  return { tap, gated, mac: options.mac ?? groupMac(ring) };
}

/** The device itself, or with a capture around it. Two replicas do not write one file. */
function captured({ options, role, pid, clock }: DeviceHost, device: TapDevice): FrameDevice {
  const { pcap } = options;
  if (pcap === undefined) return device;
  const file = role === 'primary' ? pcap : `${pcap}.${pid}`;
  return new CapturedDevice(device, new PcapWriter(file, device.link), () => clock.wall());
}

/** All replicas have the same hardware address: it is derived from their shared secret. */
function groupMac(ring: Ring | null): string {
  const secret = ring === null ? randomBytes(SECRET_LENGTH) : ring.secret;
  const from = RUNTIME_SECRET_BYTES + 3;
  return formatMac(Uint8Array.from([2, ...secret.subarray(from, from + 5)]));
}
