/**
 * An interface as other layers see it. {@link Link} is for IP and the transports; {@link LinkHost}
 * is for the protocols of the link itself (ARP, neighbour discovery, IGMP), which also change it.
 */
import type { FrameDevice, TxFrame } from '../../lib/device/device.js';
import type { Cidr4 } from '../../lib/ipv4-address.js';
import type { TimerNode } from '../../lib/timer-wheel.js';
import type { Neighbour, NeighbourCache } from './neighbours.js';

/** An IPv6 address of an interface (RFC 4862 section 5.5.4). */
export interface Address6 {
  /** Number in the address book. */
  readonly address: number;
  /** Length of the network's prefix, bits. */
  readonly prefix: number;
  /** Duplicate address detection is not over; nothing is sent from the address. */
  tentative: boolean;
  /** Whether it was made from a router advertisement. */
  readonly auto: boolean;
  /** Time at which it ceases to be valid, microseconds; Infinity for a configured one. */
  validUs: number;
  /** Runs while it is tentative, then until `validUs`. */
  readonly timer: TimerNode;
}

/** An interface, as IP and the transports use it. Addresses are numbers of the address book. */
export interface Link {
  readonly name: string;
  readonly device: FrameDevice;
  /** Bytes of link header in front of IP: 14 for Ethernet, 0 for TUN and loopback. */
  readonly linkHeader: number;
  /** Whether it leads to the stack itself. */
  readonly loopback: boolean;
  readonly mac: Uint8Array;
  readonly addresses: readonly Cidr4[];
  /** Hop limit for IPv6 packets sent, as routers advise (RFC 4861 section 6.3.2). */
  readonly hopLimit: number;
  /** Largest IPv6 packet, bytes, as routers advise. */
  readonly mtu6: number;
  readonly neighbours: NeighbourCache;
  readonly neighbours6: NeighbourCache;
  /** Whether packets to the unicast address are for us through this interface. */
  hasAddress(address: number): boolean;
  /** Whether packets to an IPv4 group are for us. */
  hasGroup(address: number): boolean;
  /** Whether packets to an IPv6 group are for us. */
  hasGroup6(address: number): boolean;
  /** Whether the address is a broadcast of one of the interface's networks. */
  isBroadcast(address: number): boolean;
  /** The address to reach a peer from, 0 for none. */
  sourceFor(remote: number): number;
  /** Joins a group. @returns false when the interface is in too many groups. */
  join(group: number): boolean;
  /** Leaves a group once. */
  leave(group: number): void;
  /** Sends the stack's frame as it stands. @returns false when the device is busy. */
  transmit(): boolean;
  /** Sends the stack's frame, complete from its IP header on, to a neighbour or a group. */
  output(hop: number, etherType: number): boolean;
  /** Keeps a copy of the stack's frame until the neighbour's link address is known. */
  hold(neighbour: Neighbour): void;
}

/** An interface, as the protocols of its link use it. */
export interface LinkHost extends Link {
  readonly addresses: Cidr4[];
  readonly addresses6: readonly Address6[];
  /** Whether router advertisements configure the interface (RFC 4862). */
  readonly autoconfigure: boolean;
  hopLimit: number;
  mtu6: number;
  /** The group of all nodes, ff02::1. */
  readonly allNodes: number;
  /** The group of all routers, ff02::2. */
  readonly allRouters: number;
  /** The group of all MLDv2 routers, ff02::16. */
  readonly mldRouters: number;
  /** The link-local address, 0 for none. */
  linkLocal(): number;
  /** The lower 64 bits of an address in the network of `prefix` (RFC 7217). */
  interfaceId(prefix: Uint8Array): Uint8Array;
  /** The solicited-node group of an address (RFC 4291 section 2.7.1). */
  solicitedNode(address: number): number;
  /** IPv4 groups that were joined. */
  groups4(): number[];
  /** IPv6 groups to report: those joined and the solicited-node groups. */
  groups6(): number[];
  /** Gives the interface an IPv4 address and the route to its network. */
  addAddress4(address: Cidr4): void;
  /** Gives the interface an IPv6 address; with `probe` after duplicate address detection. */
  addAddress6(address: number, prefix: number, probe: boolean, auto: boolean): void;
  /** Takes an IPv6 address and its route away. */
  removeAddress6(entry: Address6): void;
  /** Sends a neighbour discovery message, its checksum still to be filled in. */
  sendNd(source: number, destination: number, message: Uint8Array, mac: Uint8Array | null): void;
  /** An empty frame for messages of the link itself. */
  ownFrame(): TxFrame;
  /** Sends `ownFrame` at once: it depends on nothing that waits for replication. */
  sendOwn(): void;
}
