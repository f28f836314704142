/**
 * ARP of one interface (RFC 826): questions and answers, the defence of our addresses (RFC 5227
 * section 2.4), and the probing of addresses that are not ours yet (section 2.1). The cache itself
 * is in neighbours.ts.
 */
import { TX_HEADROOM } from '../../lib/device/device.js';
import type { Cidr4 } from '../../lib/ipv4-address.js';
import { ARP_REPLY, ARP_REQUEST, ArpView, writeArp } from '../../lib/packet/arp.js';
import { Drop } from '../../lib/packet/drop.js';
import { ETHERTYPE_ARP, writeEthernet } from '../../lib/packet/ethernet.js';
import type { StackContext } from '../core/context.js';
import type { LinkHost } from '../core/link-context.js';
import { AddressProbe } from './address-probe.js';

/** The Ethernet broadcast address. */
export const BROADCAST_MAC = new Uint8Array(6).fill(0xff);
/** RFC 5227 section 1.1. */
const DEFEND_INTERVAL_US = 10_000_000;

/** ARP of one interface. */
export class Arp {
  readonly #stack: StackContext;
  readonly #net: LinkHost;
  readonly #view = new ArpView();
  /** Addresses that are probed. */
  readonly #probes: AddressProbe[] = [];
  #defendedUs = Number.NEGATIVE_INFINITY;

  constructor(stack: StackContext, net: LinkHost) {
    this.#stack = stack;
    this.#net = net;
  }

  /** A packet of `length` bytes at `offset`. @returns a drop reason, 0 for none */
  input(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    const arp = this.#view;
    const net = this.#net;
    const drop = arp.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    const { senderIp, senderMacOffset, targetIp } = arp;
    if ((bytes[senderMacOffset] & 1) !== 0) return Drop.ArpBadSender;
    const own = sameMac(net.mac, bytes, senderMacOffset);
    if (senderIp !== 0 && net.hasAddress(senderIp)) {
      // With our own link address it is a successor that took over both.
      this.#stack.onAddressClaim?.();
      if (!own) this.#defend(senderIp);
      return 0;
    }
    // Another host's probe names the address as its target (RFC 5227 section 2.1.1).
    const conflicting = senderIp === 0 && !own ? targetIp : senderIp;
    if (conflicting !== 0) this.#probes.find(({ address }) => address.address === conflicting)?.conflict();
    const forUs = net.hasAddress(targetIp);
    if (senderIp !== 0) net.neighbours.learn(senderIp, bytes, senderMacOffset, forUs);
    if (forUs && arp.op === ARP_REQUEST && !this.#stack.frozen) {
      const mac = bytes.slice(senderMacOffset, senderMacOffset + 6);
      this.#send(ARP_REPLY, targetIp, senderIp, mac, mac);
    }
    return 0;
  }

  /**
   * Another host claims an address of ours: contradicts, but not for ever (RFC 5227 section 2.4 c).
   */
  #defend(address: number): void {
    this.#net.neighbours.counters.conflicts++;
    const now = this.#stack.now();
    if (this.#stack.frozen || now - this.#defendedUs < DEFEND_INTERVAL_US) return;
    this.#defendedUs = now;
    this.announceAddress(address);
  }

  /** Tells the link where an address is (RFC 5227 section 3). */
  announceAddress(address: number): void {
    if (!this.#stack.frozen) this.#send(ARP_REQUEST, address, address, null, BROADCAST_MAC);
  }

  /** The same for all addresses of the interface, also while the stack is frozen. */
  announce(): void {
    for (const { address } of this.#net.addresses) this.#send(ARP_REQUEST, address, address, null, BROADCAST_MAC);
  }

  /**
   * Asks whether another host has an address of ours (RFC 5227 section 2.1.1). Its answer is a
   * claim of the address.
   */
  probeOwn(): void {
    for (const { address } of this.#net.addresses) this.#send(ARP_REQUEST, 0, address, null, BROADCAST_MAC);
  }

  /** Asks for a neighbour's link address: everybody, or (with a MAC) that neighbour itself. */
  request(address: number, mac: Uint8Array | null): void {
    if (this.#stack.frozen) return;
    const { addresses } = this.#net;
    const from = addresses.find((own) => (own.address & own.mask) === (address & own.mask)) ?? addresses[0];
    if (from !== undefined) this.#send(ARP_REQUEST, from.address, address, null, mac ?? BROADCAST_MAC);
  }

  /**
   * Gives the interface an address once probes have shown that no other host has it (RFC 5227
   * section 2.1).
   */
  probe(address: Cidr4): void {
    const probe = new AddressProbe(this.#stack, address, {
      send: () => {
        if (!this.#stack.frozen) this.#send(ARP_REQUEST, 0, address.address, null, BROADCAST_MAC);
      },
      announce: () => this.announceAddress(address.address),
      succeeded: () => {
        this.#remove(probe);
        this.#net.addAddress4(address);
      },
      failed: () => {
        this.#remove(probe);
        this.#net.neighbours.counters.conflicts++;
      },
    });
    this.#probes.push(probe);
  }

  #remove(probe: AddressProbe): void {
    this.#probes.splice(this.#probes.indexOf(probe), 1);
  }

  #send(op: number, senderIp: number, targetIp: number, targetMac: Uint8Array | null, to: Uint8Array): void {
    const net = this.#net;
    const frame = net.ownFrame();
    writeEthernet(frame.header, TX_HEADROOM, to, net.mac, ETHERTYPE_ARP);
    writeArp(frame.header, frame.view, TX_HEADROOM + 14, { op, senderMac: net.mac, senderIp, targetMac, targetIp });
    frame.headerLength = 42;
    net.sendOwn();
  }
}

/** Whether the MAC address at `offset` is `mac`. */
export function sameMac(mac: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let i = 5; i >= 0; i--) if (bytes[offset + i] !== mac[i]) return false;
  return true;
}
