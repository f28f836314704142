/**
 * One interface: a device with its addresses, its neighbours and the input path from a batch of frames to the protocols.
 * Frames are parsed by views that belong to the interface and are reused for every frame.
 */

import { finish, sum16 } from '../../lib/checksum.js';
import { type DeviceHandler, type FrameDevice, TX_HEADROOM, TxFrame } from '../../lib/device/device.js';
import { RX_CSUM_OK, RX_META_WORDS, type RxBatch } from '../../lib/device/rx-batch.js';
import type { Cidr4 } from '../../lib/ipv4-address.js';
import { ARP_REPLY, ARP_REQUEST, ArpView, writeArp } from '../../lib/packet/arp.js';
import { Drop } from '../../lib/packet/drop.js';
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  EthernetView,
  writeEthernet,
} from '../../lib/packet/ethernet.js';
import { Ipv4View } from '../../lib/packet/ipv4.js';
import { IPV6_HEADER, Ipv6View, writeIpv6 } from '../../lib/packet/ipv6.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import { isV6 } from '../ip/address-book.js';
import type { Stack } from '../stack.js';
import { AddressProbe } from './address-probe.js';
import { Igmp } from './igmp.js';
import { type Address6, NeighbourDiscovery } from './neighbour-discovery.js';
import { type Neighbour, NeighbourCache } from './neighbours.js';

const BROADCAST = new Uint8Array(6).fill(0xff);
const PROTOCOL_ICMP6 = 58;
/** RFC 5227 section 1.1. */
const DEFEND_INTERVAL_US = 10_000_000;
const ALL_HOSTS = 0xe0000001;
/** Groups that one interface may be a member of. */
const MAX_GROUPS = 64;

export interface InterfaceOptions {
  name: string;
  mac: Uint8Array;
  addresses: Cidr4[];
  /** Whether it leads to the stack itself. */
  loopback: boolean;
  /** Take addresses, routes and parameters from router advertisements (RFC 4862). */
  autoconfigure: boolean;
}

export class NetInterface implements DeviceHandler {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly addresses: Cidr4[];
  /** Those that we do not have yet. */
  readonly #probes: AddressProbe[] = [];
  readonly addresses6: Address6[] = [];
  readonly loopback: boolean;
  readonly autoconfigure: boolean;
  readonly neighbours: NeighbourCache;
  readonly neighbours6: NeighbourCache;
  readonly nd: NeighbourDiscovery;
  readonly igmp: Igmp;
  /** Hop limit of what we send, as routers advise. */
  hopLimit = 64;
  /** Largest IPv6 packet, as routers advise. */
  mtu6: number;
  /** Well-known groups of this link. */
  readonly allNodes: number;
  readonly allRouters: number;
  readonly mldRouters: number;
  /** Groups joined, with how often. */
  readonly #groups = new Map<number, number>();
  /** Bytes of link header in front of IP. */
  readonly linkHeader: number;
  /** Frames dropped on input, by reason (see lib/packet/drop.ts). */
  readonly drops = new Uint32Array(64);
  readonly counters = { inFrames: 0, inBytes: 0, batches: 0, notForUs: 0, heldReplies: 0, otherVlan: 0 };
  /** For what the interface sends by itself: a request may go out while the stack's frame is being built. */
  readonly #ownFrame = new TxFrame();
  readonly #eth = new EthernetView();
  readonly #arp = new ArpView();
  readonly #ip = new Ipv4View();
  readonly #ip6 = new Ipv6View();

