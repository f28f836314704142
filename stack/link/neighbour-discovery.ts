/**
 * Neighbour discovery of one interface (RFC 4861), duplicate address detection and
 * autoconfiguration (RFC 4862), and multicast listener reports (RFC 3810). The cache itself is
 * neighbours.ts, the same as for ARP.
 */
import { Drop } from '../../lib/packet/drop.js';
import {
  type Icmp6View,
  MLD_QUERY,
  MLD2_REPORT,
  NEIGHBOUR_ADVERTISEMENT,
  NEIGHBOUR_SOLICITATION,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
} from '../../lib/packet/icmp6.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { SendOptions, StackContext } from '../core/context.js';
import type { IpPacket } from '../core/ip-packet.js';
import type { Address6, Link, LinkHost } from '../core/link-context.js';
import { sameMac } from './arp.js';

const SOURCE_LINK = 1;
const TARGET_LINK = 2;
const PREFIX = 3;
const MTU = 5;
const SOLICITED = 0x40000000;
const OVERRIDE = 0x20000000;
/** RFC 4861 section 10. */
const RETRANS_US = 1_000_000;
const MAX_SOLICITATIONS = 3;
const SOLICITATION_INTERVAL_US = 4_000_000;
/** Addresses that router advertisements may give one interface. */
const MAX_AUTO = 16;

/** What neighbour discovery uses of the stack beside its context. */
interface NdStack {
  readonly icmp6: {
    message(source: number, destination: number, message: Uint8Array, options?: SendOptions): boolean;
  };
}

/** Neighbour discovery, address configuration and MLD of one interface. */
export class NeighbourDiscovery {
  readonly counters = { conflicts: 0, inAdvertisements: 0, inSolicitations: 0, inRouterAdvertisements: 0, refused: 0 };
  readonly #stack: StackContext & NdStack;
  readonly #net: LinkHost;
  #solicitations = 0;
  readonly #solicitTimer: TimerNode;
  readonly #routerTimers = new Map<number, TimerNode>();
  readonly #mld: TimerNode;

  constructor(stack: StackContext & NdStack, net: LinkHost) {
    this.#stack = stack;
    this.#net = net;
    this.#solicitTimer = new TimerNode(() => this.#solicitRouters());
    this.#mld = new TimerNode(() => this.#report());
  }

  // --- In ---

  /** Everything of ICMPv6 that is not error or echo. @returns a drop reason, 0 for none. */
  input(icmp: Icmp6View, packet: IpPacket): number {
    const { bytes, view, payloadOffset: at, payloadLength: length } = packet;
    if (icmp.type === MLD_QUERY) {
      if (packet.hopLimit !== 1 || length < 24) return Drop.NdFormat;
      this.#queried(view.getUint16(at + 4));
      return 0;
    }
    if (icmp.type < ROUTER_SOLICITATION || icmp.type > NEIGHBOUR_ADVERTISEMENT) return 0;
    // A hop limit of 255 proves that a neighbour sent it (RFC 4861 sections 6.1 and 7.1).
    if (packet.hopLimit !== 255) return Drop.NdHopLimit;
    if (icmp.code !== 0) return Drop.NdFormat;
    const head = icmp.type === ROUTER_ADVERTISEMENT ? 16 : icmp.type === ROUTER_SOLICITATION ? 8 : 24;
    if (length < head || !optionsOk(bytes, at + head, at + length)) return Drop.NdFormat;
    switch (icmp.type) {
      case NEIGHBOUR_SOLICITATION:
        return this.#solicitation(packet);
      case NEIGHBOUR_ADVERTISEMENT:
        return this.#advertisement(icmp.rest, packet);
      case ROUTER_ADVERTISEMENT:
        return this.#routerAdvertisement(packet);
      default:
        return 0;
    }
  }

