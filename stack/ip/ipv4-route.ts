/**
 * The path from one local IPv4 address to one peer: writes the IPv4 header in front of a TCP
 * segment.
 */

import { finish, sum16 } from '../../lib/checksum.js';
import { TX_HEADROOM } from '../../lib/device/device.js';
import { ETHERTYPE_IPV4 } from '../../lib/packet/ethernet.js';
import { type Ipv4Fields, writeIpv4 } from '../../lib/packet/ipv4.js';
import type { StackContext } from '../core/context.js';
import { PROTOCOL_TCP } from '../core/protocols.js';
import type { TcpRoute } from '../core/tcp-route.js';
import { IpRoute, type PathEnds } from './ip-route.js';

const NO_OPTIONS = new Uint8Array(0);
const NO_HOPS: readonly number[] = [];

const DONT_FRAGMENT = 0x4000;
const DEFAULT_TTL = 64;
const NOP = 1;
const LOOSE_ROUTE = 131;

/** Of the packet that is sent; one object for all routes. */
const header: Ipv4Fields = {
  tos: 0,
  totalLength: 0,
  id: 0,
  fragment: DONT_FRAGMENT,
  ttl: DEFAULT_TTL,
  protocol: PROTOCOL_TCP,
  src: 0,
  dst: 0,
};

/** A path over IPv4, possibly through a loose source route. */
export class Ipv4Route extends IpRoute implements TcpRoute {
  readonly version = 4;
  readonly ipHeader: number;
  readonly pseudoSum: number;
  readonly tcpOffset: number;
  readonly mtu: number;
  readonly linkMtu: number;
  #id = 1;
  /** Loose source route (RFC 791 section 3.1), padded in front. */
  readonly #options: Uint8Array;

  /** @param via hosts to visit on the way, at most 8 (RFC 9293 MUST-51) */
  constructor(
    stack: StackContext,
    ends: PathEnds,
    readonly via: readonly number[] = NO_HOPS,
  ) {
    super(stack, ends);
    const { net, source, destination } = ends;
    this.#options = looseRoute(via, destination);
    this.ipHeader = 20 + this.#options.length;
    this.linkMtu = net.device.mtu;
    this.mtu = stack.paths.get(destination, this.linkMtu, stack.now());
    this.tcpOffset = TX_HEADROOM + net.linkHeader + this.ipHeader;
    // The checksum covers the final destination, whatever the first hop is (RFC 9293 section 3.1).
    this.pseudoSum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + PROTOCOL_TCP;
  }

  get canSegment(): boolean {
    return this.net.device.capabilities.tso4 && this.via.length === 0;
  }

  suspect(): void {
    if (this.net.linkHeader > 0) this.net.neighbours.suspect(this.nextHop);
  }

  send(tcpLength: number, ecn: number): boolean {
    const { frame } = this.stack;
    const at = TX_HEADROOM + this.net.linkHeader;
    header.tos = (this.dscp << 2) | ecn;
    header.totalLength = this.ipHeader + tcpLength;
    header.ttl = this.ttl > 0 ? this.ttl : DEFAULT_TTL;
    header.id = this.#id;
    header.src = this.source;
    header.dst = this.via[0] ?? this.destination;
    writeIpv4(frame.header, frame.view, at, header);
    this.#id = (this.#id + 1) & 0xffff;
    if (this.#options.length > 0) this.#writeOptions(frame.header, frame.view, at);
    return this.transmit(this.net.neighbours, ETHERTYPE_IPV4);
  }

  #writeOptions(bytes: Uint8Array, view: DataView, at: number): void {
    bytes[at] = 0x40 | (this.ipHeader / 4);
    bytes.set(this.#options, at + 20);
    view.setUint16(at + 10, 0);
    view.setUint16(at + 10, finish(sum16(bytes, at, this.ipHeader, 0)));
  }
}

/** The option for a path over `via` to `destination`; the first hop is in the header itself. */
function looseRoute(via: readonly number[], destination: number): Uint8Array {
  if (via.length === 0) return NO_OPTIONS;
  const out = new Uint8Array(4 + 4 * via.length);
  const view = new DataView(out.buffer);
  out.set([NOP, LOOSE_ROUTE, 3 + 4 * via.length, 4]);
  for (const [i, address] of [...via.slice(1), destination].entries()) view.setUint32(4 + 4 * i, address);
  return out;
}
