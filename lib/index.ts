/** The ground that the stack stands on: `ft-tcp/lib`. */

export * from './address.js';
export * from './address6.js';
export * from './checksum.js';
export * from './clock.js';
export * from './device/device.js';
export * from './device/memory.js';
export * from './device/pcap.js';
export * from './device/rx-slab.js';
export * from './device/segment.js';
export { TapDevice, type TapOptions } from './device/tap.js';
export * from './errors.js';
export { type NativeAddon, native } from './native/native.js';
export { systemClock, systemRandom } from './native/system.js';
export * from './packet/arp.js';
export * from './packet/drop.js';
export * from './packet/ethernet.js';
export * from './packet/icmp.js';
export * from './packet/ipv4.js';
export * from './packet/tcp.js';
export * from './packet/udp.js';
export * from './random.js';
export * from './seq.js';
export { TimerNode, TimerWheel } from './timer-wheel.js';