  #solicitation({ src, bytes, payloadOffset: at, payloadLength: length }: IpPacket): number {
    const net = this.#net;
    const stack = this.#stack;
    const { book } = stack;
    this.counters.inSolicitations++;
    const target = book.intern(bytes, at + 8);
    if (target < 0 || book.isMulticast(target)) return Drop.NdFormat;
    const own = net.addresses6.find((entry) => entry.address === target);
    const link = optionAt(bytes, at + 24, at + length, SOURCE_LINK);
    if (book.isUnspecified(src)) {
      // Duplicate address detection of another host (RFC 4862 section 5.4.3).
      if (link >= 0) return Drop.NdFormat;
      if (own === undefined) return 0;
      if (own.tentative) this.#conflict(own);
      else this.#advertise(target, net.allNodes, OVERRIDE);
      return 0;
    }
    if (own === undefined || own.tentative) return 0;
    if (link >= 0) net.neighbours6.learn(src, bytes, link + 2, true);
    if (stack.frozen) return 0;
    this.#advertise(target, src, SOLICITED | OVERRIDE);
    return 0;
  }

  #advertisement(flags: number, { dst, bytes, payloadOffset: at, payloadLength: length }: IpPacket): number {
    const net = this.#net;
    const { book } = this.#stack;
    this.counters.inAdvertisements++;
    const target = book.intern(bytes, at + 8);
    if (target < 0 || book.isMulticast(target)) return Drop.NdFormat;
    if ((flags & SOLICITED) !== 0 && book.isMulticast(dst)) return Drop.NdFormat;
    const own = net.addresses6.find((entry) => entry.address === target);
    if (own !== undefined) {
      if (own.tentative) this.#conflict(own);
      else {
        this.counters.conflicts++;
        this.#stack.onAddressClaim?.();
      }
      return 0;
    }
    const link = optionAt(bytes, at + 24, at + length, TARGET_LINK);
    if (link < 0) return 0;
    const known = net.neighbours6.peek(target);
    // Without the override flag a known link address stays (RFC 4861 section 7.2.5).
    if (known?.resolved === true && (flags & OVERRIDE) === 0 && !sameMac(known.mac, bytes, link + 2)) return 0;
    net.neighbours6.learn(target, bytes, link + 2, false);
    return 0;
  }

  #routerAdvertisement({ src, bytes, view, payloadOffset: at, payloadLength: length }: IpPacket): number {
    const net = this.#net;
    const stack = this.#stack;
    if (!stack.book.isLinkLocal(src)) return Drop.NdFormat;
    this.counters.inRouterAdvertisements++;
    if (!net.autoconfigure) return 0;
    stack.wheel.cancel(this.#solicitTimer);
    if (bytes[at + 4] > 0) net.hopLimit = bytes[at + 4];
    const link = optionAt(bytes, at + 16, at + length, SOURCE_LINK);
    if (link >= 0) net.neighbours6.learn(src, bytes, link + 2, true);
    this.#router(src, view.getUint16(at + 6));
    for (let option = at + 16; option < at + length; option += 8 * bytes[option + 1]) {
      const size = 8 * bytes[option + 1];
      if (bytes[option] === MTU && size === 8) {
        const mtu = view.getUint32(option + 4);
        if (mtu >= 1280 && mtu <= net.device.mtu) net.mtu6 = mtu;
      } else if (bytes[option] === PREFIX && size === 32) this.#prefix(bytes, view, option);
    }
    return 0;
  }

  /** A default router for `seconds`, 0 for none any more. */
  #router(router: number, seconds: number): void {
    const net = this.#net;
    const stack = this.#stack;
    const ours = (route: { net: Link; gateway: number; prefix: number }): boolean =>
      route.net === net && route.gateway === router && route.prefix === 0;
    const timer = this.#routerTimers.get(router);
    if (seconds === 0) {
      stack.routes.remove(ours);
      if (timer !== undefined) stack.wheel.cancel(timer);
      this.#routerTimers.delete(router);
      return;
    }
    if (timer === undefined) {
      if (this.#routerTimers.size >= MAX_AUTO) {
        this.counters.refused++;
        return;
      }
      stack.routes.add({ v6: true, network: router, prefix: 0, net, gateway: router });
      this.#routerTimers.set(router, new TimerNode(() => this.#router(router, 0)));
    }
    stack.wheel.schedule(this.#routerTimers.get(router)!, stack.now() + seconds * 1e6);
  }

  /** A prefix information option (RFC 4862 section 5.5.3). */
  #prefix(bytes: Uint8Array, view: DataView, option: number): void {
    const net = this.#net;
    const stack = this.#stack;
    const { book } = stack;
    const prefix = bytes[option + 2];
    const flags = bytes[option + 3];
    const validS = view.getUint32(option + 4);
    if (prefix !== 64 || (flags & 0x40) === 0 || (bytes[option + 16] === 0xfe && (bytes[option + 17] & 0xc0) === 0x80))
      return;
    const made = bytes.slice(option + 16, option + 32);
    made.set(net.interfaceId(made), 8);
    const address = book.intern(made, 0);
    if (address < 0) return;
    const known = net.addresses6.find((entry) => entry.address === address);
    const validUs = validS === 0xffffffff ? Number.POSITIVE_INFINITY : stack.now() + validS * 1e6;
    if (known !== undefined) {
      if (!known.auto) return;
      // A forged short lifetime must not end the address at once (RFC 4862 section 5.5.3 e).
      const twoHours = stack.now() + 7200e6;
      if (validUs < known.validUs && validUs < twoHours) {
        if (known.validUs > twoHours) this.#lasts(known, twoHours);
      } else this.#lasts(known, validUs);
      return;
    }
    if (validS === 0) return;
    if (net.addresses6.filter((entry) => entry.auto).length >= MAX_AUTO) {
      this.counters.refused++;
      return;
    }
    net.addAddress6(address, 64, true, true);
    this.#lasts(net.addresses6.find((entry) => entry.address === address)!, validUs);
  }

  #lasts(entry: Address6, validUs: number): void {
    entry.validUs = validUs;
    if (!entry.tentative) this.#armEnd(entry);
  }

  #armEnd(entry: Address6): void {
    const stack = this.#stack;
    if (entry.validUs === Number.POSITIVE_INFINITY) stack.wheel.cancel(entry.timer);
    else stack.wheel.schedule(entry.timer, entry.validUs);
  }

  // --- Addresses ---

  /**
   * Asks whether another host has an address of ours, without giving up its use meanwhile. An
   * answer is a claim of the address.
   */
  probeOwn(): void {
    for (const entry of this.#net.addresses6)
      if (!entry.tentative) this.#solicit(entry.address, this.#stack.unspecified6, null, false);
  }

  /** Begins duplicate address detection (RFC 4862 section 5.4). */
  probe(entry: Address6): void {
    entry.tentative = true;
    this.#solicit(entry.address, this.#stack.unspecified6, null, false);
    this.#stack.wheel.schedule(entry.timer, this.#stack.now() + RETRANS_US);
  }

  /** The address's timer has fired: detection is over, or the address is no longer valid. */
  addressTimer(entry: Address6): void {
    const net = this.#net;
    if (entry.tentative) {
      entry.tentative = false;
      this.#armEnd(entry);
      this.announceGroups();
      return;
    }
    if (this.#stack.now() >= entry.validUs) net.removeAddress6(entry);
  }

  #conflict(entry: Address6): void {
    this.counters.conflicts++;
    this.#stack.wheel.cancel(entry.timer);
    this.#net.removeAddress6(entry);
  }

  /** Begins to solicit routers (RFC 4861 section 6.3.7). */
  start(): void {
    this.#solicitations = 0;
    this.#solicitRouters();
  }

  #solicitRouters(): void {
    const net = this.#net;
    const stack = this.#stack;
    if (this.#solicitations++ >= MAX_SOLICITATIONS || !net.autoconfigure) return;
    const source = net.linkLocal();
    const from = source === 0 ? stack.unspecified6 : source;
    const message = new Uint8Array(source === 0 ? 8 : 16);
    message[0] = ROUTER_SOLICITATION;
    if (source !== 0) putLink(message, 8, SOURCE_LINK, net.mac);
    stack.icmp6.message(from, net.allRouters, message, { net, ttl: 255 });
    stack.wheel.schedule(this.#solicitTimer, stack.now() + SOLICITATION_INTERVAL_US);
  }

  // --- Out ---

  /**
   * Asks for the link address of a neighbour: the whole link, or (with a MAC) that neighbour
   * itself.
   */
  request(address: number, mac: Uint8Array | null): void {
    const net = this.#net;
    const source = net.sourceFor(address);
    if (this.#stack.frozen || source === 0) return;
    this.#solicit(address, source, mac, true);
  }

  #solicit(target: number, source: number, mac: Uint8Array | null, withLink: boolean): void {
    const net = this.#net;
    const stack = this.#stack;
    const message = new Uint8Array(withLink ? 32 : 24);
    message[0] = NEIGHBOUR_SOLICITATION;
    stack.book.write(target, message, 8);
    if (withLink) putLink(message, 24, SOURCE_LINK, net.mac);
    const to = mac === null ? net.solicitedNode(target) : target;
    if (to >= 0) net.sendNd(source, to, message, mac);
  }

  #advertise(target: number, to: number, flags: number): void {
    const net = this.#net;
    if (this.#stack.frozen) return;
    const message = new Uint8Array(32);
    message[0] = NEIGHBOUR_ADVERTISEMENT;
    new DataView(message.buffer).setUint32(4, flags);
    this.#stack.book.write(target, message, 8);
    putLink(message, 24, TARGET_LINK, net.mac);
    net.sendNd(target, to, message, null);
  }

  /**
   * Announces our addresses and groups on the link, as after a takeover (RFC 4861 section 7.2.6).
   */
  announce(): void {
    const net = this.#net;
    for (const entry of net.addresses6) if (!entry.tentative) this.#advertise(entry.address, net.allNodes, OVERRIDE);
    this.announceGroups();
  }

  // --- Groups (MLDv2, RFC 3810) ---

  announceGroups(): void {
    const stack = this.#stack;
    if (!this.#mld.active) stack.wheel.schedule(this.#mld, stack.now() + 1000);
  }

  #queried(maxDelayMs: number): void {
    const stack = this.#stack;
    if (this.#mld.active) return;
    const delay = Math.min(maxDelayMs, 10_000) * stack.random.float();
    stack.wheel.schedule(this.#mld, stack.now() + delay * 1000);
  }

  #report(): void {
    const net = this.#net;
    const stack = this.#stack;
    const source = net.linkLocal();
    const groups = net.groups6();
    if (stack.frozen || source === 0 || groups.length === 0) return;
    const message = new Uint8Array(8 + 20 * groups.length);
    message[0] = MLD2_REPORT;
    new DataView(message.buffer).setUint16(6, groups.length);
    groups.forEach((group, index) => {
      // CHANGE_TO_EXCLUDE_MODE with no sources: all senders of the group (RFC 3810 section 5.2.12).
      message[8 + 20 * index] = 2;
      stack.book.write(group, message, 12 + 20 * index);
    });
    stack.icmp6.message(source, net.mldRouters, message, { net, ttl: 1 });
  }

  close(): void {
    const { wheel } = this.#stack;
    wheel.cancel(this.#solicitTimer);
    wheel.cancel(this.#mld);
    for (const timer of this.#routerTimers.values()) wheel.cancel(timer);
    this.#routerTimers.clear();
  }
}

/** Whether options add up: none of length 0, none beyond the end (RFC 4861 section 4.6). */
function optionsOk(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; ) {
    const size = at + 1 < end ? 8 * bytes[at + 1] : 0;
    if (size === 0 || at + size > end) return false;
    at += size;
  }
  return true;
}

/**
 * Where the first option of a type begins, or -1; link addresses of another length than ours are
 * none.
 */
function optionAt(bytes: Uint8Array, from: number, end: number, type: number): number {
  for (let at = from; at < end; at += 8 * bytes[at + 1]) {
    if (bytes[at] === type && bytes[at + 1] === 1) return at;
  }
  return -1;
}

function putLink(message: Uint8Array, at: number, type: number, mac: Uint8Array): void {
  message[at] = type;
  message[at + 1] = 1;
  message.set(mac, at + 2);
}
