/** IPv6 (RFC 8200): what arrives for us, what is not whole, what goes further, and what leaves. */
import { TX_HEADROOM } from '../../lib/device/device.js';
import { Drop } from '../../lib/packet/drop.js';
import { ETHERTYPE_IPV6 } from '../../lib/packet/ethernet.js';
import {
  ICMP6_PARAMETER_PROBLEM,
  ICMP6_TIME_EXCEEDED,
  ICMP6_TOO_BIG,
  ICMP6_UNREACHABLE,
} from '../../lib/packet/icmp6.js';
import { FRAGMENT, IPV6_HEADER, Ipv6View, NO_NEXT_HEADER, writeIpv6 } from '../../lib/packet/ipv6.js';
import type { NetInterface } from '../link/interface.js';
import type { Stack } from '../stack.js';
import { PROTOCOL_TCP, PROTOCOL_UDP, type SendOptions, viewOf } from './ipv4.js';
import { IpReassembly } from './reassembly.js';

export const PROTOCOL_ICMP6 = 58;
/** RFC 8200 section 4.5. */
const REASSEMBLY_US = 60_000_000;
const MIN_MTU = 1280;

export class Ipv6 {
  readonly counters = { forwarded: 0, fragmentsSent: 0, notForwarded: 0, bookFull: 0 };
  readonly fragments: IpReassembly;
  readonly #whole = new Ipv6View();
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.fragments = new IpReassembly(
      {
        now: () => stack.now(),
        schedule: (node, deadlineUs) => stack.wheel.schedule(node, deadlineUs),
        cancel: (node) => stack.wheel.cancel(node),
        timedOut: (source, destination, quote) => {
          const net = stack.interfaceOf(destination);
          if (net !== null && quote !== null)
            stack.icmp6.sendError(net, source, destination, quote, 0, quote.length, ICMP6_TIME_EXCEEDED, 1, 0);
        },
      },
      REASSEMBLY_US,
    );
  }

  /** @returns a drop reason, 0 for none. */
  input(net: NetInterface, ip: Ipv6View, bytes: Uint8Array, view: DataView, csumOk: boolean, parsed: number): number {
    const stack = this.#stack;
    stack.counters.inPackets++;
    if (parsed !== 0 && parsed !== Drop.Ipv6Problem) return parsed;
    const { book } = stack;
    const src = book.intern(bytes, ip.offset + 8);
    const dst = src < 0 ? -1 : book.intern(bytes, ip.offset + 24);
    if (dst < 0) {
      this.counters.bookFull++;
      return Drop.Ipv6BadSource;
    }
    if (book.isMulticast(src) || (net.hasAddress(src) && !net.loopback)) return Drop.Ipv6BadSource;
    const unicast = net.hasAddress(dst) || ((net.loopback || stack.forwarding) && stack.isLocal(dst));
    const group = !unicast && book.isMulticast(dst) && net.hasGroup6(dst);
    if (!unicast && !group) {
      if (stack.forwarding && !book.isMulticast(dst) && !book.isLinkLocal(dst) && !book.isLinkLocal(src)) {
        return parsed === 0 || ip.problemCode === 0 ? this.#forward(net, ip, src, dst, bytes) : parsed;
      }
      stack.counters.notForUs++;
      return 0;
    }
    if (stack.frozen) return 0;
    if (parsed === Drop.Ipv6Problem) {
      if (ip.problemCode >= 0 && (unicast || ip.problemToMulticast)) {
        const { offset, totalLength, problemCode, problemAt } = ip;
        const type = ICMP6_PARAMETER_PROBLEM;
        stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, type, problemCode, problemAt, true);
      }
      return parsed;
    }
    if (ip.fragment) return this.#fragment(net, ip, src, dst, bytes);
    return this.#deliver(net, ip, src, dst, bytes, view, csumOk);
  }

  #deliver(
    net: NetInterface,
    ip: Ipv6View,
    src: number,
    dst: number,
    bytes: Uint8Array,
    view: DataView,
    csumOk: boolean,
  ): number {
    const stack = this.#stack;
    const { payloadOffset, payloadLength, offset, totalLength } = ip;
    switch (ip.protocol) {
      case PROTOCOL_TCP:
        if (!stack.isLocal(dst)) return 0;
        return stack.tcpInput(src, dst, ip.trafficClass, bytes, view, payloadOffset, payloadLength, csumOk);
      case PROTOCOL_UDP: {
        const drop = stack.udp.input(src, dst, bytes, view, payloadOffset, payloadLength, csumOk, net);
        if (drop !== Drop.UdpPort) return drop;
        stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_UNREACHABLE, 4, 0);
        return 0;
      }
      case PROTOCOL_ICMP6:
        return stack.icmp6.input(net, ip, src, dst, bytes, view, csumOk);
      case NO_NEXT_HEADER:
        return 0;
      default:
        if (stack.raw.deliver(ip.protocol, src, dst, bytes, payloadOffset, payloadLength)) return 0;
        stack.icmp6.sendError(
          net,
          src,
          dst,
          bytes,
          offset,
          totalLength,
          ICMP6_PARAMETER_PROBLEM,
          1,
          ip.protocolAt - offset,
        );
        return Drop.Ipv4Protocol;
    }
  }

  #fragment(net: NetInterface, ip: Ipv6View, src: number, dst: number, bytes: Uint8Array): number {
    const stack = this.#stack;
    stack.counters.fragments++;
    const { fragmentId, fragmentOffset, more, offset, totalLength } = ip;
    // What is fragmented begins behind the fragment header; further headers may stand there in the first one.
    const at = this.#fragmentStart(ip, bytes);
    const length = offset + totalLength - at;
    if (more && (length & 7) !== 0) {
      stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_PARAMETER_PROBLEM, 0, 4);
      return Drop.FragmentTooLong;
    }
    if (fragmentOffset + length > 65_535) {
      stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_PARAMETER_PROBLEM, 0, at - 6 - offset);
      return Drop.FragmentTooLong;
    }
    const whole = this.fragments.add(
      src,
      dst,
      bytes[at - 8],
      false,
      fragmentId,
      fragmentOffset,
      more,
      bytes,
      offset,
      at,
      length,
    );
    if (whole === null) return this.fragments.drop;
    const next = this.fragments.protocol;
    if (whole.length > 65_535) return Drop.FragmentTooLong;
    const packet = new Uint8Array(IPV6_HEADER + whole.length);
    const view = viewOf(packet);
    writeIpv6(packet, view, 0, ip.trafficClass, ip.flowLabel, whole.length, next, ip.hopLimit);
    stack.book.write(src, packet, 8);
    stack.book.write(dst, packet, 24);
    packet.set(whole, IPV6_HEADER);
    const drop = this.#whole.parse(packet, view, 0, packet.length);
    if (drop !== 0 || this.#whole.fragment) return drop !== 0 ? drop : Drop.Ipv6Extension;
    return this.#deliver(net, this.#whole, src, dst, packet, view, false);
  }

  /** Where the bytes behind the fragment header begin. */
  #fragmentStart(ip: Ipv6View, bytes: Uint8Array): number {
    let at = ip.offset + IPV6_HEADER;
    let next = bytes[ip.offset + 6];
    while (next !== FRAGMENT) {
      const size = 8 * (bytes[at + 1] + 1);
      next = bytes[at];
      at += size;
    }
    return at + 8;
  }

  #forward(net: NetInterface, ip: Ipv6View, src: number, dst: number, bytes: Uint8Array): number {
    const stack = this.#stack;
    if (stack.frozen) return 0;
    const { offset, totalLength } = ip;
    if (ip.hopLimit <= 1) {
      stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_TIME_EXCEEDED, 0, 0);
      return Drop.TtlExceeded;
    }
    const route = stack.routes.lookup(dst);
    if (route === null || route.net.loopback) {
      this.counters.notForwarded++;
      stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_UNREACHABLE, 0, 0);
      return Drop.NoRoute;
    }
    const { mtu } = route.net.device;
    if (totalLength > mtu) {
      stack.icmp6.sendError(net, src, dst, bytes, offset, totalLength, ICMP6_TOO_BIG, 0, mtu);
      return 0;
    }
    this.counters.forwarded++;
    const { frame } = stack;
    const at = TX_HEADROOM + route.net.linkHeader;
    frame.reset();
    frame.header.set(bytes.subarray(offset, offset + IPV6_HEADER), at);
    frame.header[at + 7] = ip.hopLimit - 1;
    frame.headerLength = at + IPV6_HEADER - TX_HEADROOM;
    if (totalLength > IPV6_HEADER) frame.addPiece(bytes, offset + IPV6_HEADER, totalLength - IPV6_HEADER);
    route.net.output(route.gateway === 0 ? dst : route.gateway, ETHERTYPE_IPV6);
    return 0;
  }

  /** Sends the stack's frame, whose pieces are an IP payload of `length` bytes, in fragments if it must be. */
  send(source: number, destination: number, protocol: number, length: number, options: SendOptions = {}): boolean {
    const stack = this.#stack;
    if (stack.frozen) return false;
    const { book, frame } = stack;
    const multicast = book.isMulticast(destination);
    const route = options.net === undefined ? stack.routeFrom(source, destination) : null;
    const net = options.net ?? route?.net;
    if (net === undefined) return false;
    const hop = route === null || route.gateway === 0 ? destination : route.gateway;
    const hopLimit = options.ttl ?? (multicast ? 1 : net.hopLimit);
    const at = TX_HEADROOM + net.linkHeader;
    const head = (payload: number, next: number): void => {
      writeIpv6(frame.header, frame.view, at, options.tos ?? 0, 0, payload, next, hopLimit);
      book.write(source, frame.header, at + 8);
      book.write(destination, frame.header, at + 24);
      frame.headerLength = at + IPV6_HEADER - TX_HEADROOM;
    };
    const mtu = Math.max(MIN_MTU, stack.paths.get(destination, net.mtu6, stack.now()));
    if (IPV6_HEADER + length <= mtu) {
      head(length, protocol);
      return net.output(hop, ETHERTYPE_IPV6);
    }
    const whole = frame.gather();
    const { committed } = frame;
    const most = (mtu - IPV6_HEADER - 8) & ~7;
    const id = stack.random.u32();
    let sent = true;
    for (let from = 0; from < length; from += most) {
      const part = Math.min(most, length - from);
      frame.reset();
      frame.committed = committed;
      frame.addPiece(whole, from, part);
      head(part + 8, FRAGMENT);
      const extension = at + IPV6_HEADER;
      frame.header[extension] = protocol;
      frame.header[extension + 1] = 0;
      frame.view.setUint16(extension + 2, from | (from + part < length ? 1 : 0));
      frame.view.setUint32(extension + 4, id);
      frame.headerLength += 8;
      this.counters.fragmentsSent++;
      sent = net.output(hop, ETHERTYPE_IPV6) && sent;
    }
    return sent;
  }
}
