/** ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): echo, errors out with a rate limit, errors in to the transports. */
import { finish, sum16 } from '../../lib/checksum.js';
import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  IcmpView,
} from '../../lib/packet/icmp.js';
import type { Ipv4View } from '../../lib/packet/ipv4.js';
import type { NetInterface } from '../link/interface.js';
import type { Stack } from '../stack.js';
import { plateauBelow } from './path-mtu.js';

export const HOST_UNREACHABLE = 1;
export const PROTOCOL_UNREACHABLE = 2;
export const PORT_UNREACHABLE = 3;
export const FRAGMENTATION_NEEDED = 4;
const PROTOCOL_ICMP = 1;
const TIMESTAMP_REQUEST = 13;
const TIMESTAMP_REPLY = 14;
/** Errors per second at most (RFC 1812 section 4.3.2.8). */
const ERRORS_PER_SECOND = 100;

/** At most so many of something per second of the stack's time. */
export class RateLimit {
  #windowUs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(readonly perSecond: number) {}

  allow(nowUs: number): boolean {
    if (nowUs - this.#windowUs >= 1_000_000) {
      this.#windowUs = nowUs;
      this.#count = 0;
    }
    return ++this.#count <= this.perSecond;
  }
}

export class Icmp4 {
  readonly counters = { inEchos: 0, outEchoReps: 0, inErrors: 0, outErrors: 0, rateLimited: 0, outBusy: 0 };
  readonly #view = new IcmpView();
  readonly #stack: Stack;
  readonly #limit = new RateLimit(ERRORS_PER_SECOND);

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** @returns a drop reason, 0 for none. */
  input(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView): number {
    const icmp = this.#view;
    const drop = icmp.parse(bytes, view, ip.payloadOffset, ip.payloadLength);
    if (drop !== 0) return drop;
    switch (icmp.type) {
      case ICMP_ECHO_REQUEST:
        this.counters.inEchos++;
        // A broadcast echo is not answered (RFC 1122 section 3.2.2.6 lets us choose; smurf attacks choose for us).
        if (this.#stack.isLocal(ip.dst)) this.#echo(ip, bytes);
        return 0;
      case TIMESTAMP_REQUEST:
        if (this.#stack.isLocal(ip.dst) && ip.payloadLength >= 20) this.#timestamp(ip, bytes);
        return 0;
      case ICMP_UNREACHABLE:
      case ICMP_TIME_EXCEEDED:
      case ICMP_PARAMETER_PROBLEM:
        this.counters.inErrors++;
        this.#error(icmp, bytes, view);
        return 0;
      default:
        this.#stack.raw.deliver(PROTOCOL_ICMP, ip.src, ip.dst, bytes, ip.payloadOffset, ip.payloadLength);
        void net;
        return 0;
    }
  }

  #error(icmp: IcmpView, bytes: Uint8Array, view: DataView): void {
    let mtu = 0;
    if (icmp.type === ICMP_UNREACHABLE && icmp.code === FRAGMENTATION_NEEDED) {
      mtu = icmp.rest & 0xffff;
      if (mtu === 0) mtu = plateauBelow(view.getUint16(icmp.payloadOffset + 2));
    }
    void bytes;
    this.#stack.transportError({
      protocol: icmp.innerProtocol,
      local: icmp.innerSrc,
      localPort: icmp.innerSrcPort,
      remote: icmp.innerDst,
      remotePort: icmp.innerDstPort,
      seq: icmp.innerSeq,
      mtu,
      refused: icmp.type === ICMP_UNREACHABLE && (icmp.code === PORT_UNREACHABLE || icmp.code === PROTOCOL_UNREACHABLE),
      // Time exceeded is a soft error (RFC 1122 section 4.2.3.9).
      hard: icmp.type === ICMP_UNREACHABLE,
    });
  }

  #reply(ip: Ipv4View, reply: Uint8Array): void {
    reply[2] = 0;
    reply[3] = 0;
    const sum = finish(sum16(reply, 0, reply.length, 0));
    reply[2] = sum >>> 8;
    reply[3] = sum & 0xff;
    const { frame } = this.#stack;
    frame.reset();
    frame.addPiece(reply, 0, reply.length);
    if (this.#stack.sendFreely(ip.dst, ip.src, PROTOCOL_ICMP, reply.length)) this.counters.outEchoReps++;
    else this.counters.outBusy++;
  }

  #echo(ip: Ipv4View, bytes: Uint8Array): void {
    const reply = bytes.slice(ip.payloadOffset, ip.payloadOffset + ip.payloadLength);
    reply[0] = ICMP_ECHO_REPLY;
    this.#reply(ip, reply);
  }

  /** RFC 1122 section 3.2.2.8; times are ours since we began, marked as not being those of the day. */
  #timestamp(ip: Ipv4View, bytes: Uint8Array): void {
    const reply = bytes.slice(ip.payloadOffset, ip.payloadOffset + 20);
    reply[0] = TIMESTAMP_REPLY;
    const view = new DataView(reply.buffer);
    const time = (0x80000000 | (Math.floor(this.#stack.now() / 1000) % 86_400_000)) >>> 0;
    view.setUint32(12, time);
    view.setUint32(16, time);
    this.#reply(ip, reply);
  }

  /** Reports a packet of `length` bytes at `start` to its sender, if it may be. */
  sendError(
    net: NetInterface,
    ip: Ipv4View,
    bytes: Uint8Array,
    start: number,
    length: number,
    type: number,
    code: number,
    rest: number,
  ): void {
    const stack = this.#stack;
    // Never about a broadcast, a multicast, a later fragment, another error, or to an address that is none (RFC 1122 section 3.2.2).
    if (stack.frozen || ip.src === 0 || ip.src >>> 28 >= 14 || ip.fragmentOffset > 0) return;
    if (net.isBroadcast(ip.dst) || ip.dst >>> 28 >= 14 || net.isBroadcast(ip.src)) return;
    const header = (bytes[start] & 15) * 4;
    if (ip.protocol === PROTOCOL_ICMP) {
      const inner = bytes[start + header];
      if (inner !== ICMP_ECHO_REPLY && inner !== ICMP_ECHO_REQUEST && inner !== TIMESTAMP_REQUEST) return;
    }
    if (!this.#limit.allow(stack.now())) {
      this.counters.rateLimited++;
      return;
    }
    // As much of the datagram as fits into 576 bytes (RFC 1812 section 4.3.2.3).
    const quoted = Math.min(length, bytes.length - start, 576 - 28);
    const message = new Uint8Array(8 + quoted);
    message[0] = type;
    message[1] = code;
    new DataView(message.buffer).setUint32(4, rest);
    message.set(bytes.subarray(start, start + quoted), 8);
    const sum = finish(sum16(message, 0, message.length, 0));
    message[2] = sum >>> 8;
    message[3] = sum & 0xff;
    const { frame } = stack;
    frame.reset();
    frame.addPiece(message, 0, message.length);
    const source = stack.isLocal(ip.dst) ? ip.dst : (net.addresses[0]?.address ?? 0);
    if (source === 0) return;
    this.counters.outErrors++;
    stack.send(source, ip.src, PROTOCOL_ICMP, message.length);
  }
}
