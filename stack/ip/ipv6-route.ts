/** The way from one local IPv6 address to one peer: writes Ethernet and IPv6 headers in front of a transport segment. */
import { TX_HEADROOM } from '../../lib/device/device.js';
import { ETHERTYPE_IPV6, writeEthernet } from '../../lib/packet/ethernet.js';
import { writeIpv6 } from '../../lib/packet/ipv6.js';
import type { NetInterface } from '../link/interface.js';
import type { Neighbour } from '../link/neighbours.js';
import type { TcpRoute } from '../tcp/connection.js';

const PROTOCOL_TCP = 6;

export class Ipv6Route implements TcpRoute {
  readonly version = 6;
  readonly ipHeader = 40;
  ttl = 0;
  dscp = 0;
  readonly pseudoSum: number;
  readonly tcpOffset: number;
  readonly mtu: number;
  #neighbour: Neighbour | null = null;
  readonly #addresses = new Uint8Array(32);
  readonly #flowLabel: number;

  constructor(
    readonly net: NetInterface,
    readonly source: number,
    readonly destination: number,
    /** The peer itself, or the gateway. */
    readonly nextHop: number,
  ) {
    this.mtu = net.stack.paths.get(destination, net.mtu6, net.stack.now());
    this.tcpOffset = TX_HEADROOM + net.linkHeader + 40;
    const { book } = net.stack;
    this.pseudoSum = book.sum(source) + book.sum(destination) + PROTOCOL_TCP;
    book.write(source, this.#addresses, 0);
    book.write(destination, this.#addresses, 16);
    // RFC 6437: one label per flow, so that routers may keep its packets on one path.
    this.#flowLabel = net.stack.hash.hash(this.#addresses, 32) & 0xfffff;
  }

  get canChecksum(): boolean {
    return this.net.device.capabilities.checksum;
  }

  get canSegment(): boolean {
    return this.net.device.capabilities.tso6;
  }

  suspect(): void {
    if (this.net.linkHeader > 0) this.net.neighbours6.suspect(this.nextHop);
  }

  send(tcpLength: number, ecn: number): boolean {
    const { net } = this;
    const frame = net.stack.frame;
    const at = TX_HEADROOM + net.linkHeader;
    const hops = this.ttl > 0 ? this.ttl : net.hopLimit;
    const trafficClass = (this.dscp << 2) | ecn;
    writeIpv6(frame.header, frame.view, at, trafficClass, this.#flowLabel, tcpLength, PROTOCOL_TCP, hops);
    frame.header.set(this.#addresses, at + 8);
    if (net.linkHeader === 0) return net.transmit();
    let neighbour = this.#neighbour;
    if (neighbour === null || !neighbour.resolved || neighbour !== net.neighbours6.peek(this.nextHop)) {
      neighbour = net.neighbours6.lookup(this.nextHop);
      this.#neighbour = neighbour;
    } else {
      neighbour.usedUs = net.stack.now();
    }
    writeEthernet(frame.header, frame.view, TX_HEADROOM, neighbour.mac, net.mac, ETHERTYPE_IPV6);
    if (!neighbour.resolved) {
      net.hold(neighbour);
      return true;
    }
    return net.transmit();
  }
}
