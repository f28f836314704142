/**
 * The stack: interfaces below, TCP, UDP and ICMP above, one clock, one timer wheel, one queue of
 * socket events.
 *
 * It does nothing by itself. Its owner calls, in this order and as often as there is reason to:
 *   - a device delivers a batch of frames (`NetInterface.onFrames`), which changes state and queues
 *     events;
 *   - `poll()` fires the timers that are due;
 *   - `events.shift()?.deliverNext()` delivers one event to one socket;
 *   - `flush()` sends the output that all this made due; and comes back at `nextDeadline()`.
 *     stack-host.ts does so in a real process, tests in virtual time.
 */

import { sum16 } from '../lib/checksum.js';
import type { Clock } from '../lib/clock.js';
import { type FrameDevice, TxFrame } from '../lib/device/device.js';
import { LoopbackDevice } from '../lib/device/loopback.js';
import { earlierPosition, type OutputGate } from '../lib/device/output-gate.js';
import type { RxBatch } from '../lib/device/rx-batch.js';
import { FtError } from '../lib/errors.js';
import { type Cidr4, cidr4 } from '../lib/ipv4-address.js';
import { Drop } from '../lib/packet/drop.js';
import { TCP_SYN, TcpView } from '../lib/packet/tcp.js';
import { type Random, SipHash } from '../lib/random.js';
import { TimerWheel } from '../lib/timer-wheel.js';
import { EventQueue } from './app-endpoint.js';
import { AddressBook, isV6 } from './core/address-book.js';
import type { LinkStack, NetworkContext, SendOptions, StackCounters, TransportError } from './core/context.js';
import type { IpPacket } from './core/ip-packet.js';
import { PathMtuCache } from './core/path-mtu.js';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './core/protocols.js';
import { type Route, RouteTable } from './core/route-table.js';
import type { TcpRoute } from './core/tcp-route.js';
import { interfaceMac, parseAddress, parseInterfaceAddresses } from './ip/address-text.js';
import { Icmp4 } from './ip/icmp4.js';
import { Icmp6 } from './ip/icmp6.js';
import { Ipv4 } from './ip/ipv4.js';
import { Ipv4Route } from './ip/ipv4-route.js';
import { Ipv6 } from './ip/ipv6.js';
import { Ipv6Route } from './ip/ipv6-route.js';
import { type RouteVia, Routing } from './ip/routing.js';
import { NetInterface } from './link/interface.js';
import { Raw } from './raw.js';
import { Relays } from './relay/relays.js';
import { shrinkMss } from './tcp/loss/mtu-probe.js';
import { resendAll } from './tcp/loss/recovery.js';
import { TcpState } from './tcp/state.js';
import { Tcp, type TcpHost, type TcpOptions } from './tcp/tcp.js';
import { Thaw } from './thaw.js';
import { Udp } from './udp.js';

/**
 * Smallest MTU that an ICMP error can make us believe, by family, bytes (RFC 791, RFC 8200 section
 * 5).
 */
const MIN_MTU4 = 68;
const MIN_MTU6 = 1280;
/** The MTU where there is no route, bytes. */
const DEFAULT_MTU = 1500;
/** A timer that is due for longer shows that the event loop was busy, microseconds. */
const LATE_US = 1000;

/** How a stack is made. */
export interface StackOptions {
  clock: Clock;
  random: Random;
  /**
   * 16 bytes: key of initial sequence numbers and timestamp offsets. Replicas of a group share it.
   * Drawn if absent.
   */
  secret?: Uint8Array;
  tcp?: Partial<TcpOptions>;
  /** Forward packets for other hosts between the interfaces (default false). */
  forwarding?: boolean;
  /**
   * Accept packets that came over a source route, and answer over its reverse (RFC 9293 MUST-53).
   * Default false: such packets are dropped, as RFC 7126 section 4.3 advises.
   */
  sourceRoutes?: boolean;
}

