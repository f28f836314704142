/**
 * Routing of one stack: which interface has an address, which route leads to another host, and
 * which local address to send from (RFC 1122 section 3.3.1, RFC 6724).
 */
import { FtError } from '../../lib/errors.js';
import { type AddressBook, isV6 } from '../core/address-book.js';
import type { Link } from '../core/link-context.js';
import { MAX_ROUTES, type Route, type RouteTable } from '../core/route-table.js';
import { parseAddress, parseNetwork } from './address-text.js';

/** How a network is reached: through a gateway, an interface, or both. */
export interface RouteVia {
  gateway?: string;
  /** Name of the interface. */
  interface?: string;
}

/** Interfaces and routes. Addresses are numbers of the address book. */
export class Routing<L extends Link = Link> {
  readonly interfaces: L[] = [];
  /** The interface that leads to the stack itself. */
  loopback: L | null = null;

  constructor(
    readonly book: AddressBook,
    readonly routes: RouteTable,
  ) {}

  /** The interface that has an address, or null. */
  interfaceOf(address: number): L | null {
    for (const net of this.interfaces) if (net.hasAddress(address)) return net;
    return null;
  }

  /** Whether an interface has the address. */
  isLocal(address: number): boolean {
    return this.interfaceOf(address) !== null;
  }

  /**
   * Whether the address can be one host's: not unspecified, no group, no broadcast of any
   * interface.
   */
  isUnicast(address: number): boolean {
    if (this.book.isUnspecified(address) || this.book.isMulticast(address)) return false;
    for (const net of this.interfaces) if (net.isBroadcast(address)) return false;
    return true;
  }

  /**
   * The route from one of our addresses to another host, or to ourselves through the loopback; null
   * for none.
   */
  routeFrom(source: number, destination: number): Route | null {
    if (isV6(source) !== isV6(destination)) return null;
    if (this.loopback !== null && this.isLocal(destination)) return hostRoute(destination, this.loopback);
    const net = this.interfaceOf(source);
    if (net === null) return null;
    if (this.book.isMulticast(destination) || net.isBroadcast(destination)) return hostRoute(destination, net);
    if (net.loopback) return null;
    // The most specific route, through the source's own interface if that has one as well.
    const route = this.routes.lookup(destination, net);
    if (route === null || route.net === net) return route;
    return this.routes.through(net, destination) ?? route;
  }

  /** The local address to reach a peer from, 0 for none. */
  sourceFor(remote: number): number {
    if (this.loopback !== null && this.isLocal(remote)) return remote;
    const route = this.routes.lookup(remote);
    if (route !== null) return route.net.sourceFor(route.gateway !== 0 && !isV6(remote) ? route.gateway : remote);
    if (!this.book.isMulticast(remote) && remote !== 0xffffffff) return 0;
    for (const net of this.interfaces) {
      const source = net.loopback ? 0 : net.sourceFor(remote);
      if (source !== 0) return source;
    }
    return 0;
  }

  /**
   * Adds a route.
   * @param to "A.B.C.D/LEN", "v6/LEN" or "default"
   * @throws FtError EINVAL, ENETUNREACH, ENOBUFS
   */
  addRoute(to: string, via: RouteVia): void {
    const gateway = via.gateway === undefined ? 0 : parseAddress(this.book, via.gateway);
    const { v6, network, prefix } = parseNetwork(this.book, to, gateway);
    if (gateway !== 0 && isV6(gateway) !== v6)
      throw new FtError(
        'EINVAL',
        `The gateway ${via.gateway} is of another family than ${to}`,
        'Use one of the same family',
      );
    let net: Link | null = null;
    if (via.interface !== undefined) net = this.interfaces.find((one) => one.name === via.interface) ?? null;
    else if (gateway !== 0) net = this.routes.lookup(gateway)?.net ?? null;
    if (net === null)
      throw new FtError(
        'ENETUNREACH',
        `No interface reaches ${via.gateway ?? via.interface ?? to}`,
        'Give a gateway in a network of an interface, or the name of an interface',
      );
    if (!this.routes.add({ v6, network, prefix, net, gateway }))
      throw new FtError('ENOBUFS', 'Too many routes', `The maximum is ${MAX_ROUTES}`);
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const { network, gateway } of this.routes.all) {
      mark(network);
      mark(gateway);
    }
  }
}

function hostRoute(destination: number, net: Link): Route {
  return { v6: isV6(destination), network: destination, prefix: 32, net, gateway: 0 };
}
