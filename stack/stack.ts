/**
 * The stack: interfaces below, TCP, UDP and ICMP above, one clock, one timer wheel, one queue of socket events.
 *
 * It does nothing by itself. Whoever owns it calls, in this order and as often as there is reason to:
 *   - a device delivers a batch of frames (`NetInterface.onFrames`), which changes state and queues events;
 *   - `poll()` fires the timers that are due;
 *   - `events.shift()?.deliverNext()` tells one socket one thing;
 *   - `flush()` sends what all that made necessary;
 * and comes back at `nextDeadline()`. loop.ts does so for a real process, tests do so in virtual time.
 */

import { finish, sum16 } from '../lib/checksum.js';
import type { Clock } from '../lib/clock.js';
import { type FrameDevice, TX_HEADROOM, TxFrame } from '../lib/device/device.js';
import { LoopbackDevice } from '../lib/device/loopback.js';
import { FtError } from '../lib/errors.js';
import type { Cidr4 } from '../lib/ipv4-address.js';
import { parseCidr4, parseMac } from '../lib/ipv4-address.js';
import { type Cidr6, parseCidr6 } from '../lib/ipv6-address.js';
import { Drop } from '../lib/packet/drop.js';
import { TCP_SYN, TcpView } from '../lib/packet/tcp.js';
import { type Random, SipHash } from '../lib/random.js';
import { TimerWheel } from '../lib/timer-wheel.js';
import { EventQueue } from './app-endpoint.js';
import { AddressBook, isV6 } from './ip/address-book.js';
import { Icmp4 } from './ip/icmp4.js';
import { Icmp6 } from './ip/icmp6.js';
import { Ipv4, type SendOptions } from './ip/ipv4.js';
import { Ipv4Route } from './ip/ipv4-route.js';
import { Ipv6 } from './ip/ipv6.js';
import { Ipv6Route } from './ip/ipv6-route.js';
import { PathMtuCache } from './ip/path-mtu.js';
import { MAX_ROUTES, type Route, RouteTable } from './ip/route-table.js';
import { NetInterface } from './link/interface.js';
import { earlierPosition, type OutputGate } from './output-gate.js';
import { Raw } from './raw.js';
import type { TcpConnection, TcpRoute } from './tcp/connection.js';
import { COOKIE_LIFE_US } from './tcp/handshake/syn-cookie.js';
import { narrow } from './tcp/loss/mtu-probe.js';
import { resendAll } from './tcp/loss/recovery.js';
import { resumeConnection } from './tcp/receive/input.js';
import { payloadSum } from './tcp/send/output.js';
import { TcpState } from './tcp/state.js';
import { Tcp, type TcpHost, type TcpOptions } from './tcp/tcp.js';
import { timersFor } from './tcp/timers.js';
import { Udp } from './udp.js';

/** Connections at rest that hear of a takeover at once; the others so many at a time, as long as it takes. */
const KICK_AT_ONCE = 64;
const KICK_AT_A_TIME = 32;
const KICK_EVERY_US = 3000;
/** Who has sent nothing for so long waits for nothing. */
const REST_US = 1_000_000;

const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;

export interface StackOptions {
  clock: Clock;
  random: Random;
  /** 16 bytes: key of initial sequence numbers and timestamp offsets. Replicas of a group share it. Drawn if absent. */
  secret?: Uint8Array;
  tcp?: Partial<TcpOptions>;
  /** Send what is for others further, between the interfaces (default false). */
  forwarding?: boolean;
  /**
   * Take packets that came over a source route, and answer over the way back (RFC 9293 MUST-53; default false: such packets
   * are dropped, as RFC 7126 section 4.3 advises).
   */
  sourceRoutes?: boolean;
}

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
   * Use addresses only when some seconds of asking have shown that nobody else has them (RFC 5227 section 2.1, RFC 4862
   * section 5.4; default false: a replica takes over addresses that its primary had a moment ago).
   */
  probe?: boolean;
}

