/** The way from one local IPv4 address to one peer: writes Ethernet and IPv4 headers in front of a transport segment. */
import { TX_HEADROOM } from '../lib/device/device.js';
import { ETHERTYPE_IPV4, writeEthernet } from '../lib/packet/ethernet.js';
import { writeIpv4 } from '../lib/packet/ipv4.js';
import type { NetInterface } from './interface.js';
import type { Neighbour } from './neighbours.js';
import type { TcpRoute } from './tcp/connection.js';

const DONT_FRAGMENT = 0x4000;
const PROTOCOL_TCP = 6;

export class Ipv4Route implements TcpRoute {
  readonly version = 4;
  readonly ipHeader = 20;
  ttl = 0;
  dscp = 0;
  readonly pseudoSum: number;
  readonly tcpOffset: number;
  readonly mtu: number;
  #neighbour: Neighbour | null = null;
  #id = 1;

  constructor(
    readonly net: NetInterface,
    readonly source: number,
    readonly destination: number,
    /** The peer itself, or the gateway. */
    readonly nextHop: number,
  ) {
    this.mtu = net.stack.paths.get(destination, net.device.mtu, net.stack.now());
    this.tcpOffset = TX_HEADROOM + net.linkHeader + 20;
    this.pseudoSum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + PROTOCOL_TCP;
  }

  get canChecksum(): boolean {
    return this.net.device.capabilities.checksum;
  }

  get canSegment(): boolean {
    return this.net.device.capabilities.tso4;
  }

  suspect(): void {
    if (this.net.linkHeader > 0) this.net.neighbours.suspect(this.nextHop);
  }

  send(tcpLength: number, ecn: number): boolean {
    const { net } = this;
    const frame = net.stack.frame;
    const at = TX_HEADROOM + net.linkHeader;
    const total = 20 + tcpLength;
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
      this.destination,
    );
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
}
