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
import type { Cidr4 } from '../lib/address.js';
import { parseCidr4, parseIPv4, parseMac } from '../lib/address.js';
import { finish, sum16 } from '../lib/checksum.js';
import type { Clock } from '../lib/clock.js';
import { type FrameDevice, TX_HEADROOM, TxFrame } from '../lib/device/device.js';
import { FtError } from '../lib/errors.js';
import { Drop } from '../lib/packet/drop.js';
import { ETHERTYPE_IPV4, writeEthernet } from '../lib/packet/ethernet.js';
import type { IcmpView } from '../lib/packet/icmp.js';
import { type Ipv4View, writeIpv4 } from '../lib/packet/ipv4.js';
import { TcpView } from '../lib/packet/tcp.js';
import { type Random, SipHash } from '../lib/random.js';
import { TimerWheel } from '../lib/timer-wheel.js';
import { EventQueue } from './app-endpoint.js';
import { Icmp } from './icmp.js';
import { NetInterface } from './interface.js';
import { Ipv4Route } from './ipv4-route.js';
import type { OutputGate } from './observer.js';
import type { TcpRoute } from './tcp/connection.js';
import { resumeConnection } from './tcp/input.js';
import { payloadSum } from './tcp/output.js';
import { resendAll } from './tcp/recovery.js';
import { TcpState } from './tcp/state.js';
import { Tcp, type TcpHost, type TcpOptions } from './tcp/tcp.js';
import { timersFor } from './tcp/timers.js';
import { Udp } from './udp.js';

const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;

export interface StackOptions {
  clock: Clock;
  random: Random;
  /** 16 bytes: key of initial sequence numbers and timestamp offsets. Replicas of a group share it. Drawn if absent. */
  secret?: Uint8Array;
  tcp?: Partial<TcpOptions>;
}