/** What an ICMP error says about a packet of ours. */
export interface TransportError {
  protocol: number;
  local: number;
  localPort: number;
  remote: number;
  remotePort: number;
  seq: number;
  /** The path's MTU, 0 if that is not what it is about. */
  mtu: number;
  refused: boolean;
  hard: boolean;
}

/** It waits for nothing, as far as a backup can know: nothing of ours is under way, and nothing has come lately. */
function atRest(conn: TcpConnection, nowUs: number): boolean {
  return (
    conn.state === TcpState.Established &&
    conn.sndUna === conn.sndLimit &&
    conn.sndNxt === conn.sndUna &&
    !conn.finQueued &&
    conn.reassembly.empty &&
    nowUs - conn.lastReceiveUs > REST_US
  );
}

export class Stack implements TcpHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly hash: SipHash;
  readonly frame = new TxFrame();
  readonly interfaces: NetInterface[] = [];
  readonly tcp: Tcp;
  readonly udp: Udp;
  readonly icmp: Icmp4;
  readonly icmp6: Icmp6;
  readonly ipv4: Ipv4;
  readonly ipv6: Ipv6;
  readonly raw: Raw;
  readonly book: AddressBook;
  readonly routes: RouteTable;
  readonly paths = new PathMtuCache();
  readonly forwarding: boolean;
  readonly sourceRoutes: boolean;
  /** The way back over which the packet at hand came, if it came over one. */
  receivedRoute: readonly number[] | null = null;
  batches = 0;
  more = false;
  /** "::". */
  readonly unspecified6: number;
  readonly events = new EventQueue();
  readonly counters = { inPackets: 0, notForUs: 0, fragments: 0, badChecksum: 0, noRoute: 0 };
  gate: OutputGate | null = null;
  #now: number;
  readonly #seg = new TcpView();
  #loopback: { net: NetInterface; device: LoopbackDevice } | null = null;
  /** After a takeover: whose peers have not heard of it yet, and when it was. */
  readonly #silent: TcpConnection[] = [];
  #thawedUs = 0;
  #toldUs = 0;

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
    this.forwarding = options.forwarding ?? false;
    this.sourceRoutes = options.sourceRoutes ?? false;
    this.tcp = new Tcp(this, options.tcp);
    this.udp = new Udp(this);
    this.icmp = new Icmp4(this);
    this.icmp6 = new Icmp6(this);
    this.ipv4 = new Ipv4(this);
    this.ipv6 = new Ipv6(this);
    this.raw = new Raw(this);
  }

  /** Monotonic microseconds; constant within a batch. */
  now(): number {
    return this.#now;
  }

  get frozen(): boolean {
    return this.tcp.frozen;
  }

  /** Adds an interface and starts its device. Throws FtError EINVAL for an address that is none. */
  addInterface(device: FrameDevice, options: AddInterface): NetInterface {
    const four: Cidr4[] = [];
    const six: Cidr6[] = [];
    for (const text of options.addresses) {
      const cidr4 = parseCidr4(text);
      const cidr6 = cidr4 === undefined ? parseCidr6(text) : undefined;
      if (cidr4 !== undefined) four.push(cidr4);
      else if (cidr6 !== undefined) six.push(cidr6);
      else
        throw new FtError(
          'EINVAL',
          `"${text}" is not an IP address with a prefix length`,
          'Write it like 10.0.0.2/24 or 2001:db8::2/64',
        );
    }
    const gateways = typeof options.gateway === 'string' ? [options.gateway] : (options.gateway ?? []);
    for (const gateway of gateways) this.#address(gateway);
    let mac: Uint8Array | undefined;
    if (options.mac !== undefined) {
      mac = parseMac(options.mac);
      if (mac === undefined || (mac[0] & 1) !== 0) {
        throw new FtError('EINVAL', `"${options.mac}" is not a unicast MAC address`, 'Write it like 02:00:00:00:00:02');
      }
    } else {
      mac = new Uint8Array(6);
      this.random.fill(mac);
      mac[0] = (mac[0] & 0xfc) | 2;
    }
    const name = options.name ?? `if${this.interfaces.length}`;
    const probe = (options.probe ?? false) && device.link === 'ethernet';
    const net = this.#attach(device, { name, mac, autoconfigure: options.autoconfigure ?? false }, probe ? [] : four);
    if (probe) for (const address of four) net.probeAddress(address);
    if (six.length > 0 || net.autoconfigure) {
      const local = new Uint8Array(16);
      local[0] = 0xfe;
      local[1] = 0x80;
      local.set(net.interfaceId(local), 8);
      if (device.link === 'ethernet') net.addAddress6(this.book.intern(local, 0), 64, probe, false);
      for (const { address, prefix } of six) net.addAddress6(this.book.intern(address, 0), prefix, probe, false);
    }
    for (const gateway of gateways) this.addRoute('default', { gateway, interface: name });
    if (net.autoconfigure) net.nd.start();
    return net;
  }

  #attach(
    device: FrameDevice,
    options: { name: string; mac: Uint8Array; loopback?: boolean; autoconfigure?: boolean },
    addresses: Cidr4[],
  ): NetInterface {
    const net = new NetInterface(this, device, { loopback: false, autoconfigure: false, ...options, addresses });
    for (const { address, prefix } of addresses)
      this.routes.add({ v6: false, network: address, prefix, net, gateway: 0 });
    this.interfaces.push(net);
    device.start(net);
    return net;
  }

  #keepAddresses(mark: (address: number) => void): void {
    mark(this.unspecified6);
    for (const net of this.interfaces) net.keep(mark);
    for (const route of this.routes.all) {
      mark(route.network);
      mark(route.gateway);
    }
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

  /** @param more the device has more frames at hand */
  beginBatch(more: boolean): void {
    this.refresh();
    this.batches++;
    // Who waits for others before he may speak answers late enough.
    this.more = more && this.gate?.partial !== true;
  }

  endBatch(): void {
    // Output waits for the flush: the batch's socket events may add data for the acknowledgements to ride on.
  }

  /** Fires timers that are due. */
  poll(): void {
    this.refresh();
    this.#loopback?.device.run();
    this.wheel.advance(this.#now);
    // Sockets that have something to be told come first, but not all the time.
    if (this.#silent.length > 0 && (this.events.length === 0 || this.#now - this.#toldUs > KICK_EVERY_US))
      this.#tellSome();
    this.tcp.timeWaits.expire(this.#now);
  }

  /** Sends what is to be sent. @returns false while the device is busy or the gate is shut. */
  flush(): boolean {
    if (this.tcp.frozen) return true;
    const { gate } = this;
    this.tcp.patience.look();
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

  /** Sends the stack's frame as `send` does; it depends on nothing that the gate guards. */
  sendFreely(source: number, destination: number, protocol: number, length: number): boolean {
    this.frame.committed = true;
    return this.send(source, destination, protocol, length);
  }

  /** When `poll` is next needed, in microseconds of the clock; Infinity for never. */
  nextDeadline(): number {
    const busy =
      this.#silent.length > 0 ||
      this.tcp.patience.waits ||
      (this.#loopback !== null && this.#loopback.device.pending > 0);
    return busy ? this.#now : this.wheel.nextDeadline();
  }

  /**
   * Leaves the frozen state: timers are derived from the connections' state, every connection says where it is and sends
   * again what is not acknowledged. Unknown connections are met with silence for `graceUs`. `extent` is false in the
   * mutation check only: nothing is known then of what a predecessor may have sent. `planned`: the predecessor has said how far
   * each connection is, and nothing of it is sent again.
   */
  thaw(graceUs: number, extent = true, planned = false): void {
    this.refresh();
    this.#thawedUs = this.#now;
    this.#silent.length = 0;
    let count = 0;
    this.tcp.frozen = false;
    this.tcp.silentUntilUs = this.#now + graceUs;
    this.tcp.cookiesUntilUs = this.#now + COOKIE_LIFE_US;
    this.tcp.table.forEach((conn) => {
      const silent = atRest(conn, this.#now) && count++ >= KICK_AT_ONCE;
      // What is queued and fits into the peer's window counts as sent. An acknowledgement may be for more: the window
      // may have been larger.
      if (planned && conn.handedNxt >= 0) {
        conn.sndNxt = Math.max(conn.sndUna, conn.handedNxt);
        conn.sentBefore = conn.sndNxt;
      } else if (conn.state >= TcpState.Established && extent) {
        conn.sentBefore = conn.sndLimit;
        conn.sndNxt = Math.max(conn.sndUna, Math.min(conn.sndLimit, conn.sndUna + conn.sndWnd));
      }
      conn.rcvAdv = Math.max(conn.rcvAdv, conn.rcvNxt + conn.receiveLimit);
      conn.lastReceiveUs = this.#now;
      conn.lastSendUs = this.#now;
      timersFor(conn, this.#now);
      // With thousands of connections those that wait for something must not wait for all others to be told.
      if (silent) {
        conn.handedNxt = -1;
        this.#silent.push(conn);
        return;
      }
      resumeConnection(conn, planned && conn.handedNxt >= 0);
      conn.handedNxt = -1;
      conn.user?.onProgress(conn);
    });
  }

  /** Tells a few more peers that somebody else serves them now. */
  #tellSome(): void {
    const silent = this.#silent;
    this.#toldUs = this.#now;
    if (this.tcp.frozen) silent.length = 0;
    for (let n = 0; n < KICK_AT_A_TIME && silent.length > 0; n++) {
      const conn = silent.pop()!;
      // Who has spoken since, or was spoken to, needs no word.
      const quiet = conn.lastSendUs === this.#thawedUs && conn.lastReceiveUs === this.#thawedUs;
      if (quiet && !conn.removed) resumeConnection(conn, false);
      conn.user?.onProgress(conn);
    }
  }

  // --- Transports ---

  /** @returns a drop reason, 0 for none. */
  tcpInput(
    src: number,
    dst: number,
    tos: number,
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    length: number,
    csumOk: boolean,
  ): number {
    const seg = this.#seg;
    const drop = seg.parse(bytes, view, offset, length);
    if (drop !== 0) return drop;
    if (!csumOk) {
      const pseudo = this.book.sum(src) + this.book.sum(dst) + PROTOCOL_TCP + length;
      if (sum16(bytes, offset, length, pseudo) !== 0xffff) {
        this.counters.badChecksum++;
        return Drop.TcpChecksum;
      }
    }
    seg.ecn = tos & 3;
    // Not from one host: nobody to answer (RFC 9293 MUST-63).
    if ((seg.flags & TCP_SYN) !== 0 && !this.isUnicast(src)) return isV6(src) ? Drop.Ipv6BadSource : Drop.Ipv4BadSource;
    this.tcp.input(seg, bytes, dst, src);
    return 0;
  }

  /** An ICMP error about something that we sent. */
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
    // RFC 5927: only an error about something in flight can be genuine.
    const offset = conn.sndUna + ((error.seq - ((conn.iss + conn.sndUna) >>> 0)) | 0);
    if (offset < conn.sndUna || offset > conn.sndNxt) return;
    if (mtu > 0) {
      this.#learnMtu(remote, mtu);
      const mss = Math.max(48, mtu - conn.route.ipHeader - 20 - (conn.tsOk ? 12 : 0));
      if (mss < conn.sndMss) {
        narrow(conn, mss);
        resendAll(conn);
        this.tcp.markDirty(conn);
      }
    } else if (conn.state === TcpState.SynSent && error.hard) {
      // Hard errors end an attempt, and only hint at trouble for an established connection (RFC 5461).
      this.tcp.remove(conn, error.refused ? 'ECONNREFUSED' : 'EHOSTUNREACH');
    } else {
      conn.softError = error.refused ? 'ECONNREFUSED' : 'EHOSTUNREACH';
      conn.user?.onSoftError?.(conn);
    }
  }

  #learnMtu(remote: number, mtu: number): void {
    const smallest = isV6(remote) ? 1280 : 68;
    if (mtu >= smallest && mtu < 65_535) this.paths.learn(remote, mtu, this.#now);
  }

  tcpRoute(localAddress: number, remoteAddress: number, via: readonly number[] = []): TcpRoute | null {
    const first = via[0] ?? remoteAddress;
    const route = this.routeFrom(localAddress, first);
    if (route === null) {
      this.counters.noRoute++;
      return null;
    }
    const hop = route.gateway === 0 ? first : route.gateway;
    return isV6(remoteAddress)
      ? new Ipv6Route(route.net, localAddress, remoteAddress, hop)
      : new Ipv4Route(route.net, localAddress, remoteAddress, hop, via);
  }

  // --- Addresses and routes ---

  /** The interface that has an address, or null. */
  interfaceOf(address: number): NetInterface | null {
    for (const net of this.interfaces) if (net.hasAddress(address)) return net;
    return null;
  }

  isLocal(address: number): boolean {
    return this.interfaceOf(address) !== null;
  }

  /** The way from one of our addresses to another host; to ourselves through the loopback, if there is one. */
  routeFrom(source: number, destination: number): Route | null {
    if (isV6(source) !== isV6(destination)) return null;
    if (this.#loopback !== null && this.isLocal(destination)) {
      const { net } = this.#loopback;
      return { v6: isV6(destination), network: destination, prefix: 32, net, gateway: 0 };
    }
    const net = this.interfaceOf(source);
    if (net === null) return null;
    if (this.book.isMulticast(destination) || net.isBroadcast(destination)) {
      return { v6: isV6(destination), network: destination, prefix: 32, net, gateway: 0 };
    }
    if (net.loopback) return null;
    // As specific as there is, through the source's own interface if that leads there too.
    const route = this.routes.lookup(destination, net);
    if (route === null || route.net === net) return route;
    return this.routes.through(net, destination) ?? route;
  }

  /** Neither unspecified, nor a group, nor a broadcast of any interface. */
  isUnicast(address: number): boolean {
    if (this.book.isUnspecified(address) || this.book.isMulticast(address)) return false;
    for (const net of this.interfaces) if (net.isBroadcast(address)) return false;
    return true;
  }

  sourceFor(remoteAddress: number): number {
    if (this.#loopback !== null && this.isLocal(remoteAddress)) return remoteAddress;
    const route = this.routes.lookup(remoteAddress);
    if (route !== null)
      return route.net.sourceFor(route.gateway !== 0 && !isV6(remoteAddress) ? route.gateway : remoteAddress);
    if (!this.book.isMulticast(remoteAddress) && remoteAddress !== 0xffffffff) return 0;
    for (const net of this.interfaces) {
      const source = net.loopback ? 0 : net.sourceFor(remoteAddress);
      if (source !== 0) return source;
    }
    return 0;
  }

  /**
   * Adds a route: `to` is "A.B.C.D/LEN", "v6/LEN" or "default", through a gateway, an interface, or both.
   * @throws FtError EINVAL, ENETUNREACH, ENOBUFS
   */
  addRoute(to: string, via: { gateway?: string; interface?: string }): void {
    const gateway = via.gateway === undefined ? 0 : this.#address(via.gateway);
    const text = to === 'default' ? (isV6(gateway) ? '::/0' : '0.0.0.0/0') : to;
    const four = parseCidr4(text);
    const six = four === undefined ? parseCidr6(text) : undefined;
    if (four === undefined && six === undefined)
      throw new FtError('EINVAL', `"${to}" is not a network`, 'Write it like 10.0.0.0/8, 2001:db8::/32 or default');
    const v6 = six !== undefined;
    if (gateway !== 0 && isV6(gateway) !== v6)
      throw new FtError(
        'EINVAL',
        `The gateway ${via.gateway} is of another family than ${to}`,
        'Use one of the same family',
      );
    let net: NetInterface | null = null;
    if (via.interface !== undefined) net = this.interfaces.find((one) => one.name === via.interface) ?? null;
    else if (gateway !== 0) net = this.routes.lookup(gateway)?.net ?? null;
    if (net === null)
      throw new FtError(
        'ENETUNREACH',
        `No interface reaches ${via.gateway ?? via.interface ?? 'it'}`,
        'Give a gateway in a network of an interface, or the name of an interface',
      );
    const network = six === undefined ? four!.address : this.book.intern(six.address, 0);
    if (network < 0 || !this.routes.add({ v6, network, prefix: (four ?? six)!.prefix, net, gateway }))
      throw new FtError('ENOBUFS', 'Too many routes', `There may be ${MAX_ROUTES}`);
  }

  /**
   * The address that a listener is to have: every one for undefined (of IPv4 only when there is no other).
   * @throws FtError EADDRNOTAVAIL
   */
  listenAddress(text: string | undefined): number {
    if (text === undefined || text === '') return this.hasV6 ? this.unspecified6 : 0;
    if (text === '::') return this.hasV6 ? this.unspecified6 : 0;
    const address = this.book.parse(text);
    if (address === 0 || (address !== undefined && this.isLocal(address))) return address;
    throw new FtError(
      'EADDRNOTAVAIL',
      `The stack does not have the address ${text}`,
      'Listen on an address of the stack, on 0.0.0.0 or on ::',
    );
  }

  /** Whether any interface beside the loopback speaks IPv6. */
  get hasV6(): boolean {
    return this.interfaces.some((net) => net.addresses6.length > 0 && !net.loopback);
  }

  /** Both ends of a connection that is to be made; `local` 0 is for the stack to choose. @throws FtError EINVAL, EADDRNOTAVAIL */
  connectAddresses(remoteText: string, localText: string | undefined): { remote: number; local: number } {
    const remote = this.book.parse(remoteText);
    if (remote === undefined)
      throw new FtError('EINVAL', `"${remoteText}" is not an IP address`, 'Resolve the name first');
    const local = localText === undefined ? 0 : this.listenAddress(localText);
    return { remote, local: this.book.isUnspecified(local) ? 0 : local };
  }

  #address(text: string): number {
    const address = this.book.parse(text);
    if (address === undefined)
      throw new FtError('EINVAL', `"${text}" is not an IP address`, 'Write it like 10.0.0.1 or 2001:db8::1');
    return address;
  }

  /** The IPv6 group ff02::N of the link. */
  group6(low: number): number {
    const bytes = new Uint8Array(16);
    bytes[0] = 0xff;
    bytes[1] = 2;
    bytes[15] = low;
    return this.book.intern(bytes, 0);
  }

  /** Largest IP packet to a destination. */
  mtuFor(remoteAddress: number): number {
    const route = this.routeFrom(this.sourceFor(remoteAddress), remoteAddress);
    return this.paths.get(remoteAddress, route?.net.device.mtu ?? 1500, this.#now);
  }

  /**
   * Sends the stack's frame, whose pieces are a complete IP payload; in fragments if it must be.
   * @returns false when it could not leave.
   */
  send(source: number, destination: number, protocol: number, length: number, options?: SendOptions): boolean {
    return isV6(destination)
      ? this.ipv6.send(source, destination, protocol, length, options)
      : this.ipv4.send(source, destination, protocol, length, options);
  }

  /** Gives the stack a way to itself: 127.0.0.1, ::1 and all its own addresses. */
  addLoopback(): NetInterface {
    if (this.#loopback !== null) return this.#loopback.net;
    const device = new LoopbackDevice();
    const net = this.#attach(device, { name: 'lo', mac: new Uint8Array(6), loopback: true }, [
      parseCidr4('127.0.0.1/8')!,
    ]);
    const one = new Uint8Array(16);
    one[15] = 1;
    net.addAddress6(this.book.intern(one, 0), 128, false, false);
    this.#loopback = { net, device };
    return net;
  }

  /** Fills in a checksum that was left to the device, for a frame that has to be stored. */
  completeChecksum(frame: TxFrame, linkHeader: number): void {
    if (frame.csumStart < 0) return;
    const at = TX_HEADROOM + frame.csumStart;
    const sum = payloadSum(frame, sum16(frame.header, at, TX_HEADROOM + frame.headerLength - at, 0));
    frame.view.setUint16(at + frame.csumOffset, finish(sum));
    frame.csumStart = -1;
    void linkHeader;
  }
}
