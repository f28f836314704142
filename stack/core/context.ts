/**
 * The stack as its protocols see it, so that none of them needs the class {@link Stack}. Protocols
 * call down (send, routes, timers) through {@link StackContext}; IP hands packets up through {@link
 * NetworkContext}; an interface hands frames up through {@link LinkStack}.
 */

import type { TxFrame } from '../../lib/device/device.js';
import type { OutputGate } from '../../lib/device/output-gate.js';
import type { RxBatch } from '../../lib/device/rx-batch.js';
import type { Random, SipHash } from '../../lib/random.js';
import type { TimerWheel } from '../../lib/timer-wheel.js';
import type { AddressBook } from './address-book.js';
import type { InputLink, IpPacket } from './ip-packet.js';
import type { Link } from './link-context.js';
import type { PathMtuCache } from './path-mtu.js';
import type { Route, RouteTable } from './route-table.js';

/** How a datagram leaves. */
export interface SendOptions {
  /** TTL or hop limit (default 64; 1 for groups). */
  ttl?: number;
  /** TOS byte or traffic class (default 0). */
  tos?: number;
  /** Send through this interface, whatever the routes say (multicast, broadcast). */
  net?: Link;
}

/** What an ICMP error says about a packet of ours. */
export interface TransportError {
  /** Protocol number of the packet. */
  protocol: number;
  local: number;
  localPort: number;
  remote: number;
  remotePort: number;
  /** TCP sequence number of the packet (RFC 5927 section 4). */
  seq: number;
  /** The path's MTU in bytes, 0 when the error is not about it. */
  mtu: number;
  /** The port or the protocol is closed. */
  refused: boolean;
  /** A hard error (RFC 1122 section 4.2.3.9). */
  hard: boolean;
}

/** What every protocol uses of the stack. Addresses are numbers of the address book. */
export interface StackContext {
  /** Monotonic microseconds; constant within a batch. */
  now(): number;
  readonly wheel: TimerWheel;
  readonly random: Random;
  /** Keyed hash; replicas share the key. */
  readonly hash: SipHash;
  readonly book: AddressBook;
  readonly routes: RouteTable;
  readonly paths: PathMtuCache;
  /** The outgoing frame, reused for every packet. */
  readonly frame: TxFrame;
  /** Decides which output may leave; null without replication. */
  readonly gate: OutputGate | null;
  /** Whether the stack only follows another one: it sends nothing. */
  readonly frozen: boolean;
  /** Called when another host claims an address of ours, by ARP or neighbour discovery. */
  readonly onAddressClaim: (() => void) | null;
  /** The address "::". */
  readonly unspecified6: number;
  /** Whether an interface has the address. */
  isLocal(address: number): boolean;
  /** The interface that has an address, or null. */
  interfaceOf(address: number): InputLink | null;
  /** The route from one of our addresses to another host, or null. */
  routeFrom(source: number, destination: number): Route | null;
  /** The local address to reach a peer from, 0 for none. */
  sourceFor(remoteAddress: number): number;
  /**
   * Sends the frame, whose pieces are a complete IP payload of `length` bytes.
   * @returns false when it could not leave.
   */
  send(source: number, destination: number, protocol: number, length: number, options?: SendOptions): boolean;
  /** The same for what depends on nothing that the gate guards. */
  sendFreely(source: number, destination: number, protocol: number, length: number): boolean;
}

/** Counters of the stack as a whole. */
export interface StackCounters {
  /** IP packets received. */
  inPackets: number;
  /** IP packets for other hosts. */
  notForUs: number;
  /** Fragments received. */
  fragments: number;
  /** TCP segments with a wrong checksum. */
  badChecksum: number;
  /** Packets and connections without a route. */
  noRoute: number;
}

/** What IP uses of the stack: the receivers of payloads, and the senders of errors. */
export interface NetworkContext extends StackContext {
  readonly counters: StackCounters;
  /** Whether packets for others are forwarded between the interfaces. */
  readonly forwarding: boolean;
  /** Whether packets that came over a source route are accepted. */
  readonly sourceRoutes: boolean;
  /** The reverse of the source route that the current packet came over; null for none. */
  receivedRoute: readonly number[] | null;
  /** Inputs return a drop reason (lib/packet/drop.ts), 0 for none. */
  tcpInput(packet: IpPacket): number;
  readonly udp: { input(packet: IpPacket): number };
  /** @returns whether a raw socket took it */
  readonly raw: { deliver(packet: IpPacket): boolean };
  readonly icmp: {
    input(packet: IpPacket): number;
    sendError(packet: IpPacket, type: number, code: number, rest: number): void;
  };
  readonly icmp6: {
    input(packet: IpPacket): number;
    sendError(packet: IpPacket, type: number, code: number, rest: number, toMulticast?: boolean): void;
  };
  /** An ICMP error about a packet of ours has arrived. */
  transportError(error: TransportError): void;
}

/** What an interface uses of the stack. */
export interface LinkStack extends StackContext {
  /** The IPv6 group ff02::N. */
  group6(low: number): number;
  /** Frames of one batch follow: takes the time, and keeps the batch's memory until `endBatch`. */
  beginBatch(batch: RxBatch): void;
  /** All frames of the batch have been handed over. */
  endBatch(): void;
  /**
   * IP input; `offset` and `length` say where the packet is in its bytes.
   * @returns a drop reason, 0 for none
   */
  readonly ipv4: { input(packet: IpPacket, offset: number, length: number): number };
  readonly ipv6: { input(packet: IpPacket, offset: number, length: number): number };
  readonly icmp6: {
    message(source: number, destination: number, message: Uint8Array, options?: SendOptions): boolean;
  };
  /** The device is writable again. @returns false while output remains */
  flush(): boolean;
}
