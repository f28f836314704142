/** IPv6 (RFC 8200): input, reassembly, forwarding and output. */
import { TX_HEADROOM } from '../../lib/device/device.js';
import { Drop } from '../../lib/packet/drop.js';
import { ETHERTYPE_IPV6 } from '../../lib/packet/ethernet.js';
import {
  ICMP6_PARAMETER_PROBLEM,
  ICMP6_TIME_EXCEEDED,
  ICMP6_TOO_BIG,
  ICMP6_UNREACHABLE,
} from '../../lib/packet/icmp6.js';
import { FRAGMENT, IPV6_HEADER, type Ipv6Fields, Ipv6View, NO_NEXT_HEADER, writeIpv6 } from '../../lib/packet/ipv6.js';
import type { NetworkContext, SendOptions } from '../core/context.js';
import { IpPacket, viewOf } from '../core/ip-packet.js';
import { PROTOCOL_ICMP6, PROTOCOL_TCP, PROTOCOL_UDP } from '../core/protocols.js';
import { IpReassembly } from './reassembly.js';

/** RFC 8200 section 4.5. */
const REASSEMBLY_TIMEOUT_US = 60_000_000;
/** RFC 8200 section 5, bytes. */
const MIN_MTU = 1280;
/** Codes of ICMPv6 errors (RFC 4443 section 3). */
const NO_ROUTE = 0;
const PORT_UNREACHABLE = 4;
const HOP_LIMIT_EXCEEDED = 0;
const REASSEMBLY_TIME_EXCEEDED = 1;
const ERRONEOUS_FIELD = 0;
const UNKNOWN_NEXT_HEADER = 1;

/** IPv6 of one stack. */
export class Ipv6 {
  /** `bookFull`: packets dropped because the address book was full of addresses in use. */
  readonly counters = { forwarded: 0, fragmentsSent: 0, notForwarded: 0, bookFull: 0 };
  readonly fragments: IpReassembly;
  readonly #view = new Ipv6View();
  readonly #stack: NetworkContext;
  /** Of packets that are sent. */
  readonly #header: Ipv6Fields = { trafficClass: 0, flowLabel: 0, payloadLength: 0, protocol: 0, hopLimit: 0 };
  #source = 0;
  #destination = 0;

  constructor(stack: NetworkContext) {
    this.#stack = stack;
    const host = {
      now: () => stack.now(),
      schedule: stack.wheel.schedule.bind(stack.wheel),
      cancel: stack.wheel.cancel.bind(stack.wheel),
      timedOut: (source: number, destination: number, quote: Uint8Array | null) =>
        this.#reassemblyTimedOut(source, destination, quote),
    };
    this.fragments = new IpReassembly(host, REASSEMBLY_TIMEOUT_US, false);
  }