  constructor(
    readonly stack: Stack,
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
    const cache = {
      now: () => stack.now(),
      schedule: (node: TimerNode, deadlineUs: number) => stack.wheel.schedule(node, deadlineUs),
      cancel: (node: TimerNode) => stack.wheel.cancel(node),
      release: (frame: Uint8Array, mac: Uint8Array) => this.#release(frame, mac),
    };
    this.nd = new NeighbourDiscovery(this);
    this.igmp = new Igmp(this);
    this.neighbours = new NeighbourCache({ ...cache, request: (address, mac) => this.#request(address, mac) });
    this.neighbours6 = new NeighbourCache({ ...cache, request: (address, mac) => this.nd.request(address, mac) });
  }

  // --- DeviceHandler ---

  onFrames(batch: RxBatch): void {
    const { stack } = this;
    stack.beginBatch(batch.more === true);
    stack.tcp.loans.begin(batch);
    this.counters.batches++;
    for (let i = 0; i < batch.count; i++) {
      const at = i * RX_META_WORDS;
      batch.direct?.enter(i);
      const drop = this.#frame(batch, batch.meta[at], batch.meta[at + 1], batch.meta[at + 2]);
      if (drop !== 0) this.drops[drop & 63]++;
    }
    stack.tcp.loans.end();
    stack.endBatch();
  }

  onWritable(): void {
    this.stack.flush();
  }

  /** @returns a drop reason, 0 for none. */
  #frame(batch: RxBatch, offset: number, length: number, flags: number): number {
    this.counters.inFrames++;
    this.counters.inBytes += length;
    const { bytes, view } = batch;
    if (this.linkHeader === 0) {
      return length > 0 && bytes[offset] >>> 4 === 6
        ? this.#ipv6(bytes, view, offset, length, flags)
        : this.#ipv4(bytes, view, offset, length, flags);
    }
    const eth = this.#eth;
    const drop = eth.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    // Tag 0 carries a priority only; other networks than our own have interfaces of their own (lib/device/vlan.ts).
    if (eth.vlan > 0) {
      this.counters.otherVlan++;
      return 0;
    }
    const to = offset;
    const multicast = (bytes[to] & 1) !== 0;
    if (!multicast && !this.#isOurMac(bytes, to)) {
      this.counters.notForUs++;
      return 0;
    }
    const rest = length - (eth.payloadOffset - offset);
    if (eth.etherType === ETHERTYPE_IPV4) return this.#ipv4(bytes, view, eth.payloadOffset, rest, flags);
    if (eth.etherType === ETHERTYPE_IPV6) return this.#ipv6(bytes, view, eth.payloadOffset, rest, flags);
    if (eth.etherType === ETHERTYPE_ARP) return this.#arpArrives(bytes, view, eth.payloadOffset, rest);
    return Drop.EthType;
  }

  #isOurMac(bytes: Uint8Array, at: number): boolean {
    const mac = this.mac;
    for (let i = 5; i >= 0; i--) if (bytes[at + i] !== mac[i]) return false;
    return true;
  }

