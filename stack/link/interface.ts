/**
 * One interface: a device with its addresses, its neighbours and its groups, and the input path
 * from a batch of frames to IP. Parsers' views belong to the interface and are reused for every
 * frame.
 */

import { type DeviceHandler, type FrameDevice, TX_HEADROOM, TxFrame } from '../../lib/device/device.js';
import { completeChecksum } from '../../lib/device/frame-copy.js';
import { RX_CSUM_OK, RX_META_WORDS, type RxBatch } from '../../lib/device/rx-batch.js';
import { type Cidr4, isBroadcast4 } from '../../lib/ipv4-address.js';
import { Drop } from '../../lib/packet/drop.js';
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  EthernetView,
  writeEthernet,
} from '../../lib/packet/ethernet.js';
import { IPV6_HEADER, writeIpv6 } from '../../lib/packet/ipv6.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import { isV6 } from '../core/address-book.js';
import type { LinkStack } from '../core/context.js';
import { fillChecksum } from '../core/icmp-message.js';
import { type InputLink, IpPacket } from '../core/ip-packet.js';
import type { Address6, LinkHost } from '../core/link-context.js';
import { type Neighbour, NeighbourCache } from '../core/neighbours.js';
import { PROTOCOL_ICMP6 } from '../core/protocols.js';
import { Arp, BROADCAST_MAC, sameMac } from './arp.js';
import { Groups } from './groups.js';
import { Igmp } from './igmp.js';
import { NeighbourDiscovery } from './neighbour-discovery.js';

/** How an interface is made. */
interface InterfaceOptions {
  name: string;
  mac: Uint8Array;
  addresses: Cidr4[];
  /** Whether it leads to the stack itself. */
  loopback: boolean;
  /** Take addresses, routes and parameters from router advertisements (RFC 4862). */
  autoconfigure: boolean;
}

/** A device as a part of the stack. Addresses are numbers of the stack's address book. */
export class NetInterface implements DeviceHandler, LinkHost, InputLink {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly addresses: Cidr4[];
  readonly addresses6: Address6[] = [];
  readonly loopback: boolean;
  readonly autoconfigure: boolean;
  readonly neighbours: NeighbourCache;
  readonly neighbours6: NeighbourCache;
  readonly arp: Arp;
  readonly nd: NeighbourDiscovery;
  readonly igmp: Igmp;
  hopLimit = 64;
  mtu6: number;
  readonly allNodes: number;
  readonly allRouters: number;
  readonly mldRouters: number;
  readonly #groups: Groups;
  readonly linkHeader: number;
  /** Frames dropped on input, by reason (see lib/packet/drop.ts). */
  readonly drops = new Uint32Array(64);
  readonly counters = { inFrames: 0, inBytes: 0, batches: 0, notForUs: 0, heldReplies: 0, otherVlan: 0 };
  /** For messages of the link: a request may leave while the stack's frame is being built. */
  readonly #ownFrame = new TxFrame();
  readonly #eth = new EthernetView();
  readonly #packet = new IpPacket(this);

  constructor(
    readonly stack: LinkStack,
    readonly device: FrameDevice,
    options: InterfaceOptions,
  ) {
    this.name = options.name;
    this.mac = options.mac;
    this.addresses = options.addresses;
    this.loopback = options.loopback;
    this.autoconfigure = options.autoconfigure;
    this.linkHeader = device.link === 'ethernet' ? 14 : 0;
    this.mtu6 = device.mtu;
    this.allNodes = stack.group6(1);
    this.allRouters = stack.group6(2);
    this.mldRouters = stack.group6(22);
    this.#groups = new Groups(stack.book, this.addresses6, this.allNodes);
    const cache = {
      now: () => stack.now(),
      schedule: (node: TimerNode, deadlineUs: number) => stack.wheel.schedule(node, deadlineUs),
      cancel: (node: TimerNode) => stack.wheel.cancel(node),
      release: (frame: Uint8Array, mac: Uint8Array) => this.#release(frame, mac),
    };
    this.arp = new Arp(stack, this);
    this.nd = new NeighbourDiscovery(stack, this);
    this.igmp = new Igmp(stack, this);
    this.neighbours = new NeighbourCache({ ...cache, request: (address, mac) => this.arp.request(address, mac) });
    this.neighbours6 = new NeighbourCache({ ...cache, request: (address, mac) => this.nd.request(address, mac) });
  }

  // --- DeviceHandler ---

  onFrames(batch: RxBatch): void {
    const { stack } = this;
    stack.beginBatch(batch);
    this.counters.batches++;
    for (let i = 0; i < batch.count; i++) {
      const at = i * RX_META_WORDS;
      batch.direct?.enter(i);
      const drop = this.#frame(batch, batch.meta[at], batch.meta[at + 1], batch.meta[at + 2]);
      if (drop !== 0) this.drops[drop & 63]++;
    }
    stack.endBatch();
  }