/** How an interface is added. */
export interface AddInterface {
  name?: string;
  /** "A.B.C.D/LEN" or an IPv6 address in the same form. */
  addresses: string[];
  /** Default gateway, or one per family. */
  gateway?: string | string[];
  /** "aa:bb:cc:dd:ee:ff"; a locally administered one is drawn if absent. */
  mac?: string;
  /** Take IPv6 addresses, routes and parameters from router advertisements (default false). */
  autoconfigure?: boolean;
  /**
   * Use addresses only after probes have shown that no other host has them (RFC 5227 section 2.1,
   * RFC 4862 section 5.4). Default false: a replica takes over addresses that its primary has just
   * had.
   */
  probe?: boolean;
}

/** The stack: interfaces, protocols and sockets of one network identity. */
export class Stack implements TcpHost, NetworkContext, LinkStack {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly hash: SipHash;
  readonly frame = new TxFrame();
  readonly tcp: Tcp;
  readonly udp: Udp;
  readonly icmp: Icmp4;
  readonly icmp6: Icmp6;
  readonly ipv4: Ipv4;
  readonly ipv6: Ipv6;
  readonly raw: Raw;
  /** Coupled connections. */
  readonly relays: Relays;
  readonly book: AddressBook;
  readonly routes: RouteTable;
  readonly routing: Routing<NetInterface>;
  readonly paths = new PathMtuCache();
  readonly forwarding: boolean;
  readonly sourceRoutes: boolean;
  /** The reverse of the source route that the current packet came over; null for none. */
  receivedRoute: readonly number[] | null = null;
  /** Batches of frames received. */
  batches = 0;
  /** Whether the device has more frames at hand than the current batch. */
  more = false;
  /** "::". */
  readonly unspecified6: number;
  readonly events = new EventQueue();
  readonly counters: StackCounters = { inPackets: 0, notForUs: 0, fragments: 0, badChecksum: 0, noRoute: 0 };
  gate: OutputGate | null = null;
  #now: number;
  readonly #seg = new TcpView();
  #loopback: LoopbackDevice | null = null;
  readonly #thaw: Thaw;

  constructor(options: StackOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.#now = options.clock.now();
    this.wheel = new TimerWheel(this.#now);
    let secret = options.secret;
    if (secret === undefined) {
      secret = new Uint8Array(16);
      this.random.fill(secret);
    }
    this.hash = new SipHash(secret);
    this.book = new AddressBook(this.random.u32());
    this.book.keep = (mark) => this.#keepAddresses(mark);
    this.unspecified6 = this.book.intern(new Uint8Array(16), 0);
    this.routes = new RouteTable(this.book);
    this.routing = new Routing(this.book, this.routes);
    this.forwarding = options.forwarding ?? false;
    this.sourceRoutes = options.sourceRoutes ?? false;
    this.tcp = new Tcp(this, options.tcp);
    this.udp = new Udp(this);
    this.icmp = new Icmp4(this);
    this.icmp6 = new Icmp6(this);
    this.ipv4 = new Ipv4(this);
    this.ipv6 = new Ipv6(this);
    this.raw = new Raw(this);
    this.relays = new Relays(this.tcp);
    this.#thaw = new Thaw(this.tcp, () => this.#now);
  }

  /** Monotonic microseconds; constant within a batch. */
  now(): number {
    return this.#now;
  }

  /**
   * Called when another host claims an address of ours, by ARP or neighbour discovery, before that
   * is answered; also when it uses our link address.
   */
  onAddressClaim: (() => void) | null = null;

  /** Whether the stack only follows another one: state is kept, nothing is sent. */
  get frozen(): boolean {
    return this.tcp.frozen;
  }

  /** The interfaces, in the order in which they were added. */
  get interfaces(): readonly NetInterface[] {
    return this.routing.interfaces;
  }

  /** Adds an interface and starts its device. @throws FtError EINVAL, ENETUNREACH, ENOBUFS */
  addInterface(device: FrameDevice, options: AddInterface): NetInterface {
    const { four, six } = parseInterfaceAddresses(options.addresses);
    const gateways = typeof options.gateway === 'string' ? [options.gateway] : (options.gateway ?? []);
    for (const gateway of gateways) parseAddress(this.book, gateway);
    const mac = interfaceMac(options.mac, this.random);
    const name = options.name ?? `if${this.interfaces.length}`;
    const probe = (options.probe ?? false) && device.link === 'ethernet';
    const net = this.#attach(device, { name, mac, autoconfigure: options.autoconfigure ?? false }, probe ? [] : four);
    if (probe) for (const address of four) net.arp.probe(address);
    if (six.length > 0 || net.autoconfigure) {
      if (device.link === 'ethernet') net.addAddress6(this.#linkLocal(net), 64, probe, false);
      for (const { address, prefix } of six) net.addAddress6(this.book.intern(address, 0), prefix, probe, false);
    }
    for (const gateway of gateways) this.addRoute('default', { gateway, interface: name });
    if (net.autoconfigure) net.nd.start();
    return net;
  }

  /** The link-local address of an interface (RFC 4291 section 2.5.6). */
  #linkLocal(net: NetInterface): number {
    const address = new Uint8Array(16);
    address[0] = 0xfe;
    address[1] = 0x80;
    address.set(net.interfaceId(address), 8);
    return this.book.intern(address, 0);
  }

  #attach(
    device: FrameDevice,
    options: { name: string; mac: Uint8Array; loopback?: boolean; autoconfigure?: boolean },
    addresses: Cidr4[],
  ): NetInterface {
    const net = new NetInterface(this, device, { loopback: false, autoconfigure: false, ...options, addresses: [] });
    for (const address of addresses) net.addAddress4(address);
    this.routing.interfaces.push(net);
    device.start(net);
    return net;
  }

