/**
 * Where packets go: networks of the interfaces, default gateways and routes that were added,
 * longest prefix first.
 */

import { type AddressBook, isV6 } from './address-book.js';
import type { Link } from './link-context.js';

/** A route. Addresses are numbers of the address book. */
export interface Route {
  readonly v6: boolean;
  /** Any address of the network. */
  readonly network: number;
  /** Bits of `network` that count: 0 to 32 or 128. */
  readonly prefix: number;
  readonly net: Link;
  /** The next hop; 0 when the destination is on the link. */
  readonly gateway: number;
}

/** Maximum number of routes. */
export const MAX_ROUTES = 1024;

/** Routes of both families, in the order of their prefix lengths. */
export class RouteTable {
  #routes: Route[] = [];

  constructor(readonly book: AddressBook) {}

  /** All routes, longest prefix first. */
  get all(): readonly Route[] {
    return this.#routes;
  }

  /** @returns false when the table is full. */
  add(route: Route): boolean {
    if (this.#routes.length >= MAX_ROUTES) return false;
    const behind = this.#routes.findIndex((other) => other.prefix < route.prefix);
    if (behind < 0) this.#routes.push(route);
    else this.#routes.splice(behind, 0, route);
    return true;
  }

  /** Removes the routes that match. */
  remove(match: (route: Route) => boolean): void {
    this.#routes = this.#routes.filter((route) => !match(route));
  }

  /** The most specific route, one through `preferred` if several are; null for none. */
  lookup(address: number, preferred: Link | null = null): Route | null {
    let best: Route | null = null;
    for (const route of this.#routes) {
      if (best !== null && route.prefix < best.prefix) break;
      if (!this.#matches(route, address)) continue;
      if (preferred === null || route.net === preferred) return route;
      best ??= route;
    }
    return best;
  }

  /** The most specific route through one interface. */
  through(net: Link, address: number): Route | null {
    for (const route of this.#routes) if (route.net === net && this.#matches(route, address)) return route;
    return null;
  }

  #matches({ v6, network, prefix }: Route, address: number): boolean {
    if (v6 !== isV6(address)) return false;
    if (prefix === 0) return true;
    if (v6) return this.book.samePrefix(network, address, prefix);
    const mask = (0xffffffff << (32 - prefix)) >>> 0;
    return (network & mask) >>> 0 === (address & mask) >>> 0;
  }
}