  onWritable(): void {
    this.stack.flush();
  }

  /** @returns a drop reason, 0 for none */
  #frame(batch: RxBatch, offset: number, length: number, flags: number): number {
    this.counters.inFrames++;
    this.counters.inBytes += length;
    const { bytes, view } = batch;
    const packet = this.#packet;
    packet.place(bytes, view, (flags & RX_CSUM_OK) !== 0);
    if (this.linkHeader === 0) {
      const { ipv4, ipv6 } = this.stack;
      return length > 0 && bytes[offset] >>> 4 === 6
        ? ipv6.input(packet, offset, length)
        : ipv4.input(packet, offset, length);
    }
    const eth = this.#eth;
    const drop = eth.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    // Tag 0 carries a priority only; other VLANs have interfaces of their own (lib/device/vlan.ts).
    if (eth.vlan > 0) {
      this.counters.otherVlan++;
      return 0;
    }
    const multicast = (bytes[offset] & 1) !== 0;
    if (!multicast && !sameMac(this.mac, bytes, offset)) {
      this.counters.notForUs++;
      return 0;
    }
    const { payloadOffset, etherType } = eth;
    const rest = length - (payloadOffset - offset);
    if (etherType === ETHERTYPE_IPV4) return this.stack.ipv4.input(packet, payloadOffset, rest);
    if (etherType === ETHERTYPE_IPV6) return this.stack.ipv6.input(packet, payloadOffset, rest);
    if (etherType === ETHERTYPE_ARP) return this.arp.input(bytes, view, payloadOffset, rest);
    return Drop.EthType;
  }

  // --- Addresses ---

  hasAddress(address: number): boolean {
    if (isV6(address)) {
      for (const own of this.addresses6) if (own.address === address && !own.tentative) return true;
      return false;
    }
    for (const own of this.addresses) if (own.address === address) return true;
    // All of 127/8 is the loopback's (RFC 1122 section 3.2.1.3).
    return this.loopback && address >>> 24 === 127;
  }

  addAddress4(address: Cidr4): void {
    this.addresses.push(address);
    this.stack.routes.add({ v6: false, network: address.address, prefix: address.prefix, net: this, gateway: 0 });
  }

  addAddress6(address: number, prefix: number, probe: boolean, auto: boolean): void {
    const entry: Address6 = {
      address,
      prefix,
      tentative: false,
      auto,
      validUs: Number.POSITIVE_INFINITY,
      timer: new TimerNode(() => this.nd.addressTimer(entry)),
    };
    this.addresses6.push(entry);
    if (prefix > 0) this.stack.routes.add({ v6: true, network: address, prefix, net: this, gateway: 0 });
    if (probe && this.linkHeader > 0) this.nd.probe(entry);
  }

  removeAddress6(entry: Address6): void {
    const at = this.addresses6.indexOf(entry);
    if (at < 0) return;
    this.addresses6.splice(at, 1);
    this.stack.routes.remove((route) => route.net === this && route.network === entry.address && route.gateway === 0);
  }

  linkLocal(): number {
    const { book } = this.stack;
    return this.addresses6.find((own) => !own.tentative && book.isLinkLocal(own.address))?.address ?? 0;
  }

  /**
   * The address to reach a peer from, 0 for none: one of the same scope, then the one with the
   * longest common prefix (RFC 6724 section 5, rules 2 and 8).
   */
  sourceFor(remote: number): number {
    if (!isV6(remote)) {
      for (const own of this.addresses) if ((remote & own.mask) === (own.address & own.mask)) return own.address;
      return this.addresses[0]?.address ?? 0;
    }
    const { book } = this.stack;
    const local =
      book.isLinkLocal(remote) || (book.isMulticast(remote) && (book.word(remote, 0) & 0xf0000) === 0x20000);
    let best = 0;
    let bestLength = -1;
    for (const own of this.addresses6) {
      if (own.tentative) continue;
      const sameScope = book.isLinkLocal(own.address) === local;
      let length = sameScope ? 1000 : 0;
      for (let bits = 128; bits > 0; bits -= 4) {
        if (!book.samePrefix(own.address, remote, bits)) continue;
        length += bits;
        break;
      }
      if (length > bestLength) {
        best = own.address;
        bestLength = length;
      }
    }
    return best;
  }

  /** The lower 64 bits of an address in the network of `prefix`: stable, but opaque (RFC 7217). */
  interfaceId(prefix: Uint8Array): Uint8Array {
    const { hash } = this.stack;
    const input = new Uint8Array(14);
    input.set(prefix.subarray(0, 8));
    input.set(this.mac, 8);
    const low = hash.hash(input, 14);
    const id = new Uint8Array(8);
    const view = new DataView(id.buffer);
    view.setUint32(0, hash.hi);
    view.setUint32(4, low);
    return id;
  }

  isBroadcast(address: number): boolean {
    if (address === 0xffffffff) return true;
    for (const own of this.addresses) if (isBroadcast4(address, own)) return true;
    return false;
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const own of this.addresses6) mark(own.address);
    this.#groups.keep(mark);
    mark(this.allNodes);
    mark(this.allRouters);
    mark(this.mldRouters);
    this.neighbours6.keep(mark);
  }

  /**
   * Tells the link where our addresses and groups are, as after a takeover (gratuitous ARP, RFC
   * 4861 section 7.2.6).
   */
  announce(): void {
    if (this.linkHeader === 0) return;
    this.arp.announce();
    this.nd.announce();
    this.igmp.announce();
  }

  /** Asks whether another host has an address of ours; its answer is a claim of the address. */
  probeOwn(): void {
    if (this.linkHeader === 0) return;
    this.arp.probeOwn();
    this.nd.probeOwn();
  }

  // --- Groups ---

  hasGroup(address: number): boolean {
    return this.#groups.has4(address);
  }

  hasGroup6(address: number): boolean {
    return this.#groups.has6(address);
  }

  groups4(): number[] {
    return this.#groups.joined4();
  }

  groups6(): number[] {
    return this.#groups.reported6();
  }

  solicitedNode(address: number): number {
    return this.#groups.solicitedNode(address);
  }

  join(group: number): boolean {
    const joined = this.#groups.join(group);
    if (joined === 'first') {
      if (isV6(group)) this.nd.announceGroups();
      else this.igmp.joined(group);
    }
    return joined !== null;
  }

  leave(group: number): void {
    if (!this.#groups.leave(group)) return;
    if (isV6(group)) this.nd.announceGroups();
    else this.igmp.left(group);
  }

  // --- Output ---

  transmit(): boolean {
    return this.device.send(this.stack.frame);
  }

  output(hop: number, etherType: number): boolean {
    if (this.linkHeader === 0) return this.transmit();
    const { frame, book } = this.stack;
    if (hop === 0xffffffff || this.isBroadcast(hop)) {
      writeEthernet(frame.header, TX_HEADROOM, BROADCAST_MAC, this.mac, etherType);
      return this.transmit();
    }
    if (book.isMulticast(hop)) {
      writeEthernet(frame.header, TX_HEADROOM, this.#groups.mac(hop), this.mac, etherType);
      return this.transmit();
    }
    const neighbour = (isV6(hop) ? this.neighbours6 : this.neighbours).lookup(hop);
    writeEthernet(frame.header, TX_HEADROOM, neighbour.mac, this.mac, etherType);
    if (!neighbour.resolved) {
      this.hold(neighbour);
      return true;
    }
    return this.transmit();
  }

  sendNd(source: number, destination: number, message: Uint8Array, mac: Uint8Array | null): void {
    if (this.linkHeader === 0) return;
    const { book } = this.stack;
    const at = TX_HEADROOM + this.linkHeader;
    const known = book.isMulticast(destination)
      ? this.#groups.mac(destination)
      : this.neighbours6.peek(destination)?.mac;
    const to = mac ?? known;
    if (to === undefined) return;
    fillChecksum(message, book.sum(source) + book.sum(destination) + PROTOCOL_ICMP6 + message.length);
    const frame = this.ownFrame();
    const { header, view } = frame;
    const payloadLength = message.length;
    writeEthernet(header, TX_HEADROOM, to, this.mac, ETHERTYPE_IPV6);
    writeIpv6(header, view, at, {
      trafficClass: 0,
      flowLabel: 0,
      payloadLength,
      protocol: PROTOCOL_ICMP6,
      hopLimit: 255,
    });
    book.write(source, header, at + 8);
    book.write(destination, header, at + 24);
    frame.headerLength = this.linkHeader + IPV6_HEADER;
    frame.addPiece(message, 0, message.length);
    this.sendOwn();
  }

  hold(neighbour: Neighbour): void {
    const { frame } = this.stack;
    if (frame.gsoSize > 0) {
      // A super-segment cannot wait as one frame; its connection sends it again.
      this.neighbours.counters.heldDropped++;
      return;
    }
    completeChecksum(frame);
    this.neighbours.hold(neighbour, frame);
  }

  /** Sends a held frame: its neighbour's link address is known now. */
  #release(copy: Uint8Array, mac: Uint8Array): void {
    const frame = this.ownFrame();
    copy.set(mac, 0);
    frame.header.set(copy.subarray(0, 14), TX_HEADROOM);
    frame.headerLength = 14;
    if (copy.length > 14) frame.addPiece(copy, 14, copy.length - 14);
    this.counters.heldReplies++;
    this.sendOwn();
  }

  ownFrame(): TxFrame {
    this.#ownFrame.reset();
    return this.#ownFrame;
  }

  sendOwn(): void {
    this.#ownFrame.committed = true;
    this.device.send(this.#ownFrame);
  }
}
