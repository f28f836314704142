/** UDP (RFC 768): bound ports with a callback each. The stream sockets' world knows nothing of it; services use it directly. */
import { formatIPv4 } from '../lib/address.js';
import { finish, sum16 } from '../lib/checksum.js';
import { FtError } from '../lib/errors.js';
import { Drop } from '../lib/packet/drop.js';
import type { Ipv4View } from '../lib/packet/ipv4.js';
import { UdpView } from '../lib/packet/udp.js';
import type { NetInterface } from './interface.js';
import type { Stack } from './stack.js';

const PROTOCOL_UDP = 17;
const MAX_PAYLOAD = 65_507;

export interface UdpEvents {
  /** A datagram arrived; the buffer is the receiver's. Addresses are u32. */
  onMessage(payload: Buffer, remoteAddress: number, remotePort: number, localAddress: number): void;
  /** The peer's host says that nobody listens there. */
  onUnreachable?(remoteAddress: number, remotePort: number): void;
}

export class UdpSocket {
  closed = false;
  constructor(
    readonly udp: Udp,
    readonly address: number,
    readonly port: number,
    readonly events: UdpEvents,
  ) {}

  /**
   * Sends a datagram (copied).
   * @returns false when the device was busy and the datagram was dropped, as UDP may.
   * @throws FtError EMSGSIZE, EHOSTUNREACH
   */
  send(payload: Uint8Array, remoteAddress: number, remotePort: number): boolean {
    return this.udp.send(this, payload, remoteAddress, remotePort);
  }

  close(): void {
    this.udp.unbind(this);
  }
}

export class Udp {
  readonly counters = { inDatagrams: 0, noPorts: 0, outDatagrams: 0, outDropped: 0 };
  readonly #ports = new Map<number, UdpSocket>();
  readonly #view = new UdpView();
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Binds a port (0 chooses one). Throws FtError EADDRINUSE. */
  bind(address: number, port: number, events: UdpEvents): UdpSocket {
    if (port === 0) {
      port = 49_152;
      while (port < 65_536 && this.#ports.has(port)) port++;
    }
    if (port > 65_535 || this.#ports.has(port)) {
      throw new FtError('EADDRINUSE', `UDP port ${port} is in use`, 'Close the other socket or choose another port');
    }
    const socket = new UdpSocket(this, address, port, events);
    this.#ports.set(port, socket);
    return socket;
  }

  unbind(socket: UdpSocket): void {
    if (socket.closed) return;
    socket.closed = true;
    this.#ports.delete(socket.port);
  }

  /** @returns a drop reason, 0 for none. */
  input(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView, csumOk: boolean): number {
    const udp = this.#view;
    const drop = udp.parse(bytes, view, ip.payloadOffset, ip.payloadLength);
    if (drop !== 0) return drop;
    if (!csumOk && view.getUint16(ip.payloadOffset + 6) !== 0) {
      const pseudo = pseudoSum(ip.src, ip.dst, udp.length);
      if (sum16(bytes, ip.payloadOffset, udp.length, pseudo) !== 0xffff) return Drop.UdpChecksum;
    }
    const socket = this.#ports.get(udp.dstPort);
    if (socket === undefined || (socket.address !== 0 && socket.address !== ip.dst)) {
      this.counters.noPorts++;
      this.#stack.icmp.sendUnreachable(net, ip, bytes, false);
      return 0;
    }
    this.counters.inDatagrams++;
    const payload = Buffer.from(bytes.subarray(udp.payloadOffset, udp.payloadOffset + udp.payloadLength));
    socket.events.onMessage(payload, ip.src, udp.srcPort, ip.dst);
    return 0;
  }

  unreachable(localPort: number, remoteAddress: number, remotePort: number): void {
    this.#ports.get(localPort)?.events.onUnreachable?.(remoteAddress, remotePort);
  }

  send(socket: UdpSocket, payload: Uint8Array, remoteAddress: number, remotePort: number): boolean {
    const source = socket.address !== 0 ? socket.address : this.#stack.sourceFor(remoteAddress);
    if (source === 0)
      throw new FtError('EHOSTUNREACH', `No route to ${formatIPv4(remoteAddress)}`, 'Give the stack a gateway');
    const mtu = this.#stack.mtuFor(remoteAddress);
    if (payload.length > Math.min(MAX_PAYLOAD, mtu - 28)) {
      throw new FtError(
        'EMSGSIZE',
        `A datagram of ${payload.length} bytes does not fit`,
        `Send at most ${mtu - 28} bytes`,
      );
    }
    const datagram = new Uint8Array(8 + payload.length);
    const view = new DataView(datagram.buffer);
    view.setUint16(0, socket.port);
    view.setUint16(2, remotePort);
    view.setUint16(4, datagram.length);
    datagram.set(payload, 8);
    const sum = finish(sum16(datagram, 0, datagram.length, pseudoSum(source, remoteAddress, datagram.length)));
    view.setUint16(6, sum === 0 ? 0xffff : sum);
    const frame = this.#stack.frame;
    frame.reset();
    frame.addPiece(datagram, 0, datagram.length);
    const sent = this.#stack.sendIpv4(source, remoteAddress, PROTOCOL_UDP, datagram.length);
    if (sent) this.counters.outDatagrams++;
    else this.counters.outDropped++;
    return sent;
  }
}

function pseudoSum(a: number, b: number, length: number): number {
  return (a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff) + PROTOCOL_UDP + length;
}
