/**
 * UDP (RFC 768): bound ports with a callback each. Where output waits for replication (stack.gate),
 * datagrams wait too, up to a limit and in order. A frozen stack sends none.
 */
import { finish, sum16 } from '../lib/checksum.js';
import { FtError } from '../lib/errors.js';
import { Drop } from '../lib/packet/drop.js';
import { UdpView } from '../lib/packet/udp.js';
import { isV6 } from './core/address-book.js';
import type { SendOptions, StackContext } from './core/context.js';
import type { IpPacket } from './core/ip-packet.js';
import type { Link } from './core/link-context.js';
import { PROTOCOL_UDP } from './core/protocols.js';

const MAX_PAYLOAD4 = 65_507;
const MAX_PAYLOAD6 = 65_527;
/** Datagrams and bytes that may wait for the gate; more are dropped, as UDP may. */
const MAX_WAITING = 4096;
const MAX_WAITING_BYTES = 8 << 20;

/** What a UDP socket is told. */
export interface UdpEvents {
  /**
   * A datagram arrived; the receiver owns the buffer. Addresses are numbers of the address book,
   * valid during the call.
   */
  onMessage(payload: Buffer, remoteAddress: number, remotePort: number, localAddress: number): void;
  /** The peer's host reports that the port is closed. */
  onUnreachable?(remoteAddress: number, remotePort: number): void;
}

/** A bound UDP port. */
export class UdpSocket {
  closed = false;
  /** Groups joined, with the interface. */
  readonly groups: { net: Link; group: number }[] = [];

  constructor(
    readonly udp: Udp,
    /** 0 or "::" stand for every address; see `family`. */
    readonly address: number,
    readonly port: number,
    readonly events: UdpEvents,
    /** Families whose datagrams it takes, when it is bound to no address. */
    readonly families: { v4: boolean; v6: boolean },
  ) {}

  /** Whether a datagram to this address is for the socket. */
  takes(address: number, any: boolean): boolean {
    return any ? (isV6(address) ? this.families.v6 : this.families.v4) : this.address === address;
  }

  /**
   * Sends a datagram (copied), at once or when the gate lets it.
   * @returns false when the device was busy, or too much was waiting, and the datagram was dropped,
   * as UDP may.
   * @throws FtError EMSGSIZE, EHOSTUNREACH
   */
  send(payload: Uint8Array, remoteAddress: number, remotePort: number, options?: SendOptions): boolean {
    return this.udp.send(this, payload, remoteAddress, remotePort, options);
  }

  /** Joins a group on an interface. @throws FtError EINVAL, ENOBUFS, EADDRINUSE */
  join(group: number, net: Link): void {
    this.udp.join(this, group, net);
  }

  /** @throws FtError EADDRNOTAVAIL when it was not joined. */
  leave(group: number, net: Link): void {
    this.udp.leave(this, group, net);
  }

  close(): void {
    this.udp.unbind(this);
  }
}

/** How a socket is bound. */
export interface UdpBind {
  /** Take datagrams of both families when bound to "::" (default true). */
  dual?: boolean;
  /**
   * Share the port with sockets that set this too: each gets a copy of multicasts, the last one all
   * unicasts.
   */
  reuse?: boolean;
}

