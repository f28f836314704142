/**
 * One interface: a device with its addresses, its neighbours and the input path from a batch of frames to the protocols.
 * Frames are parsed by views that belong to the interface and are reused for every frame.
 */

import type { Cidr4 } from '../lib/address.js';
import {
  type DeviceHandler,
  type FrameDevice,
  RX_CSUM_OK,
  RX_META_WORDS,
  type RxBatch,
  TX_HEADROOM,
  TxFrame,
} from '../lib/device/device.js';
import { ARP_REPLY, ARP_REQUEST, ArpView, writeArp } from '../lib/packet/arp.js';
import { Drop } from '../lib/packet/drop.js';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetView, writeEthernet } from '../lib/packet/ethernet.js';
import { Ipv4View } from '../lib/packet/ipv4.js';
import { type Neighbour, NeighbourCache } from './neighbours.js';
import type { Stack } from './stack.js';

const BROADCAST = new Uint8Array(6).fill(0xff);

export interface InterfaceOptions {
  name: string;
  mac: Uint8Array;
  addresses: Cidr4[];
  /** Default gateway, 0 for none. */
  gateway: number;
}

export class NetInterface implements DeviceHandler {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly addresses: Cidr4[];
  readonly gateway: number;
  readonly neighbours: NeighbourCache;
  /** Bytes of link header in front of IP. */
  readonly linkHeader: number;
  /** Frames dropped on input, by reason (see lib/packet/drop.ts). */
  readonly drops = new Uint32Array(64);
  readonly counters = { inFrames: 0, inBytes: 0, batches: 0, notForUs: 0, heldReplies: 0 };
  /** For what the interface sends by itself: a request may go out while the stack's frame is being built. */
  readonly #ownFrame = new TxFrame();
  readonly #eth = new EthernetView();
  readonly #arp = new ArpView();
  readonly #ip = new Ipv4View();

  constructor(
    readonly stack: Stack,
    readonly device: FrameDevice,
    options: InterfaceOptions,
  ) {
    this.name = options.name;
    this.mac = options.mac;
    this.addresses = options.addresses;
    this.gateway = options.gateway;
    this.linkHeader = device.link === 'ethernet' ? 14 : 0;
    this.neighbours = new NeighbourCache({
      now: () => stack.now(),
      schedule: (node, deadlineUs) => stack.wheel.schedule(node, deadlineUs),
      cancel: (node) => stack.wheel.cancel(node),
      request: (address, mac) => this.#request(address, mac),
      release: (frame, mac) => this.#release(frame, mac),
    });
  }

  // --- DeviceHandler ---

  onFrames(batch: RxBatch): void {
    const { stack } = this;
    stack.beginBatch();
    this.counters.batches++;
    for (let i = 0; i < batch.count; i++) {
      const at = i * RX_META_WORDS;
      const drop = this.#frame(batch, batch.meta[at]!, batch.meta[at + 1]!, batch.meta[at + 2]!);
      if (drop !== 0) this.drops[drop & 63]!++;
    }
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
    if (this.linkHeader === 0) return this.#ipv4(bytes, view, offset, length, flags);
    const eth = this.#eth;
    const drop = eth.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    const to = offset;
    const multicast = (bytes[to]! & 1) !== 0;
    if (!multicast && !this.#isOurMac(bytes, to)) {
      this.counters.notForUs++;
      return 0;
    }
    const rest = length - (eth.payloadOffset - offset);
    if (eth.etherType === ETHERTYPE_IPV4) return this.#ipv4(bytes, view, eth.payloadOffset, rest, flags);
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
    return this.stack.ipv4Input(this, ip, bytes, view, (flags & RX_CSUM_OK) !== 0);
  }

  // --- Addresses ---

  hasAddress(address: number): boolean {
    for (const own of this.addresses) if (own.address === address) return true;
    return false;
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
    return false;
  }

  // --- ARP ---

  #arpArrives(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    const arp = this.#arp;
    const drop = arp.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    if ((bytes[arp.senderMacOffset]! & 1) !== 0) return Drop.ArpBadSender;
    if (arp.senderIp !== 0 && this.hasAddress(arp.senderIp)) {
      if (!this.#isOurMac(bytes, arp.senderMacOffset)) this.neighbours.counters.conflicts++;
      return 0;
    }
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

  /** Tells everybody on the link where our addresses are (gratuitous ARP). */
  announce(): void {
    if (this.linkHeader === 0) return;
    for (const own of this.addresses) this.#sendArp(ARP_REQUEST, own.address, own.address, null, BROADCAST);
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
    this.device.send(frame);
  }

  // --- Output ---

  /** Sends the stack's frame as it stands. */
  transmit(): boolean {
    return this.device.send(this.stack.frame);
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
    this.device.send(frame);
  }
}