  #reassemblyTimedOut(source: number, destination: number, quote: Uint8Array | null): void {
    const net = this.#stack.interfaceOf(destination);
    if (net === null || quote === null) return;
    const packet = new IpPacket(net);
    packet.place(quote, viewOf(quote), false);
    packet.src = source;
    packet.dst = destination;
    packet.totalLength = quote.length;
    this.#stack.icmp6.sendError(packet, ICMP6_TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, 0);
  }

  /** Copies the header that was parsed into the packet; the addresses are set apart. */
  #fill(packet: IpPacket): void {
    const ip = this.#view;
    packet.start = ip.offset;
    packet.totalLength = ip.totalLength;
    packet.protocol = ip.protocol;
    packet.trafficClass = ip.trafficClass;
    packet.hopLimit = ip.hopLimit;
    packet.fragmentOffset = ip.fragmentOffset;
    packet.payloadOffset = ip.payloadOffset;
    packet.payloadLength = ip.payloadLength;
  }

  /**
   * A packet at `offset` of the packet's bytes, with `length` bytes available.
   * @returns a drop reason, 0 for none
   */
  input(packet: IpPacket, offset: number, length: number): number {
    const stack = this.#stack;
    const ip = this.#view;
    const { bytes, net } = packet;
    const parsed = ip.parse(bytes, packet.view, offset, length);
    stack.counters.inPackets++;
    if (parsed !== 0 && parsed !== Drop.Ipv6Problem) return parsed;
    const { book } = stack;
    const src = book.intern(bytes, offset + 8);
    const dst = src < 0 ? -1 : book.intern(bytes, offset + 24);
    if (dst < 0) {
      this.counters.bookFull++;
      return Drop.Ipv6BadSource;
    }
    this.#fill(packet);
    packet.src = src;
    packet.dst = dst;
    if (book.isMulticast(src)) return Drop.Ipv6BadSource;
    if (net.hasAddress(src) && !net.loopback) {
      // Such a hop limit is a neighbour's (RFC 4861 section 7.1): it announces our address as its
      // own.
      if (packet.hopLimit === 255 && bytes[offset + 6] === PROTOCOL_ICMP6) stack.onAddressClaim?.();
      return Drop.Ipv6BadSource;
    }
    const unicast = net.hasAddress(dst) || ((net.loopback || stack.forwarding) && stack.isLocal(dst));
    const group = !unicast && book.isMulticast(dst) && net.hasGroup6(dst);
    if (!unicast && !group) {
      if (stack.forwarding && !book.isMulticast(dst) && !book.isLinkLocal(dst) && !book.isLinkLocal(src)) {
        return parsed === 0 || ip.problemCode === 0 ? this.#forward(packet) : parsed;
      }
      stack.counters.notForUs++;
      return 0;
    }
    if (stack.frozen) return 0;
    if (parsed === Drop.Ipv6Problem) {
      if (ip.problemCode >= 0 && (unicast || ip.problemToMulticast))
        stack.icmp6.sendError(packet, ICMP6_PARAMETER_PROBLEM, ip.problemCode, ip.problemAt, true);
      return parsed;
    }
    if (ip.fragment) return this.#fragment(packet);
    return this.#deliver(packet);
  }

  #deliver(packet: IpPacket): number {
    const stack = this.#stack;
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return stack.isLocal(packet.dst) ? stack.tcpInput(packet) : 0;
      case PROTOCOL_UDP: {
        const drop = stack.udp.input(packet);
        if (drop !== Drop.UdpPort) return drop;
        stack.icmp6.sendError(packet, ICMP6_UNREACHABLE, PORT_UNREACHABLE, 0);
        return 0;
      }
      case PROTOCOL_ICMP6:
        return stack.icmp6.input(packet);
      case NO_NEXT_HEADER:
        return 0;
      default: {
        if (stack.raw.deliver(packet)) return 0;
        const pointer = this.#view.protocolAt - packet.start;
        stack.icmp6.sendError(packet, ICMP6_PARAMETER_PROBLEM, UNKNOWN_NEXT_HEADER, pointer);
        return Drop.Ipv4Protocol;
      }
    }
  }

  #fragment(packet: IpPacket): number {
    const stack = this.#stack;
    const ip = this.#view;
    const { bytes } = packet;
    stack.counters.fragments++;
    // The fragment begins behind the fragment header; the first one may have further headers there.
    const at = this.#fragmentStart(bytes);
    const length = ip.offset + ip.totalLength - at;
    if (ip.more && (length & 7) !== 0) {
      stack.icmp6.sendError(packet, ICMP6_PARAMETER_PROBLEM, ERRONEOUS_FIELD, 4);
      return Drop.FragmentTooLong;
    }
    if (ip.fragmentOffset + length > 65_535) {
      stack.icmp6.sendError(packet, ICMP6_PARAMETER_PROBLEM, ERRONEOUS_FIELD, at - 6 - ip.offset);
      return Drop.FragmentTooLong;
    }
    packet.protocol = bytes[at - 8];
    packet.payloadOffset = at;
    packet.payloadLength = length;
    const payload = this.fragments.add(packet, ip.fragmentId, ip.more);
    if (payload === null) return this.fragments.drop;
    if (payload.length > 65_535) return Drop.FragmentTooLong;
    const whole = new Uint8Array(IPV6_HEADER + payload.length);
    const view = viewOf(whole);
    const { trafficClass, flowLabel, hopLimit } = ip;
    const { protocol } = this.fragments;
    writeIpv6(whole, view, 0, { trafficClass, flowLabel, payloadLength: payload.length, protocol, hopLimit });
    stack.book.write(packet.src, whole, 8);
    stack.book.write(packet.dst, whole, 24);
    whole.set(payload, IPV6_HEADER);
    packet.place(whole, view, false);
    const drop = ip.parse(whole, view, 0, whole.length);
    if (drop !== 0 || ip.fragment) return drop !== 0 ? drop : Drop.Ipv6Extension;
    this.#fill(packet);
    return this.#deliver(packet);
  }

  /** Where the bytes behind the fragment header begin. */
  #fragmentStart(bytes: Uint8Array): number {
    const { offset } = this.#view;
    let at = offset + IPV6_HEADER;
    let next = bytes[offset + 6];
    while (next !== FRAGMENT) {
      const size = 8 * (bytes[at + 1] + 1);
      next = bytes[at];
      at += size;
    }
    return at + 8;
  }

  /** Sends a packet for another host on (RFC 8200 section 3). */
  #forward(packet: IpPacket): number {
    const stack = this.#stack;
    if (stack.frozen) return 0;
    const { bytes, dst, start, totalLength, hopLimit } = packet;
    if (hopLimit <= 1) {
      stack.icmp6.sendError(packet, ICMP6_TIME_EXCEEDED, HOP_LIMIT_EXCEEDED, 0);
      return Drop.TtlExceeded;
    }
    const route = stack.routes.lookup(dst);
    if (route === null || route.net.loopback) {
      this.counters.notForwarded++;
      stack.icmp6.sendError(packet, ICMP6_UNREACHABLE, NO_ROUTE, 0);
      return Drop.NoRoute;
    }
    const { mtu } = route.net.device;
    if (totalLength > mtu) {
      stack.icmp6.sendError(packet, ICMP6_TOO_BIG, 0, mtu);
      return 0;
    }
    this.counters.forwarded++;
    const { frame } = stack;
    const at = TX_HEADROOM + route.net.linkHeader;
    frame.reset();
    frame.header.set(bytes.subarray(start, start + IPV6_HEADER), at);
    frame.header[at + 7] = hopLimit - 1;
    frame.headerLength = at + IPV6_HEADER - TX_HEADROOM;
    if (totalLength > IPV6_HEADER) frame.addPiece(bytes, start + IPV6_HEADER, totalLength - IPV6_HEADER);
    route.net.output(route.gateway === 0 ? dst : route.gateway, ETHERTYPE_IPV6);
    return 0;
  }

  /**
   * Sends the stack's frame, whose pieces are an IP payload of `length` bytes, in fragments if it
   * must be.
   */
  send(source: number, destination: number, protocol: number, length: number, options: SendOptions = {}): boolean {
    const stack = this.#stack;
    if (stack.frozen) return false;
    const { book, frame } = stack;
    const route = options.net === undefined ? stack.routeFrom(source, destination) : null;
    const net = options.net ?? route?.net;
    if (net === undefined) return false;
    const hop = route === null || route.gateway === 0 ? destination : route.gateway;
    const at = TX_HEADROOM + net.linkHeader;
    const header = this.#header;
    header.trafficClass = options.tos ?? 0;
    header.hopLimit = options.ttl ?? (book.isMulticast(destination) ? 1 : net.hopLimit);
    this.#source = source;
    this.#destination = destination;
    const mtu = Math.max(MIN_MTU, stack.paths.get(destination, net.mtu6, stack.now()));
    if (IPV6_HEADER + length <= mtu) {
      this.#writeHeader(at, length, protocol);
      return net.output(hop, ETHERTYPE_IPV6);
    }
    const whole = frame.gather();
    const { committed } = frame;
    const part = (mtu - IPV6_HEADER - 8) & ~7;
    const id = stack.random.u32();
    let sent = true;
    for (let from = 0; from < length; from += part) {
      const bytes = Math.min(part, length - from);
      frame.reset();
      frame.committed = committed;
      frame.addPiece(whole, from, bytes);
      this.#writeHeader(at, bytes + 8, FRAGMENT);
      const extension = at + IPV6_HEADER;
      frame.header[extension] = protocol;
      frame.header[extension + 1] = 0;
      frame.view.setUint16(extension + 2, from | (from + bytes < length ? 1 : 0));
      frame.view.setUint32(extension + 4, id);
      frame.headerLength += 8;
      this.counters.fragmentsSent++;
      sent = net.output(hop, ETHERTYPE_IPV6) && sent;
    }
    return sent;
  }

  #writeHeader(at: number, payloadLength: number, protocol: number): void {
    const { frame, book } = this.#stack;
    this.#header.payloadLength = payloadLength;
    this.#header.protocol = protocol;
    writeIpv6(frame.header, frame.view, at, this.#header);
    book.write(this.#source, frame.header, at + 8);
    book.write(this.#destination, frame.header, at + 24);
    frame.headerLength = at + IPV6_HEADER - TX_HEADROOM;
  }
}
