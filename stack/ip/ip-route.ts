/**
 * The path from one local address to one peer, the same for both IP versions: which interface,
 * which next hop, and the last step of output, the Ethernet header.
 */
import { TX_HEADROOM } from '../../lib/device/device.js';
import { writeEthernet } from '../../lib/packet/ethernet.js';
import type { StackContext } from '../core/context.js';
import type { Link } from '../core/link-context.js';
import type { Neighbour, NeighbourCache } from '../core/neighbours.js';

/** Both ends of a path and its first step. Addresses are numbers of the address book. */
export interface PathEnds {
  readonly net: Link;
  readonly source: number;
  readonly destination: number;
  /** The peer itself, or the gateway. */
  readonly nextHop: number;
}

/** What the routes of both IP versions have in common; see `TcpRoute`. */
export abstract class IpRoute {
  /** Time to live or hop limit; 0 for the default. */
  ttl = 0;
  /** Differentiated services codepoint (RFC 2474), six bits. */
  dscp = 0;
  /** The interface. */
  readonly net: Link;
  readonly source: number;
  readonly destination: number;
  /** The peer itself, or the gateway. */
  readonly nextHop: number;
  protected readonly stack: StackContext;
  #neighbour: Neighbour | null = null;

  constructor(stack: StackContext, { net, source, destination, nextHop }: PathEnds) {
    this.stack = stack;
    this.net = net;
    this.source = source;
    this.destination = destination;
    this.nextHop = nextHop;
  }

  /** Whether the device completes checksums. */
  get canChecksum(): boolean {
    return this.net.device.capabilities.checksum;
  }

  /**
   * Sends the stack's frame, complete from its IP header on.
   * @param cache the interface's neighbours of this IP version
   * @returns false when the device is busy
   */
  protected transmit(cache: NeighbourCache, etherType: number): boolean {
    const { net, stack } = this;
    if (net.linkHeader === 0) return net.transmit();
    let neighbour = this.#neighbour;
    if (neighbour === null || !neighbour.resolved || neighbour !== cache.peek(this.nextHop)) {
      neighbour = cache.lookup(this.nextHop);
      this.#neighbour = neighbour;
    } else {
      neighbour.usedUs = stack.now();
    }
    writeEthernet(stack.frame.header, TX_HEADROOM, neighbour.mac, net.mac, etherType);
    if (!neighbour.resolved) {
      net.hold(neighbour);
      return true;
    }
    return net.transmit();
  }
}
