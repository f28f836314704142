/** IPv4 (RFC 791, RFC 1122 section 3.2): input, reassembly, forwarding and output. */
import { adjust, sum16 } from '../../lib/checksum.js';
import { TX_HEADROOM } from '../../lib/device/device.js';
import { Drop } from '../../lib/packet/drop.js';
import { ETHERTYPE_IPV4 } from '../../lib/packet/ethernet.js';
import { ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from '../../lib/packet/icmp.js';
import { type Ipv4Fields, Ipv4View, writeIpv4 } from '../../lib/packet/ipv4.js';
import type { NetworkContext, SendOptions } from '../core/context.js';
import { IpPacket, viewOf } from '../core/ip-packet.js';
import { PROTOCOL_ICMP, PROTOCOL_IGMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../core/protocols.js';
import type { Route } from '../core/route-table.js';
import { FRAGMENTATION_NEEDED, HOST_UNREACHABLE, PORT_UNREACHABLE, PROTOCOL_UNREACHABLE } from './icmp4.js';
import { IpReassembly } from './reassembly.js';

/** RFC 1122 section 3.3.2. */
const REASSEMBLY_TIMEOUT_US = 30_000_000;
const MORE_FRAGMENTS = 0x2000;
const DEFAULT_TTL = 64;
const HEADER = 20;
/** Codes of time exceeded (RFC 792). */
const TTL_EXCEEDED = 0;
const REASSEMBLY_TIME_EXCEEDED = 1;

/** IPv4 of one stack. */
export class Ipv4 {
  readonly counters = { forwarded: 0, fragmentsSent: 0, notForwarded: 0 };
  readonly fragments: IpReassembly;
  readonly #view = new Ipv4View();
  readonly #stack: NetworkContext;
  /** Of packets that are sent. */
  readonly #header: Ipv4Fields = {
    tos: 0,
    totalLength: 0,
    id: 0,
    fragment: 0,
    ttl: DEFAULT_TTL,
    protocol: 0,
    src: 0,
    dst: 0,
  };

  constructor(stack: NetworkContext) {
    this.#stack = stack;
    const host = {
      now: () => stack.now(),
      schedule: stack.wheel.schedule.bind(stack.wheel),
      cancel: stack.wheel.cancel.bind(stack.wheel),
      timedOut: (_source: number, destination: number, quote: Uint8Array | null) =>
        this.#reassemblyTimedOut(destination, quote),
    };
    this.fragments = new IpReassembly(host, REASSEMBLY_TIMEOUT_US, true);
  }

  #reassemblyTimedOut(destination: number, quote: Uint8Array | null): void {
    const net = this.#stack.interfaceOf(destination);
    if (net === null || quote === null) return;
    const packet = new IpPacket(net);
    packet.place(quote, viewOf(quote), false);
    if (this.#view.parse(packet.bytes, packet.view, 0, 65_535) !== 0) return;
    this.#fill(packet, 0);
    packet.totalLength = quote.length;
    this.#stack.icmp.sendError(packet, ICMP_TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, 0);
  }

  /** Copies the header that was parsed into the packet. */
  #fill(packet: IpPacket, start: number): void {
    const ip = this.#view;
    packet.start = start;
    packet.totalLength = ip.totalLength;
    packet.src = ip.src;
    packet.dst = ip.dst;
    packet.protocol = ip.protocol;
    packet.trafficClass = ip.tos;
    packet.hopLimit = ip.ttl;
    packet.fragmentOffset = ip.fragmentOffset;
    packet.payloadOffset = ip.payloadOffset;
    packet.payloadLength = ip.payloadLength;
  }

  /**
   * A packet at `offset` of the packet's bytes, with `length` bytes available.
   * @returns a drop reason, 0 for none
   */
  input(packet: IpPacket, offset: number, length: number): number {
    const ip = this.#view;
    const drop = ip.parse(packet.bytes, packet.view, offset, length);
    if (drop !== 0) return drop;
    this.#fill(packet, offset);
    const stack = this.#stack;
    const { net } = packet;
    stack.counters.inPackets++;
    if (ip.src >>> 28 >= 14 || (net.hasAddress(ip.src) && !net.loopback)) return Drop.Ipv4BadSource;
    if ((ip.src >>> 24 === 127 || ip.dst >>> 24 === 127) && !net.loopback) return Drop.Ipv4BadSource;
    stack.receivedRoute = null;
    if (ip.optionsLength > 0 && hasSourceRoute(packet.bytes, ip)) {
      // A sender that chooses the route around ours is not served (RFC 7126 section 4.3).
      if (!stack.sourceRoutes) return Drop.SourceRoute;
      stack.receivedRoute = returnRoute(packet.bytes, packet.view, ip);
      if (stack.receivedRoute === null) return Drop.SourceRoute;
    }
    const unicast = net.hasAddress(ip.dst) || ((net.loopback || stack.forwarding) && stack.isLocal(ip.dst));
    if (!unicast) {
      const group = net.isBroadcast(ip.dst) || net.hasGroup(ip.dst);
      if (!group || ip.protocol === PROTOCOL_TCP) {
        if (stack.forwarding && !group) return this.#forward(packet);
        stack.counters.notForUs++;
        return 0;
      }
    }
    if (stack.frozen) return 0;
    if (ip.mf || ip.fragmentOffset !== 0) return this.#fragment(packet);
    return this.#deliver(packet);
  }

  #deliver(packet: IpPacket): number {
    const stack = this.#stack;
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return stack.tcpInput(packet);
      case PROTOCOL_ICMP:
        return stack.icmp.input(packet);
      case PROTOCOL_UDP: {
        const drop = stack.udp.input(packet);
        if (drop !== Drop.UdpPort) return drop;
        stack.icmp.sendError(packet, ICMP_UNREACHABLE, PORT_UNREACHABLE, 0);
        return 0;
      }
      case PROTOCOL_IGMP:
        return packet.net.igmp.input(packet);
      default:
        if (stack.raw.deliver(packet)) return 0;
        stack.icmp.sendError(packet, ICMP_UNREACHABLE, PROTOCOL_UNREACHABLE, 0);
        return Drop.Ipv4Protocol;
    }
  }

  #fragment(packet: IpPacket): number {
    const ip = this.#view;
    this.#stack.counters.fragments++;
    const payload = this.fragments.add(packet, ip.id, ip.mf);
    if (payload === null) return this.fragments.drop;
    if (payload.length + HEADER > 65_535) return Drop.FragmentTooLong;
    const bytes = new Uint8Array(HEADER + payload.length);
    const view = viewOf(bytes);
    const { tos, id, ttl, protocol, src, dst } = ip;
    writeIpv4(bytes, view, 0, { tos, totalLength: bytes.length, id, fragment: 0, ttl, protocol, src, dst });
    bytes.set(payload, HEADER);
    packet.place(bytes, view, false);
    const drop = ip.parse(bytes, view, 0, bytes.length);
    if (drop !== 0) return drop;
    this.#fill(packet, 0);
    return this.#deliver(packet);
  }

  /** Sends a packet for another host on (RFC 1812 section 5.2). */
  #forward(packet: IpPacket): number {
    const stack = this.#stack;
    const ip = this.#view;
    if (stack.frozen) return 0;
    if (ip.ttl <= 1) {
      stack.icmp.sendError(packet, ICMP_TIME_EXCEEDED, TTL_EXCEEDED, 0);
      return Drop.TtlExceeded;
    }
    const route = stack.routes.lookup(ip.dst);
    if (route === null || route.net.loopback) {
      this.counters.notForwarded++;
      stack.icmp.sendError(packet, ICMP_UNREACHABLE, HOST_UNREACHABLE, 0);
      return Drop.NoRoute;
    }
    const { mtu } = route.net.device;
    if (ip.totalLength > mtu && ip.df) {
      stack.icmp.sendError(packet, ICMP_UNREACHABLE, FRAGMENTATION_NEEDED, mtu);
      return 0;
    }
    this.counters.forwarded++;
    const part = ip.totalLength <= mtu ? ip.payloadLength : (mtu - ip.headerLength) & ~7;
    for (let from = 0; from < ip.payloadLength; from += part) this.#forwardPart(packet, route, from, part);
    return 0;
  }

  /**
   * Sends `part` bytes of the payload from `from` on, with the header that the packet came with.
   */
  #forwardPart({ bytes, view, start }: IpPacket, route: Route, from: number, part: number): void {
    const ip = this.#view;
    const { frame } = this.#stack;
    const header = ip.headerLength;
    const length = Math.min(part, ip.payloadLength - from);
    const at = TX_HEADROOM + route.net.linkHeader;
    frame.reset();
    frame.header.set(bytes.subarray(start, start + header), at);
    frame.header[at + 8] = ip.ttl - 1;
    if (part === ip.payloadLength) {
      const word = view.getUint16(start + 8);
      frame.view.setUint16(at + 10, adjust(view.getUint16(start + 10), word, word - 0x100));
    } else {
      const more = from + length < ip.payloadLength || ip.mf ? MORE_FRAGMENTS : 0;
      frame.view.setUint16(at + 2, header + length);
      frame.view.setUint16(at + 6, more | ((ip.fragmentOffset + from) >>> 3));
      frame.view.setUint16(at + 10, 0);
      frame.view.setUint16(at + 10, ~sum16(frame.header, at, header, 0) & 0xffff);
      this.counters.fragmentsSent++;
    }
    frame.headerLength = at + header - TX_HEADROOM;
    frame.addPiece(bytes, ip.payloadOffset + from, length);
    route.net.output(route.gateway === 0 ? ip.dst : route.gateway, ETHERTYPE_IPV4);
  }

  /**
   * Sends the stack's frame, whose pieces are an IP payload of `length` bytes, in fragments if it
   * must be.
   */
  send(source: number, destination: number, protocol: number, length: number, options: SendOptions = {}): boolean {
    const stack = this.#stack;
    if (stack.frozen) return false;
    const route = options.net === undefined ? stack.routeFrom(source, destination) : null;
    const net = options.net ?? route?.net;
    if (net === undefined) return false;
    const hop = route === null || route.gateway === 0 ? destination : route.gateway;
    const mtu = stack.paths.get(destination, net.device.mtu, stack.now());
    const header = this.#header;
    header.tos = options.tos ?? 0;
    header.ttl = options.ttl ?? (destination >>> 28 === 14 ? 1 : DEFAULT_TTL);
    header.id = stack.random.u32() & 0xffff;
    header.protocol = protocol;
    header.src = source;
    header.dst = destination;
    const at = TX_HEADROOM + net.linkHeader;
    if (HEADER + length <= mtu) {
      this.#writeHeader(at, length, 0);
      return net.output(hop, ETHERTYPE_IPV4);
    }
    const { frame } = stack;
    const whole = frame.gather();
    const { committed } = frame;
    const part = (mtu - HEADER) & ~7;
    let sent = true;
    for (let from = 0; from < length; from += part) {
      const bytes = Math.min(part, length - from);
      frame.reset();
      frame.committed = committed;
      frame.addPiece(whole, from, bytes);
      this.#writeHeader(at, bytes, (from + bytes < length ? MORE_FRAGMENTS : 0) | (from >>> 3));
      this.counters.fragmentsSent++;
      sent = net.output(hop, ETHERTYPE_IPV4) && sent;
    }
    return sent;
  }

  #writeHeader(at: number, payload: number, fragment: number): void {
    const { frame } = this.#stack;
    this.#header.totalLength = HEADER + payload;
    this.#header.fragment = fragment;
    writeIpv4(frame.header, frame.view, at, this.#header);
    frame.headerLength = at + HEADER - TX_HEADROOM;
  }
}

