/** IPv4 (RFC 791, RFC 1122 section 3.2): what arrives for us, what is not whole, what goes further, and what leaves. */
import { adjust, sum16 } from '../../lib/checksum.js';
import { TX_HEADROOM } from '../../lib/device/device.js';
import { Drop } from '../../lib/packet/drop.js';
import { ETHERTYPE_IPV4 } from '../../lib/packet/ethernet.js';
import { ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from '../../lib/packet/icmp.js';
import { Ipv4View, writeIpv4 } from '../../lib/packet/ipv4.js';
import type { NetInterface } from '../link/interface.js';
import type { Stack } from '../stack.js';
import { FRAGMENTATION_NEEDED, HOST_UNREACHABLE, PORT_UNREACHABLE, PROTOCOL_UNREACHABLE } from './icmp4.js';
import { IpReassembly } from './reassembly.js';

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_IGMP = 2;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
/** RFC 1122 section 3.3.2. */
const REASSEMBLY_US = 30_000_000;
const MORE_FRAGMENTS = 0x2000;
export const DEFAULT_TTL = 64;

/** How a datagram leaves. */
export interface SendOptions {
  ttl?: number;
  tos?: number;
  /** Through this interface, whatever the routes say (multicast, broadcast). */
  net?: NetInterface;
}

export class Ipv4 {
  readonly counters = { forwarded: 0, fragmentsSent: 0, notForwarded: 0 };
  readonly fragments: IpReassembly;
  readonly #whole = new Ipv4View();
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.fragments = new IpReassembly(
      {
        now: () => stack.now(),
        schedule: (node, deadlineUs) => stack.wheel.schedule(node, deadlineUs),
        cancel: (node) => stack.wheel.cancel(node),
        timedOut: (_source, destination, quote) => {
          const net = stack.interfaceOf(destination);
          if (net === null || quote === null || this.#whole.parse(quote, viewOf(quote), 0, 65_535) !== 0) return;
          stack.icmp.sendError(net, this.#whole, quote, 0, quote.length, ICMP_TIME_EXCEEDED, 1, 0);
        },
      },
      REASSEMBLY_US,
    );
  }

  /** @returns a drop reason, 0 for none. */
  input(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView, csumOk: boolean): number {
    const stack = this.#stack;
    stack.counters.inPackets++;
    if (ip.src >>> 28 >= 14 || (net.hasAddress(ip.src) && !net.loopback)) return Drop.Ipv4BadSource;
    if ((ip.src >>> 24 === 127 || ip.dst >>> 24 === 127) && !net.loopback) return Drop.Ipv4BadSource;
    // A sender that chooses the way round us is not served (RFC 7126 section 4.3).
    stack.receivedRoute = null;
    if (ip.optionsLength > 0 && hasSourceRoute(bytes, ip)) {
      if (!stack.sourceRoutes) return Drop.SourceRoute;
      stack.receivedRoute = returnRoute(bytes, view, ip);
      if (stack.receivedRoute === null) return Drop.SourceRoute;
    }
    const unicast = net.hasAddress(ip.dst) || ((net.loopback || stack.forwarding) && stack.isLocal(ip.dst));
    if (!unicast) {
      const group = net.isBroadcast(ip.dst) || net.hasGroup(ip.dst);
      if (!group || ip.protocol === PROTOCOL_TCP) {
        if (stack.forwarding && !group) return this.#forward(net, ip, bytes, view);
        stack.counters.notForUs++;
        return 0;
      }
    }
    if (stack.frozen) return 0;
    if (ip.mf || ip.fragmentOffset !== 0) return this.#fragment(net, ip, bytes);
    return this.#deliver(net, ip, bytes, view, csumOk);
  }

  #deliver(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView, csumOk: boolean): number {
    const stack = this.#stack;
    const { payloadOffset, payloadLength } = ip;
    switch (ip.protocol) {
      case PROTOCOL_TCP:
        return stack.tcpInput(ip.src, ip.dst, ip.tos, bytes, view, payloadOffset, payloadLength, csumOk);
      case PROTOCOL_ICMP:
        return stack.icmp.input(net, ip, bytes, view);
      case PROTOCOL_UDP: {
        const drop = stack.udp.input(ip.src, ip.dst, bytes, view, payloadOffset, payloadLength, csumOk, net);
        if (drop !== Drop.UdpPort) return drop;
        this.#unreachable(net, ip, bytes, PORT_UNREACHABLE);
        return 0;
      }
      case PROTOCOL_IGMP:
        return net.igmp.input(ip, bytes, view);
      default:
        if (stack.raw.deliver(ip.protocol, ip.src, ip.dst, bytes, payloadOffset, payloadLength)) return 0;
        this.#unreachable(net, ip, bytes, PROTOCOL_UNREACHABLE);
        return Drop.Ipv4Protocol;
    }
  }

  #unreachable(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, code: number): void {
    const start = ip.payloadOffset - ip.headerLength;
    this.#stack.icmp.sendError(net, ip, bytes, start, ip.totalLength, ICMP_UNREACHABLE, code, 0);
  }

  #fragment(net: NetInterface, ip: Ipv4View, bytes: Uint8Array): number {
    const stack = this.#stack;
    stack.counters.fragments++;
    const start = ip.payloadOffset - ip.headerLength;
    const { src, dst, protocol, id, fragmentOffset, mf, payloadOffset, payloadLength } = ip;
    const whole = this.fragments.add(
      src,
      dst,
      protocol,
      true,
      id,
      fragmentOffset,
      mf,
      bytes,
      start,
      payloadOffset,
      payloadLength,
    );
    if (whole === null) return this.fragments.drop;
    if (whole.length + 20 > 65_535) return Drop.FragmentTooLong;
    const packet = new Uint8Array(20 + whole.length);
    const view = viewOf(packet);
    writeIpv4(packet, view, 0, ip.tos, packet.length, id, 0, ip.ttl, protocol, src, dst);
    packet.set(whole, 20);
    const drop = this.#whole.parse(packet, view, 0, packet.length);
    return drop !== 0 ? drop : this.#deliver(net, this.#whole, packet, view, false);
  }

  /** Sends what is not for us further (RFC 1812 section 5.2). */
  #forward(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView): number {
    const stack = this.#stack;
    if (stack.frozen) return 0;
    const start = ip.payloadOffset - ip.headerLength;
    if (ip.ttl <= 1) {
      stack.icmp.sendError(net, ip, bytes, start, ip.totalLength, ICMP_TIME_EXCEEDED, 0, 0);
      return Drop.TtlExceeded;
    }
    const route = stack.routes.lookup(ip.dst);
    if (route === null || route.net.loopback) {
      this.counters.notForwarded++;
      this.#unreachable(net, ip, bytes, HOST_UNREACHABLE);
      return Drop.NoRoute;
    }
    const { mtu } = route.net.device;
    if (ip.totalLength > mtu && ip.df) {
      stack.icmp.sendError(net, ip, bytes, start, ip.totalLength, ICMP_UNREACHABLE, FRAGMENTATION_NEEDED, mtu);
      return 0;
    }
    this.counters.forwarded++;
    const { frame } = stack;
    const header = ip.headerLength;
    const most = ip.totalLength <= mtu ? ip.payloadLength : (mtu - header) & ~7;
    for (let from = 0; from < ip.payloadLength; from += most) {
      const length = Math.min(most, ip.payloadLength - from);
      const at = TX_HEADROOM + route.net.linkHeader;
      frame.reset();
      frame.header.set(bytes.subarray(start, start + header), at);
      frame.header[at + 8] = ip.ttl - 1;
      if (most === ip.payloadLength) {
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
    return 0;
  }

  /** Sends the stack's frame, whose pieces are an IP payload of `length` bytes, in fragments if it must be. */
  send(source: number, destination: number, protocol: number, length: number, options: SendOptions = {}): boolean {
    const stack = this.#stack;
    if (stack.frozen) return false;
    const route = options.net === undefined ? stack.routeFrom(source, destination) : null;
    const net = options.net ?? route?.net;
    if (net === undefined) return false;
    const hop = route === null || route.gateway === 0 ? destination : route.gateway;
    const tos = options.tos ?? 0;
    const ttl = options.ttl ?? (destination >>> 28 === 14 ? 1 : DEFAULT_TTL);
    const mtu = stack.paths.get(destination, net.device.mtu, stack.now());
    const id = stack.random.u32() & 0xffff;
    const { frame } = stack;
    const at = TX_HEADROOM + net.linkHeader;
    const head = (payload: number, fragment: number): void => {
      writeIpv4(frame.header, frame.view, at, tos, 20 + payload, id, fragment, ttl, protocol, source, destination);
      frame.headerLength = at + 20 - TX_HEADROOM;
    };
    if (20 + length <= mtu) {
      head(length, 0);
      return net.output(hop, ETHERTYPE_IPV4);
    }
    const whole = frame.gather();
    const { committed } = frame;
    const most = (mtu - 20) & ~7;
    let sent = true;
    for (let from = 0; from < length; from += most) {
      const part = Math.min(most, length - from);
      frame.reset();
      frame.committed = committed;
      frame.addPiece(whole, from, part);
      head(part, (from + part < length ? MORE_FRAGMENTS : 0) | (from >>> 3));
      this.counters.fragmentsSent++;
      sent = net.output(hop, ETHERTYPE_IPV4) && sent;
    }
    return sent;
  }
}

/** Loose or strict source route, or options that do not add up. */
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

/** The way back of a packet that has come to the end of its source route, else null (RFC 9293 MUST-53). */
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
      // The pointer behind the option: every hop has been passed.
      if (length < 3 || (length - 3) % 4 !== 0 || bytes[at + 2] <= length) return null;
      const back: number[] = [];
      for (let hop = at + length - 4; hop > at + 2; hop -= 4) back.push(view.getUint32(hop));
      return back;
    }
    at += length;
  }
  return null;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