  #ipv4(bytes: Uint8Array, view: DataView, offset: number, length: number, flags: number): number {
    const ip = this.#ip;
    const drop = ip.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    return this.stack.ipv4.input(this, ip, bytes, view, (flags & RX_CSUM_OK) !== 0);
  }

  #ipv6(bytes: Uint8Array, view: DataView, offset: number, length: number, flags: number): number {
    const ip = this.#ip6;
    const parsed = ip.parse(bytes, view, offset, length);
    return this.stack.ipv6.input(this, ip, bytes, view, (flags & RX_CSUM_OK) !== 0, parsed);
  }

  // --- Addresses ---

  /** Whether packets to the address are for us through this interface. */
  hasAddress(address: number): boolean {
    if (isV6(address)) {
      for (const own of this.addresses6) if (own.address === address && !own.tentative) return true;
      return false;
    }
    for (const own of this.addresses) if (own.address === address) return true;
    // All of 127/8 is the loopback's (RFC 1122 section 3.2.1.3).
    return this.loopback && address >>> 24 === 127;
  }

  /** Gives the interface an IPv6 address; with `probe` it is used only when nobody else has it (RFC 4862 section 5.4). */
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

  /** The link-local address, 0 for none. */
  linkLocal(): number {
    const { book } = this.stack;
    return this.addresses6.find((own) => !own.tentative && book.isLinkLocal(own.address))?.address ?? 0;
  }

  /**
   * The address to reach a peer from, 0 for none: of the same scope, then with the longest common prefix (RFC 6724
   * rules 2 and 8).
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

  /** The lower 64 bits of an address in the network of `prefix`: stable, but telling nobody who we are (RFC 7217). */
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

  // --- Groups ---

  /** Whether packets to an IPv4 group are for us. */
  hasGroup(address: number): boolean {
    return address === ALL_HOSTS || this.#groups.has(address);
  }

  /** Whether packets to an IPv6 group are for us: all nodes, the solicited-node groups of our addresses, those joined. */
  hasGroup6(address: number): boolean {
    if (address === this.allNodes || this.#groups.has(address)) return true;
    const { book } = this.stack;
    if (book.word(address, 0) === 0xff010000 && book.word(address, 3) === 1) return true;
    if (book.word(address, 0) !== 0xff020000 || book.word(address, 1) !== 0 || book.word(address, 2) !== 1)
      return false;
    const low = book.word(address, 3);
    if (low >>> 24 !== 255) return false;
    for (const own of this.addresses6) if ((book.word(own.address, 3) | 0xff000000) >>> 0 === low) return true;
    return false;
  }

  groups4(): number[] {
    return [...this.#groups.keys()].filter((group) => !isV6(group));
  }

  /** What MLD reports: joined groups and the solicited-node groups, without that of all nodes. */
  groups6(): number[] {
    const solicited = this.addresses6.map((own) => this.solicitedNode(own.address));
    return [...new Set([...this.#groups.keys(), ...solicited])].filter((group) => isV6(group));
  }

  /** @returns false when the interface is in too many groups. */
  join(group: number): boolean {
    const count = this.#groups.get(group) ?? 0;
    if (count === 0 && this.#groups.size >= MAX_GROUPS) return false;
    this.#groups.set(group, count + 1);
    if (count > 0) return true;
    if (isV6(group)) this.nd.announceGroups();
    else this.igmp.joined(group);
    return true;
  }

  leave(group: number): void {
    const count = this.#groups.get(group) ?? 0;
    if (count > 1) this.#groups.set(group, count - 1);
    else if (count === 1) {
      this.#groups.delete(group);
      if (isV6(group)) this.nd.announceGroups();
      else this.igmp.left(group);
    }
  }

  /** The group that a neighbour is asked in (RFC 4291 section 2.7.1). */
  solicitedNode(address: number): number {
    const bytes = this.#scratch;
    this.stack.book.write(address, bytes, 0);
    bytes.set([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
    return this.stack.book.intern(bytes, 0);
  }

  readonly #scratch = new Uint8Array(16);

  /** Addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const own of this.addresses6) {
      mark(own.address);
      mark(this.solicitedNode(own.address));
    }
    for (const group of this.#groups.keys()) mark(group);
    mark(this.allNodes);
    mark(this.allRouters);
    mark(this.mldRouters);
    this.neighbours6.keep(mark);
  }

  isBroadcast(address: number): boolean {
    if (address === 0xffffffff) return true;
    for (const own of this.addresses) {
      if (own.prefix < 31 && address === ((own.address & own.mask) | (~own.mask >>> 0)) >>> 0) return true;
    }
    return false;
  }

  onLink(address: number): boolean {
    for (const own of this.addresses) if ((address & own.mask) === (own.address & own.mask)) return true;
    for (const { address: own } of this.#probes) if ((address & own.mask) === (own.address & own.mask)) return true;
    return false;
  }

  // --- ARP ---

  #arpArrives(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    const arp = this.#arp;
    const drop = arp.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    if ((bytes[arp.senderMacOffset] & 1) !== 0) return Drop.ArpBadSender;
    if (arp.senderIp !== 0 && this.hasAddress(arp.senderIp)) {
      if (!this.#isOurMac(bytes, arp.senderMacOffset)) this.#defend(arp.senderIp);
      return 0;
    }
    const sought = arp.senderIp === 0 && !this.#isOurMac(bytes, arp.senderMacOffset) ? arp.targetIp : arp.senderIp;
    if (sought !== 0) this.#probes.find(({ address }) => address.address === sought)?.conflict();
    const forUs = this.hasAddress(arp.targetIp);
    if (arp.senderIp !== 0) this.neighbours.learn(arp.senderIp, bytes, arp.senderMacOffset, forUs);
    if (forUs && arp.op === ARP_REQUEST && !this.stack.frozen) {
      this.#sendArp(
        ARP_REPLY,
        arp.targetIp,
        arp.senderIp,
        bytes.slice(arp.senderMacOffset, arp.senderMacOffset + 6),
        null,
      );
    }
    return 0;
  }

  /** Somebody else says that an address of ours is theirs: contradict, but not for ever (RFC 5227 section 2.4 c). */
  #defend(address: number): void {
    this.neighbours.counters.conflicts++;
    const now = this.stack.now();
    if (this.stack.frozen || now - this.#defendedUs < DEFEND_INTERVAL_US) return;
    this.#defendedUs = now;
    this.#sendArp(ARP_REQUEST, address, address, null, BROADCAST);
  }

  #defendedUs = Number.NEGATIVE_INFINITY;

  /** Tells everybody on the link where our addresses are (gratuitous ARP, unsolicited neighbour advertisements). */
  announce(): void {
    if (this.linkHeader === 0) return;
    for (const own of this.addresses) this.#sendArp(ARP_REQUEST, own.address, own.address, null, BROADCAST);
    this.nd.announce();
    this.igmp.announce();
  }

  // --- Probing (arp-probe.ts) ---

  /** Asks the link whether anybody has the address; it is ours some seconds later if not (RFC 5227 section 2.1). */
  probeAddress(address: Cidr4): void {
    this.#probes.push(new AddressProbe(this, address));
  }

  sendProbe(address: number): void {
    if (!this.stack.frozen) this.#sendArp(ARP_REQUEST, 0, address, null, BROADCAST);
  }

  announceAddress(address: number): void {
    if (!this.stack.frozen) this.#sendArp(ARP_REQUEST, address, address, null, BROADCAST);
  }

  probeSucceeded(probe: AddressProbe): void {
    const { address } = probe;
    this.#probes.splice(this.#probes.indexOf(probe), 1);
    this.addresses.push(address);
    this.stack.routes.add({ v6: false, network: address.address, prefix: address.prefix, net: this, gateway: 0 });
  }

  probeFailed(probe: AddressProbe): void {
    this.#probes.splice(this.#probes.indexOf(probe), 1);
    this.neighbours.counters.conflicts++;
  }

  #request(address: number, mac: Uint8Array | null): void {
    if (this.stack.frozen) return;
    const from = this.addresses.find((own) => (own.address & own.mask) === (address & own.mask)) ?? this.addresses[0];
    if (from !== undefined) this.#sendArp(ARP_REQUEST, from.address, address, null, mac ?? BROADCAST);
  }

  #sendArp(op: number, senderIp: number, targetIp: number, targetMac: Uint8Array | null, to: Uint8Array | null): void {
    const frame = this.#ownFrame;
    frame.reset();
    writeEthernet(frame.header, frame.view, TX_HEADROOM, to ?? targetMac ?? BROADCAST, this.mac, ETHERTYPE_ARP);
    writeArp(frame.header, frame.view, TX_HEADROOM + 14, op, this.mac, senderIp, targetMac, targetIp);
    frame.headerLength = 42;
    this.#sendOwn(frame);
  }

  // --- Output ---

  /** Sends the stack's frame as it stands. */
  transmit(): boolean {
    return this.device.send(this.stack.frame);
  }

  /** Sends the stack's frame, complete from its IP header on, to a neighbour or a group. */
  output(hop: number, etherType: number): boolean {
    if (this.linkHeader === 0) return this.transmit();
    const { frame, book } = this.stack;
    const { header, view } = frame;
    if (hop === 0xffffffff || this.isBroadcast(hop)) {
      writeEthernet(header, view, TX_HEADROOM, BROADCAST, this.mac, etherType);
      return this.transmit();
    }
    if (book.isMulticast(hop)) {
      writeEthernet(header, view, TX_HEADROOM, this.#groupMac(hop), this.mac, etherType);
      return this.transmit();
    }
    const neighbour = (isV6(hop) ? this.neighbours6 : this.neighbours).lookup(hop);
    writeEthernet(header, view, TX_HEADROOM, neighbour.mac, this.mac, etherType);
    if (!neighbour.resolved) {
      this.hold(neighbour);
      return true;
    }
    return this.transmit();
  }

  readonly #group = new Uint8Array(6);

  /** RFC 1112 section 6.4, RFC 2464 section 7. */
  #groupMac(group: number): Uint8Array {
    const low = isV6(group) ? this.stack.book.word(group, 3) : group & 0x7fffff;
    const mac = this.#group;
    if (isV6(group)) mac.set([0x33, 0x33, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255]);
    else mac.set([1, 0, 0x5e, low >>> 16, (low >>> 8) & 255, low & 255]);
    return mac;
  }

  /**
   * Sends a neighbour discovery message, its checksum still to be filled in, to a group or straight to a link address.
   * Uses a frame of its own: the stack's may be under construction.
   */
  sendNd(source: number, destination: number, message: Uint8Array, mac: Uint8Array | null): void {
    if (this.linkHeader === 0) return;
    const { book } = this.stack;
    const frame = this.#ownFrame;
    const at = TX_HEADROOM + this.linkHeader;
    const known = book.isMulticast(destination) ? this.#groupMac(destination) : this.neighbours6.peek(destination)?.mac;
    const to = mac ?? known;
    if (to === undefined) return;
    message[2] = 0;
    message[3] = 0;
    const pseudo = book.sum(source) + book.sum(destination) + PROTOCOL_ICMP6 + message.length;
    const sum = finish(sum16(message, 0, message.length, pseudo));
    message[2] = sum >>> 8;
    message[3] = sum & 0xff;
    frame.reset();
    writeEthernet(frame.header, frame.view, TX_HEADROOM, to, this.mac, ETHERTYPE_IPV6);
    writeIpv6(frame.header, frame.view, at, 0, 0, message.length, PROTOCOL_ICMP6, 255);
    book.write(source, frame.header, at + 8);
    book.write(destination, frame.header, at + 24);
    frame.headerLength = this.linkHeader + IPV6_HEADER;
    frame.addPiece(message, 0, message.length);
    this.#sendOwn(frame);
  }

  hold(neighbour: Neighbour): void {
    const frame = this.stack.frame;
    if (frame.gsoSize > 0) {
      // A super-segment cannot wait as one frame; its connection sends it again.
      this.neighbours.counters.heldDropped++;
      return;
    }
    this.stack.completeChecksum(frame, this.linkHeader);
    this.neighbours.hold(neighbour, frame);
  }

  /** A held frame may go: its neighbour is known now. */
  #release(copy: Uint8Array, mac: Uint8Array): void {
    const frame = this.#ownFrame;
    frame.reset();
    copy.set(mac, 0);
    frame.header.set(copy.subarray(0, 14), TX_HEADROOM);
    frame.headerLength = 14;
    if (copy.length > 14) frame.addPiece(copy, 14, copy.length - 14);
    this.counters.heldReplies++;
    this.#sendOwn(frame);
  }

  /** What depends on nothing that the gate guards: where neighbours are, and what had left but for its link address. */
  #sendOwn(frame: TxFrame): void {
    frame.committed = true;
    this.device.send(frame);
  }
}