/** Whether the options have a loose or strict source route, or are malformed. */
function hasSourceRoute(bytes: Uint8Array, ip: Ipv4View): boolean {
  const end = ip.payloadOffset;
  for (let at = end - ip.optionsLength; at < end; ) {
    const type = bytes[at];
    if (type === 0) return false;
    if (type === 1) {
      at++;
      continue;
    }
    if (type === 131 || type === 137) return true;
    const length = at + 1 < end ? bytes[at + 1] : 0;
    if (length < 2 || at + length > end) return true;
    at += length;
  }
  return false;
}

/**
 * The reverse of a source route that has been followed to its end, else null (RFC 9293 MUST-53).
 */
function returnRoute(bytes: Uint8Array, view: DataView, ip: Ipv4View): number[] | null {
  const end = ip.payloadOffset;
  for (let at = end - ip.optionsLength; at < end; ) {
    const type = bytes[at];
    if (type === 0) return null;
    if (type === 1) {
      at++;
      continue;
    }
    const length = at + 1 < end ? bytes[at + 1] : 0;
    if (length < 2 || at + length > end) return null;
    if (type === 131 || type === 137) {
      // A pointer behind the option: every hop has been visited.
      if (length < 3 || (length - 3) % 4 !== 0 || bytes[at + 2] <= length) return null;
      const back: number[] = [];
      for (let hop = at + length - 4; hop > at + 2; hop -= 4) back.push(view.getUint32(hop));
      return back;
    }
    at += length;
  }
  return null;
}
