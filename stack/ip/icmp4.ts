/**
 * ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): echo, errors out with a rate limit, errors in to
 * the transports.
 */
import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  IcmpView,
} from '../../lib/packet/icmp.js';
import type { NetworkContext } from '../core/context.js';
import { errorMessage, fillChecksum } from '../core/icmp-message.js';
import type { IpPacket } from '../core/ip-packet.js';
import { plateauBelow } from '../core/path-mtu.js';
import { PROTOCOL_ICMP } from '../core/protocols.js';
import { RateLimit } from '../core/rate-limit.js';

/** Codes of destination unreachable (RFC 792). */
export const HOST_UNREACHABLE = 1;
/** See {@link HOST_UNREACHABLE}. */
export const PROTOCOL_UNREACHABLE = 2;
/** See {@link HOST_UNREACHABLE}. */
export const PORT_UNREACHABLE = 3;
/** See {@link HOST_UNREACHABLE}; the second word is the next hop's MTU (RFC 1191). */
export const FRAGMENTATION_NEEDED = 4;
const TIMESTAMP_REQUEST = 13;
const TIMESTAMP_REPLY = 14;
/** Limit of errors sent (RFC 1812 section 4.3.2.8). */
const MAX_ERRORS_PER_SECOND = 100;
/** Bytes of the reported packet that an error quotes. */
const MAX_QUOTE = 576 - 28;

/** ICMP messages in and out. */
export class Icmp4 {
  readonly counters = { inEchos: 0, outEchoReps: 0, inErrors: 0, outErrors: 0, rateLimited: 0, outBusy: 0 };
  readonly #view = new IcmpView();
  readonly #stack: NetworkContext;
  readonly #limit = new RateLimit(MAX_ERRORS_PER_SECOND);

  constructor(stack: NetworkContext) {
    this.#stack = stack;
  }

  /** An ICMP message for us. @returns a drop reason, 0 for none */
  input(packet: IpPacket): number {
    const icmp = this.#view;
    const drop = icmp.parse(packet.bytes, packet.view, packet.payloadOffset, packet.payloadLength);
    if (drop !== 0) return drop;
    switch (icmp.type) {
      case ICMP_ECHO_REQUEST:
        this.counters.inEchos++;
        // A broadcast echo is not answered (RFC 1122 section 3.2.2.6 allows it): smurf attacks use
        // it.
        if (this.#stack.isLocal(packet.dst)) this.#echo(packet);
        return 0;
      case TIMESTAMP_REQUEST:
        if (this.#stack.isLocal(packet.dst) && packet.payloadLength >= 20) this.#timestamp(packet);
        return 0;
      case ICMP_UNREACHABLE:
      case ICMP_TIME_EXCEEDED:
      case ICMP_PARAMETER_PROBLEM:
        this.counters.inErrors++;
        this.#error(icmp, packet.view);
        return 0;
      default:
        this.#stack.raw.deliver(packet);
        return 0;
    }
  }

  #error(icmp: IcmpView, view: DataView): void {
    let mtu = 0;
    if (icmp.type === ICMP_UNREACHABLE && icmp.code === FRAGMENTATION_NEEDED) {
      mtu = icmp.rest & 0xffff;
      if (mtu === 0) mtu = plateauBelow(view.getUint16(icmp.payloadOffset + 2));
    }
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

  #reply({ src, dst }: IpPacket, reply: Uint8Array): void {
    fillChecksum(reply, 0);
    const { frame } = this.#stack;
    frame.reset();
    frame.addPiece(reply, 0, reply.length);
    if (this.#stack.sendFreely(dst, src, PROTOCOL_ICMP, reply.length)) this.counters.outEchoReps++;
    else this.counters.outBusy++;
  }

  #echo(packet: IpPacket): void {
    const { bytes, payloadOffset, payloadLength } = packet;
    const reply = bytes.slice(payloadOffset, payloadOffset + payloadLength);
    reply[0] = ICMP_ECHO_REPLY;
    this.#reply(packet, reply);
  }

  /**
   * RFC 1122 section 3.2.2.8; the time is that of the stack's clock, marked as not being the time
   * of day.
   */
  #timestamp(packet: IpPacket): void {
    const reply = packet.bytes.slice(packet.payloadOffset, packet.payloadOffset + 20);
    reply[0] = TIMESTAMP_REPLY;
    const view = new DataView(reply.buffer);
    const time = (0x80000000 | (Math.floor(this.#stack.now() / 1000) % 86_400_000)) >>> 0;
    view.setUint32(12, time);
    view.setUint32(16, time);
    this.#reply(packet, reply);
  }

  /**
   * Reports a packet to its sender, if RFC 1122 section 3.2.2 allows it: never about a broadcast, a
   * multicast, a later fragment or another error, nor to an address that is not one host's.
   * @param rest the second word of the header: next-hop MTU, pointer or 0
   */
  sendError(packet: IpPacket, type: number, code: number, rest: number): void {
    const stack = this.#stack;
    const { net, bytes, start, src, dst } = packet;
    if (stack.frozen || src === 0 || src >>> 28 >= 14 || packet.fragmentOffset > 0) return;
    if (net.isBroadcast(dst) || dst >>> 28 >= 14 || net.isBroadcast(src)) return;
    const header = (bytes[start] & 15) * 4;
    if (packet.protocol === PROTOCOL_ICMP) {
      const inner = bytes[start + header];
      if (inner !== ICMP_ECHO_REPLY && inner !== ICMP_ECHO_REQUEST && inner !== TIMESTAMP_REQUEST) return;
    }
    if (!this.#limit.allow(stack.now())) {
      this.counters.rateLimited++;
      return;
    }
    // As much of the datagram as fits into 576 bytes (RFC 1812 section 4.3.2.3).
    const message = errorMessage(packet, MAX_QUOTE, type, code, rest);
    fillChecksum(message, 0);
    const { frame } = stack;
    frame.reset();
    frame.addPiece(message, 0, message.length);
    const source = stack.isLocal(dst) ? dst : (net.addresses[0]?.address ?? 0);
    if (source === 0) return;
    this.counters.outErrors++;
    stack.send(source, src, PROTOCOL_ICMP, message.length);
  }
}
