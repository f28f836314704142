/** The way from one local IPv4 address to one peer: writes Ethernet and IPv4 headers in front of a transport segment. */

import { finish, sum16 } from '../../lib/checksum.js';
import { TX_HEADROOM } from '../../lib/device/device.js';
import { ETHERTYPE_IPV4, writeEthernet } from '../../lib/packet/ethernet.js';
import { writeIpv4 } from '../../lib/packet/ipv4.js';
import type { NetInterface } from '../link/interface.js';
import type { Neighbour } from '../link/neighbours.js';
import type { TcpRoute } from '../tcp/connection.js';

const NO_OPTIONS = new Uint8Array(0);
const NO_HOPS: readonly number[] = [];

const DONT_FRAGMENT = 0x4000;
const PROTOCOL_TCP = 6;
const LOOSE_ROUTE = 131;

export class Ipv4Route implements TcpRoute {
  readonly version = 4;
  readonly ipHeader: number;
  ttl = 0;
  dscp = 0;
  readonly pseudoSum: number;
  readonly tcpOffset: number;
  readonly mtu: number;
  #neighbour: Neighbour | null = null;
  #id = 1;
  /** Loose source route (RFC 791 section 3.1), padded in front. */
  readonly #options: Uint8Array;

  constructor(
    readonly net: NetInterface,
    readonly source: number,
    readonly destination: number,
    /** The peer itself, or the gateway. */
    readonly nextHop: number,
    /** Hosts to pass on the way, at most 8 (RFC 9293 MUST-51). */
    readonly via: readonly number[] = NO_HOPS,
  ) {
    this.#options = looseRoute(via, destination);
    this.ipHeader = 20 + this.#options.length;
    this.mtu = net.stack.paths.get(destination, net.device.mtu, net.stack.now());
    this.tcpOffset = TX_HEADROOM + net.linkHeader + this.ipHeader;
    // The checksum is over the last destination, wherever the packet goes first.
    this.pseudoSum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + PROTOCOL_TCP;
  }

  get canChecksum(): boolean {
    return this.net.device.capabilities.checksum;
  }

  get canSegment(): boolean {
    return this.net.device.capabilities.tso4 && this.via.length === 0;
  }

  suspect(): void {
    if (this.net.linkHeader > 0) this.net.neighbours.suspect(this.nextHop);
  }

  send(tcpLength: number, ecn: number): boolean {
    const { net } = this;
    const frame = net.stack.frame;
    const at = TX_HEADROOM + net.linkHeader;
    const total = this.ipHeader + tcpLength;
    writeIpv4(
      frame.header,
      frame.view,
      at,
      (this.dscp << 2) | ecn,
      total,
      this.#id,
      DONT_FRAGMENT,
      this.ttl > 0 ? this.ttl : 64,
      PROTOCOL_TCP,
      this.source,
      this.via[0] ?? this.destination,
    );
    if (this.#options.length > 0) this.#writeOptions(frame.header, frame.view, at);
    this.#id = (this.#id + 1) & 0xffff;
    if (net.linkHeader === 0) return net.transmit();
    let neighbour = this.#neighbour;
    if (neighbour === null || !neighbour.resolved || neighbour !== net.neighbours.peek(this.nextHop)) {
      neighbour = net.neighbours.lookup(this.nextHop);
      this.#neighbour = neighbour;
    } else {
      neighbour.usedUs = net.stack.now();
    }
    writeEthernet(frame.header, frame.view, TX_HEADROOM, neighbour.mac, net.mac, ETHERTYPE_IPV4);
    if (!neighbour.resolved) {
      net.hold(neighbour);
      return true;
    }
    return net.transmit();
  }

  #writeOptions(header: Uint8Array, view: DataView, at: number): void {
    header[at] = 0x40 | (this.ipHeader / 4);
    header.set(this.#options, at + 20);
    view.setUint16(at + 10, 0);
    view.setUint16(at + 10, finish(sum16(header, at, this.ipHeader, 0)));
  }
}

/** The option for a way over `via` to `destination`; the first hop stands in the header itself. */
function looseRoute(via: readonly number[], destination: number): Uint8Array {
  if (via.length === 0) return NO_OPTIONS;
  const out = new Uint8Array(4 + 4 * via.length);
  const view = new DataView(out.buffer);
  out.set([1, LOOSE_ROUTE, 3 + 4 * via.length, 4]);
  for (const [i, address] of [...via.slice(1), destination].entries()) view.setUint32(4 + 4 * i, address);
  return out;
}