  #keepAddresses(mark: (address: number) => void): void {
    mark(this.unspecified6);
    for (const net of this.interfaces) net.keep(mark);
    this.routing.keep(mark);
    this.tcp.keepAddresses(mark);
    this.udp.keep(mark);
    this.paths.keep(mark);
    this.ipv6.fragments.keep(mark);
  }

  // --- Driving ---

  /** Takes the time for everything that follows until the next call. */
  refresh(): void {
    this.#now = Math.max(this.#now, this.clock.now());
  }

  beginBatch(batch: RxBatch): void {
    this.refresh();
    this.batches++;
    // Output that waits for replication is late enough: acknowledgements then wait for no further
    // frames.
    this.more = batch.more === true && this.gate?.partial !== true;
    this.tcp.borrowedBuffers.begin(batch);
  }

  /**
   * Output waits for the flush: the batch's socket events may add data for the acknowledgements to
   * ride on.
   */
  endBatch(): void {
    this.tcp.borrowedBuffers.end();
  }

  /**
   * Fires timers that are due.
   * @param lookedUs when the device was last looked at. After a long turn, those due since then
   * wait for the next look: the acknowledgement that they wait for may be in the device's queue.
   */
  poll(lookedUs = Number.POSITIVE_INFINITY): void {
    this.refresh();
    this.#loopback?.run();
    const now = this.#now;
    const late = now - lookedUs > LATE_US && now - this.wheel.nextDeadline() > LATE_US;
    this.wheel.advance(late ? lookedUs : now);
    this.#thaw.poll(this.events.length === 0);
    this.tcp.timeWaits.expire(this.#now);
    this.relays.run();
  }

  /** Sends all output that is due. @returns false while the device is busy or the gate is closed */
  flush(): boolean {
    if (this.tcp.frozen) return true;
    this.relays.run();
    const { gate } = this;
    this.tcp.ackModeration.release();
    for (;;) {
      const open = gate === null || gate.isOpen();
      const speaks = open || gate.isPartiallyOpen();
      let done = false;
      if (speaks) {
        this.udp.flush();
        done = this.tcp.flush();
      }
      if (open) return done;
      const position = speaks ? earlierPosition(this.tcp.waitsFor, this.udp.waitsFor) : gate.end;
      if (position === null) return done;
      gate.wait(position);
      // It may have been reached before that could be seen. A busy device says when it has room.
      if (!done || !gate.reached(position)) return false;
    }
  }

  sendFreely(source: number, destination: number, protocol: number, length: number): boolean {
    this.frame.committed = true;
    return this.send(source, destination, protocol, length);
  }

  /** When `poll` is next needed, in microseconds of the clock; Infinity for never. */
  nextDeadline(): number {
    const busy =
      this.#thaw.pending || this.tcp.ackModeration.pending || (this.#loopback !== null && this.#loopback.pending > 0);
    return busy ? this.#now : this.wheel.nextDeadline();
  }

  /**
   * Ends the frozen state (thaw.ts): connections derive their timers and send again what is not
   * acknowledged.
   * @param graceUs segments for unknown connections are not answered for this long, microseconds
   * @param planned the predecessor has reported how far each connection is
   */
  thaw(graceUs: number, planned = false): void {
    this.refresh();
    this.#thaw.begin({ graceUs, planned });
    this.relays.thaw();
  }

  // --- Transports ---

  tcpInput(packet: IpPacket): number {
    const seg = this.#seg;
    const { src, dst, bytes, payloadOffset: offset, payloadLength: length } = packet;
    const drop = seg.parse(bytes, packet.view, offset, length);
    if (drop !== 0) return drop;
    if (!packet.checksumVerified) {
      const pseudo = this.book.sum(src) + this.book.sum(dst) + PROTOCOL_TCP + length;
      if (sum16(bytes, offset, length, pseudo) !== 0xffff) {
        this.counters.badChecksum++;
        return Drop.TcpChecksum;
      }
    }
    seg.ecn = packet.trafficClass & 3;
    // A SYN that is not from one host cannot be answered (RFC 9293 MUST-63).
    if ((seg.flags & TCP_SYN) !== 0 && !this.isUnicast(src)) return isV6(src) ? Drop.Ipv6BadSource : Drop.Ipv4BadSource;
    this.tcp.input(seg, bytes, dst, src);
    return 0;
  }

  transportError(error: TransportError): void {
    const { protocol, local, localPort, remote, remotePort, mtu } = error;
    if (protocol === PROTOCOL_UDP) {
      if (mtu > 0) this.#learnMtu(remote, mtu);
      else if (error.hard) this.udp.unreachable(local, localPort, remote, remotePort);
      return;
    }
    if (protocol !== PROTOCOL_TCP) return;
    const conn = this.tcp.table.find(local, localPort, remote, remotePort);
    if (conn === null) return;
    // RFC 5927 section 4.1: only an error about something in flight can be genuine.
    const offset = conn.sndUna + ((error.seq - ((conn.iss + conn.sndUna) >>> 0)) | 0);
    if (offset < conn.sndUna || offset >= conn.sndNxt) return;
    if (mtu > 0) {
      this.#learnMtu(remote, mtu);
      const mss = Math.max(48, mtu - conn.route.ipHeader - 20 - (conn.tsOk ? 12 : 0));
      if (mss < conn.sndMss) {
        shrinkMss(conn, mss);
        resendAll(conn);
        this.tcp.markDirty(conn);
      }
    } else if (conn.state === TcpState.SynSent && error.hard) {
      // Hard errors end an attempt, and only hint at trouble for an established connection (RFC
      // 5461).
      if (conn.fastOpenCookie !== null) this.tcp.fastOpen.refused(remote, this.#now);
      this.tcp.remove(conn, error.refused ? 'ECONNREFUSED' : 'EHOSTUNREACH');
    } else {
      conn.softError = error.refused ? 'ECONNREFUSED' : 'EHOSTUNREACH';
      conn.user?.onSoftError?.(conn);
    }
  }

  #learnMtu(remote: number, mtu: number): void {
    if (mtu >= (isV6(remote) ? MIN_MTU6 : MIN_MTU4) && mtu < 65_535) this.paths.learn(remote, mtu, this.#now);
  }

  /** The path between two addresses, over the hosts of `via`; null without a route. */
  tcpRoute(localAddress: number, remoteAddress: number, via: readonly number[] = []): TcpRoute | null {
    const first = via[0] ?? remoteAddress;
    const route = this.routeFrom(localAddress, first);
    if (route === null) {
      this.counters.noRoute++;
      return null;
    }
    const nextHop = route.gateway === 0 ? first : route.gateway;
    const ends = { net: route.net, source: localAddress, destination: remoteAddress, nextHop };
    return isV6(remoteAddress) ? new Ipv6Route(this, ends) : new Ipv4Route(this, ends, via);
  }

  // --- Addresses and routes ---

  interfaceOf(address: number): NetInterface | null {
    return this.routing.interfaceOf(address);
  }

  isLocal(address: number): boolean {
    return this.routing.isLocal(address);
  }

  routeFrom(source: number, destination: number): Route | null {
    return this.routing.routeFrom(source, destination);
  }

  isUnicast(address: number): boolean {
    return this.routing.isUnicast(address);
  }

  sourceFor(remoteAddress: number): number {
    return this.routing.sourceFor(remoteAddress);
  }

  /** See {@link Routing.addRoute}. @throws FtError EINVAL, ENETUNREACH, ENOBUFS */
  addRoute(to: string, via: RouteVia): void {
    this.routing.addRoute(to, via);
  }

  /**
   * The address for a listener. Undefined, "" and "::" stand for every address, of IPv4 only when
   * the stack has no IPv6 address.
   * @throws FtError EADDRNOTAVAIL
   */
  listenAddress(text: string | undefined): number {
    if (text === undefined || text === '' || text === '::') return this.hasV6 ? this.unspecified6 : 0;
    const address = this.book.parse(text);
    if (address === 0 || (address !== undefined && this.isLocal(address))) return address;
    throw new FtError(
      'EADDRNOTAVAIL',
      `The stack does not have the address ${text}`,
      'Listen on an address of the stack, on 0.0.0.0 or on ::',
    );
  }

  /** Whether any interface beside the loopback has an IPv6 address. */
  get hasV6(): boolean {
    return this.interfaces.some((net) => net.addresses6.length > 0 && !net.loopback);
  }

  /**
   * Both ends of a new connection; `local` 0 lets the stack choose.
   * @throws FtError EINVAL, EADDRNOTAVAIL
   */
  connectAddresses(remoteText: string, localText: string | undefined): { remote: number; local: number } {
    const remote = parseAddress(this.book, remoteText, 'Resolve the name first');
    const local = localText === undefined ? 0 : this.listenAddress(localText);
    return { remote, local: this.book.isUnspecified(local) ? 0 : local };
  }

  group6(low: number): number {
    const bytes = new Uint8Array(16);
    bytes[0] = 0xff;
    bytes[1] = 2;
    bytes[15] = low;
    return this.book.intern(bytes, 0);
  }

  /** Largest IP packet to a destination, bytes. */
  mtuFor(remoteAddress: number): number {
    const route = this.routeFrom(this.sourceFor(remoteAddress), remoteAddress);
    return this.paths.get(remoteAddress, route?.net.device.mtu ?? DEFAULT_MTU, this.#now);
  }

  send(source: number, destination: number, protocol: number, length: number, options?: SendOptions): boolean {
    return isV6(destination)
      ? this.ipv6.send(source, destination, protocol, length, options)
      : this.ipv4.send(source, destination, protocol, length, options);
  }

  /** Gives the stack a path to itself: 127.0.0.1, ::1 and all its own addresses. */
  addLoopback(): NetInterface {
    if (this.routing.loopback !== null) return this.routing.loopback;
    const device = new LoopbackDevice();
    const options = { name: 'lo', mac: new Uint8Array(6), loopback: true };
    const net = this.#attach(device, options, [cidr4(0x7f000001, 8)]);
    const one = new Uint8Array(16);
    one[15] = 1;
    net.addAddress6(this.book.intern(one, 0), 128, false, false);
    this.#loopback = device;
    this.routing.loopback = net;
    return net;
  }
}