/** UDP of one stack. */
export class Udp {
  readonly counters = { inDatagrams: 0, noPorts: 0, inErrors: 0, outDatagrams: 0, outDropped: 0 };
  /** Datagrams that wait for the gate, complete from the UDP header on. */
  #waiting: {
    source: number;
    remote: number;
    datagram: Uint8Array;
    options: SendOptions | undefined;
    position: number;
  }[] = [];
  #waitingBytes = 0;
  readonly #ports = new Map<number, UdpSocket[]>();
  readonly #shared = new WeakSet<UdpSocket>();
  readonly #view = new UdpView();
  readonly #stack: StackContext;
  #nextPort = 0;

  constructor(stack: StackContext) {
    this.#stack = stack;
  }

  /** Sockets that are bound. */
  get size(): number {
    let count = 0;
    for (const here of this.#ports.values()) count += here.length;
    return count;
  }

  /**
   * Binds a port (0 chooses one); address 0 is every IPv4 one, "::" every one. Throws FtError
   * EADDRINUSE, EADDRNOTAVAIL.
   */
  bind(address: number, port: number, events: UdpEvents, options: UdpBind = {}): UdpSocket {
    const stack = this.#stack;
    const any = address === 0 || address === stack.unspecified6;
    if (!any && !stack.isLocal(address) && !stack.book.isMulticast(address))
      throw new FtError(
        'EADDRNOTAVAIL',
        `The stack does not have the address ${stack.book.format(address)}`,
        'Bind to an address of an interface, or to 0.0.0.0 or ::',
      );
    const v6 = isV6(address);
    const families = { v4: !v6 || options.dual !== false, v6 };
    if (port === 0) port = this.#freePort();
    const here = this.#ports.get(port) ?? [];
    const clash = here.some((other) => {
      if (options.reuse === true && this.#shared.has(other)) return false;
      const otherAny = other.address === 0 || other.address === stack.unspecified6;
      if (any && otherAny) return (families.v4 && other.families.v4) || (families.v6 && other.families.v6);
      if (any) return other.takes(other.address, false) && (isV6(other.address) ? families.v6 : families.v4);
      if (otherAny) return other.takes(address, true);
      return other.address === address;
    });
    if (port < 0 || port > 65_535 || clash) {
      throw new FtError('EADDRINUSE', `UDP port ${port} is in use`, 'Close the other socket or choose another port');
    }
    const socket = new UdpSocket(this, address, port, events, families);
    if (options.reuse === true) this.#shared.add(socket);
    this.#ports.set(port, [...here, socket]);
    return socket;
  }

  #freePort(): number {
    // Derived from the secret that replicas share: each replica of a program gets the same ports.
    const input = new Uint8Array(8);
    new DataView(input.buffer).setUint32(0, this.#nextPort);
    const from = this.#stack.hash.hash(input, 8) % 16_384;
    for (let i = 0; i < 16_384; i++) {
      const port = 49_152 + ((from + i + this.#nextPort++) % 16_384);
      if (!this.#ports.has(port)) return port;
    }
    return -1;
  }

  unbind(socket: UdpSocket): void {
    if (socket.closed) return;
    socket.closed = true;
    for (const { net, group } of socket.groups.splice(0)) net.leave(group);
    const rest = (this.#ports.get(socket.port) ?? []).filter((other) => other !== socket);
    if (rest.length > 0) this.#ports.set(socket.port, rest);
    else this.#ports.delete(socket.port);
  }

  join(socket: UdpSocket, group: number, net: Link): void {
    if (!this.#stack.book.isMulticast(group))
      throw new FtError(
        'EINVAL',
        `${this.#stack.book.format(group)} is not a multicast address`,
        'Join 224.0.0.0/4 or ff00::/8',
      );
    if (socket.groups.some((one) => one.group === group && one.net === net))
      throw new FtError('EADDRINUSE', 'The socket is in that group already', 'Join each group once');
    if (!net.join(group)) throw new FtError('ENOBUFS', `${net.name} is in too many groups`, 'Leave one');
    socket.groups.push({ net, group });
  }

  leave(socket: UdpSocket, group: number, net: Link): void {
    const at = socket.groups.findIndex((one) => one.group === group && one.net === net);
    if (at < 0) throw new FtError('EADDRNOTAVAIL', 'The socket is not in that group', 'Join it first');
    socket.groups.splice(at, 1);
    net.leave(group);
  }

  /** A datagram for us. @returns a drop reason, 0 for none; Drop.UdpPort when the port is closed */
  input(packet: IpPacket): number {
    const { net, src, dst, bytes, view, payloadOffset: offset } = packet;
    const { book } = this.#stack;
    const udp = this.#view;
    const drop = udp.parse(bytes, view, offset, packet.payloadLength);
    if (drop !== 0) {
      if (drop === Drop.UdpPort) return 0;
      this.counters.inErrors++;
      return drop;
    }
    // IPv6 has no datagrams without checksum (RFC 8200 section 8.1).
    const without = view.getUint16(offset + 6) === 0;
    if (!packet.checksumVerified && (!without || isV6(dst))) {
      const pseudo = book.sum(src) + book.sum(dst) + PROTOCOL_UDP + udp.length;
      if (without || sum16(bytes, offset, udp.length, pseudo) !== 0xffff) {
        this.counters.inErrors++;
        return Drop.UdpChecksum;
      }
    }
    const here = this.#ports.get(udp.dstPort) ?? [];
    const group = book.isMulticast(dst) || net.isBroadcast(dst);
    const { payloadOffset, payloadLength, srcPort } = udp;
    let taken = false;
    const give = (socket: UdpSocket): void => {
      taken = true;
      this.counters.inDatagrams++;
      const payload = Buffer.from(bytes.subarray(payloadOffset, payloadOffset + payloadLength));
      socket.events.onMessage(payload, src, srcPort, dst);
    };
    if (group) {
      for (const socket of here) {
        const member = socket.groups.some((one) => one.group === dst && one.net === net) || !book.isMulticast(dst);
        if (member || socket.address === dst) give(socket);
      }
      return 0;
    }
    const exact = here.findLast((socket) => socket.takes(dst, false));
    const socket =
      exact ??
      here.findLast((one) => (one.address === 0 || one.address === this.#stack.unspecified6) && one.takes(dst, true));
    if (socket !== undefined) give(socket);
    if (taken) return 0;
    this.counters.noPorts++;
    return Drop.UdpPort;
  }

  /** ICMP reports that a remote port is closed: tells the sockets that may have sent to it. */
  unreachable(local: number, localPort: number, remoteAddress: number, remotePort: number): void {
    for (const socket of this.#ports.get(localPort) ?? []) {
      const any = socket.address === 0 || socket.address === this.#stack.unspecified6;
      if (socket.takes(local, any)) socket.events.onUnreachable?.(remoteAddress, remotePort);
    }
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const { source, remote } of this.#waiting) {
      mark(source);
      mark(remote);
    }
    for (const here of this.#ports.values()) for (const socket of here) mark(socket.address);
  }

  send(
    socket: UdpSocket,
    payload: Uint8Array,
    remoteAddress: number,
    remotePort: number,
    options?: SendOptions,
  ): boolean {
    const stack = this.#stack;
    const { book } = stack;
    const bound = socket.address !== 0 && socket.address !== stack.unspecified6 && !book.isMulticast(socket.address);
    const source = bound ? socket.address : (options?.net?.sourceFor(remoteAddress) ?? stack.sourceFor(remoteAddress));
    if (source === 0 || isV6(source) !== isV6(remoteAddress))
      throw new FtError('EHOSTUNREACH', `No route to ${book.format(remoteAddress)}`, 'Give the stack a gateway');
    const max = isV6(remoteAddress) ? MAX_PAYLOAD6 : MAX_PAYLOAD4;
    if (payload.length > max) {
      throw new FtError('EMSGSIZE', `A datagram of ${payload.length} bytes does not fit`, `Send at most ${max} bytes`);
    }
    const datagram = new Uint8Array(8 + payload.length);
    const view = new DataView(datagram.buffer);
    view.setUint16(0, socket.port);
    view.setUint16(2, remotePort);
    view.setUint16(4, datagram.length);
    datagram.set(payload, 8);
    const pseudo = book.sum(source) + book.sum(remoteAddress) + PROTOCOL_UDP + datagram.length;
    const sum = finish(sum16(datagram, 0, datagram.length, pseudo));
    view.setUint16(6, sum === 0 ? 0xffff : sum);
    // The stack that this one follows sends it.
    if (stack.frozen) return true;
    if (stack.gate === null) return this.#transmit(source, remoteAddress, datagram, options);
    if (this.#waiting.length >= MAX_WAITING || this.#waitingBytes + datagram.length > MAX_WAITING_BYTES) {
      this.counters.outDropped++;
      return false;
    }
    this.#waiting.push({ source, remote: remoteAddress, datagram, options, position: stack.gate.end });
    this.#waitingBytes += datagram.length;
    return true;
  }

  /** Sends the datagrams that have waited, as far as the gate is open. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const { gate } = this.#stack;
    const open = gate === null || gate.isOpen();
    let done = 0;
    for (const { source, remote, datagram, options, position } of this.#waiting) {
      if (!open && !gate.reached(position)) break;
      this.#transmit(source, remote, datagram, options);
      this.#waitingBytes -= datagram.length;
      done++;
    }
    if (done > 0) this.#waiting = this.#waiting.slice(done);
  }

  /**
   * The position that the gate must reach before the next datagram leaves; null when none waits.
   */
  get waitsFor(): number | null {
    return this.#waiting[0]?.position ?? null;
  }

  /** Sends a datagram; nothing that it depends on waits for the gate. */
  #transmit(source: number, remote: number, datagram: Uint8Array, options: SendOptions | undefined): boolean {
    const { frame } = this.#stack;
    frame.reset();
    frame.committed = true;
    frame.addPiece(datagram, 0, datagram.length);
    const sent = this.#stack.send(source, remote, PROTOCOL_UDP, datagram.length, options);
    if (sent) this.counters.outDatagrams++;
    else this.counters.outDropped++;
    return sent;
  }
}