export interface AddInterface {
  name?: string;
  /** "A.B.C.D/LEN", at least one. */
  addresses: string[];
  gateway?: string;
  /** "aa:bb:cc:dd:ee:ff"; a locally administered one is drawn if absent. */
  mac?: string;
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
  readonly icmp: Icmp;
  readonly events = new EventQueue();
  readonly counters = { inPackets: 0, notForUs: 0, fragments: 0, badChecksum: 0, noRoute: 0 };
  gate: OutputGate | null = null;
  #now: number;
  readonly #seg = new TcpView();

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
    this.tcp = new Tcp(this, options.tcp);
    this.udp = new Udp(this);
    this.icmp = new Icmp(this);
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
    const addresses: Cidr4[] = options.addresses.map((text) => {
      const cidr = parseCidr4(text);
      if (cidr === undefined)
        throw new FtError(
          'EINVAL',
          `"${text}" is not an IPv4 address with a prefix length`,
          'Write it like 10.0.0.2/24',
        );
      return cidr;
    });
    const gateway = options.gateway === undefined ? 0 : parseIPv4(options.gateway);
    if (gateway === undefined)
      throw new FtError('EINVAL', `"${options.gateway}" is not an IPv4 address`, 'Write it like 10.0.0.1');
    let mac: Uint8Array | undefined;
    if (options.mac !== undefined) {
      mac = parseMac(options.mac);
      if (mac === undefined || (mac[0]! & 1) !== 0) {
        throw new FtError('EINVAL', `"${options.mac}" is not a unicast MAC address`, 'Write it like 02:00:00:00:00:02');
      }
    } else {
      mac = new Uint8Array(6);
      this.random.fill(mac);
      mac[0] = (mac[0]! & 0xfc) | 2;
    }
    const net = new NetInterface(this, device, {
      name: options.name ?? `if${this.interfaces.length}`,
      mac,
      addresses,
      gateway,
    });
    this.interfaces.push(net);
    device.start(net);
    return net;
  }

  // --- Driving ---

  /** Takes the time for everything that follows until the next call. */
  refresh(): void {
    this.#now = Math.max(this.#now, this.clock.now());
  }

  beginBatch(): void {
    this.refresh();
  }

  endBatch(): void {
    // Output waits for the flush: the batch's socket events may add data for the acknowledgements to ride on.
  }

  /** Fires timers that are due. */
  poll(): void {
    this.refresh();
    this.wheel.advance(this.#now);
    this.tcp.timeWaits.expire(this.#now);
  }

  /** Sends what is to be sent. @returns false while the device is busy or the gate is shut. */
  flush(): boolean {
    if (this.tcp.frozen) return true;
    if (this.gate !== null && !this.gate.isOpen()) return false;
    return this.tcp.flush();
  }

  /** When `poll` is next needed, in microseconds of the clock; Infinity for never. */
  nextDeadline(): number {
    return this.wheel.nextDeadline();
  }

  /**
   * Leaves the frozen state: timers are derived from the connections' state, every connection says where it is and sends
   * again what is not acknowledged. Unknown connections are met with silence for `graceUs`.
   */
  thaw(graceUs: number): void {
    this.refresh();
    this.tcp.frozen = false;
    this.tcp.silentUntilUs = this.#now + graceUs;
    this.tcp.table.forEach((conn) => {
      // What is queued and fits into the peer's window counts as sent. An acknowledgement may be for more: the window
      // may have been larger.
      if (conn.state >= TcpState.Established) {
        conn.sentBefore = conn.sndLimit;
        conn.sndNxt = Math.max(conn.sndUna, Math.min(conn.sndLimit, conn.sndUna + conn.sndWnd));
      }
      conn.rcvAdv = Math.max(conn.rcvAdv, conn.rcvNxt + conn.receiveLimit);
      conn.lastReceiveUs = this.#now;
      conn.lastSendUs = this.#now;
      timersFor(conn, this.#now);
    });
    this.tcp.table.forEach((conn) => {
      resumeConnection(conn);
      conn.user?.onProgress(conn);
    });
  }

  // --- IPv4 ---

  /** @returns a drop reason, 0 for none. */
  ipv4Input(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView, csumOk: boolean): number {
    this.counters.inPackets++;
    if (!net.hasAddress(ip.dst)) {
      if (!net.isBroadcast(ip.dst) || ip.protocol === PROTOCOL_TCP) {
        this.counters.notForUs++;
        return 0;
      }
    }
    if (ip.src >>> 28 >= 14 || net.hasAddress(ip.src)) return Drop.Ipv4BadSource;
    if (ip.mf || ip.fragmentOffset !== 0) {
      this.counters.fragments++;
      return Drop.Ipv4Fragment;
    }
    if (this.tcp.frozen) return 0;
    switch (ip.protocol) {
      case PROTOCOL_TCP:
        return this.#tcpInput(ip, bytes, view, csumOk);
      case PROTOCOL_ICMP:
        return this.icmp.input(net, ip, bytes, view);
      case PROTOCOL_UDP:
        return this.udp.input(net, ip, bytes, view, csumOk);
      default:
        this.icmp.sendUnreachable(net, ip, bytes, true);
        return Drop.Ipv4Protocol;
    }
  }

  #tcpInput(ip: Ipv4View, bytes: Uint8Array, view: DataView, csumOk: boolean): number {
    const seg = this.#seg;
    const drop = seg.parse(bytes, view, ip.payloadOffset, ip.payloadLength);
    if (drop !== 0) return drop;
    if (!csumOk) {
      const pseudo =
        (ip.src >>> 16) + (ip.src & 0xffff) + (ip.dst >>> 16) + (ip.dst & 0xffff) + PROTOCOL_TCP + ip.payloadLength;
      if (sum16(bytes, ip.payloadOffset, ip.payloadLength, pseudo) !== 0xffff) {
        this.counters.badChecksum++;
        return Drop.TcpChecksum;
      }
    }
    seg.ce = (ip.tos & 3) === 3;
    this.tcp.input(seg, bytes, ip.dst, ip.src);
    return 0;
  }

  /** An ICMP error about something that we sent. `mtu` is not 0 for "fragmentation needed". */
  unreachable(icmp: IcmpView, mtu: number): void {
    if (icmp.innerProtocol === PROTOCOL_UDP) {
      this.udp.unreachable(icmp.innerSrcPort, icmp.innerDst, icmp.innerDstPort);
      return;
    }
    if (icmp.innerProtocol !== PROTOCOL_TCP) return;
    const conn = this.tcp.table.find(icmp.innerSrc, icmp.innerSrcPort, icmp.innerDst, icmp.innerDstPort);
    if (conn === null) return;
    // RFC 5927: only an error about something in flight can be genuine.
    const offset = conn.sndUna + ((icmp.innerSeq - ((conn.iss + conn.sndUna) >>> 0)) | 0);
    if (offset < conn.sndUna || offset > conn.sndNxt) return;
    if (mtu > 0) {
      const mss = Math.max(48, mtu - 40 - (conn.tsOk ? 12 : 0));
      if (mss < conn.sndMss) {
        conn.sndMss = mss;
        resendAll(conn);
        this.tcp.markDirty(conn);
      }
    } else if (conn.state === TcpState.SynSent) {
      // Hard errors end an attempt, and only hint at trouble for an established connection (RFC 5461).
      this.tcp.remove(conn, icmp.code === 3 ? 'ECONNREFUSED' : 'EHOSTUNREACH');
    }
  }

  tcpRoute(localAddress: number, remoteAddress: number): TcpRoute | null {
    const net = this.#interfaceOf(localAddress);
    if (net === null) return null;
    const hop = this.#nextHop(net, remoteAddress);
    if (hop === 0) {
      this.counters.noRoute++;
      return null;
    }
    return new Ipv4Route(net, localAddress, remoteAddress, hop);
  }

  isLocal(address: number): boolean {
    return this.#interfaceOf(address) !== null;
  }

  sourceFor(remoteAddress: number): number {
    for (const net of this.interfaces) {
      for (const own of net.addresses) if ((remoteAddress & own.mask) === (own.address & own.mask)) return own.address;
    }
    for (const net of this.interfaces) if (net.gateway !== 0) return net.addresses[0]?.address ?? 0;
    return 0;
  }

  mtuFor(remoteAddress: number): number {
    return this.#interfaceOf(this.sourceFor(remoteAddress))?.device.mtu ?? 1500;
  }

  /**
   * Sends the stack's frame, whose pieces are a complete IP payload. @returns false when it could not leave.
   */
  sendIpv4(source: number, destination: number, protocol: number, length: number): boolean {
    const net = this.#interfaceOf(source);
    if (net === null || this.tcp.frozen) return false;
    const hop = this.#nextHop(net, destination);
    if (hop === 0) return false;
    const { frame } = this;
    const at = TX_HEADROOM + net.linkHeader;
    writeIpv4(
      frame.header,
      frame.view,
      at,
      0,
      20 + length,
      this.random.u32() & 0xffff,
      0,
      64,
      protocol,
      source,
      destination,
    );
    frame.headerLength = at + 20 - TX_HEADROOM;
    if (net.linkHeader === 0) return net.transmit();
    const neighbour = net.neighbours.lookup(hop);
    writeEthernet(frame.header, frame.view, TX_HEADROOM, neighbour.mac, net.mac, ETHERTYPE_IPV4);
    if (!neighbour.resolved) {
      net.hold(neighbour);
      return true;
    }
    return net.transmit();
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

  #interfaceOf(address: number): NetInterface | null {
    for (const net of this.interfaces) if (net.hasAddress(address)) return net;
    return null;
  }

  #nextHop(net: NetInterface, destination: number): number {
    if (net.onLink(destination)) return destination;
    return net.gateway;
  }
}
