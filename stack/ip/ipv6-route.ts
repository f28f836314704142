/**
 * The path from one local IPv6 address to one peer: writes the IPv6 header in front of a TCP
 * segment.
 */
import { TX_HEADROOM } from '../../lib/device/device.js';
import { ETHERTYPE_IPV6 } from '../../lib/packet/ethernet.js';
import { IPV6_HEADER, type Ipv6Fields, writeIpv6 } from '../../lib/packet/ipv6.js';
import type { StackContext } from '../core/context.js';
import { PROTOCOL_TCP } from '../core/protocols.js';
import type { TcpRoute } from '../core/tcp-route.js';
import { IpRoute, type PathEnds } from './ip-route.js';

/** Of the packet that is sent; one object for all routes. */
const header: Ipv6Fields = { trafficClass: 0, flowLabel: 0, payloadLength: 0, protocol: PROTOCOL_TCP, hopLimit: 0 };

/** A path over IPv6. */
export class Ipv6Route extends IpRoute implements TcpRoute {
  readonly version = 6;
  readonly ipHeader = IPV6_HEADER;
  readonly pseudoSum: number;
  readonly tcpOffset: number;
  readonly mtu: number;
  readonly linkMtu: number;
  /** Source and destination as they are in the header. */
  readonly #addresses = new Uint8Array(32);
  readonly #flowLabel: number;

  constructor(stack: StackContext, ends: PathEnds) {
    super(stack, ends);
    const { net, source, destination } = ends;
    const { book } = stack;
    this.linkMtu = net.mtu6;
    this.mtu = stack.paths.get(destination, this.linkMtu, stack.now());
    this.tcpOffset = TX_HEADROOM + net.linkHeader + IPV6_HEADER;
    this.pseudoSum = book.sum(source) + book.sum(destination) + PROTOCOL_TCP;
    book.write(source, this.#addresses, 0);
    book.write(destination, this.#addresses, 16);
    // One label per flow, so that routers can keep its packets on one path (RFC 6437).
    this.#flowLabel = stack.hash.hash(this.#addresses, 32) & 0xfffff;
  }

  get canSegment(): boolean {
    return this.net.device.capabilities.tso6;
  }

  suspect(): void {
    if (this.net.linkHeader > 0) this.net.neighbours6.suspect(this.nextHop);
  }

  send(tcpLength: number, ecn: number): boolean {
    const { frame } = this.stack;
    const at = TX_HEADROOM + this.net.linkHeader;
    header.trafficClass = (this.dscp << 2) | ecn;
    header.flowLabel = this.#flowLabel;
    header.payloadLength = tcpLength;
    header.hopLimit = this.ttl > 0 ? this.ttl : this.net.hopLimit;
    writeIpv6(frame.header, frame.view, at, header);
    frame.header.set(this.#addresses, at + 8);
    return this.transmit(this.net.neighbours6, ETHERTYPE_IPV6);
  }
}
