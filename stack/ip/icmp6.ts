/**
 * ICMPv6 (RFC 4443): echo, errors out with a rate limit, errors in to the transports; neighbour
 * discovery is in link/neighbour-discovery.ts.
 */
import { sum16 } from '../../lib/checksum.js';
import { Drop } from '../../lib/packet/drop.js';
import {
  ICMP6_ECHO_REPLY,
  ICMP6_ECHO_REQUEST,
  ICMP6_PARAMETER_PROBLEM,
  ICMP6_TOO_BIG,
  ICMP6_UNREACHABLE,
  Icmp6View,
} from '../../lib/packet/icmp6.js';
import type { NetworkContext, SendOptions } from '../core/context.js';
import { errorMessage, fillChecksum } from '../core/icmp-message.js';
import type { IpPacket } from '../core/ip-packet.js';
import { PROTOCOL_ICMP6 } from '../core/protocols.js';
import { RateLimit } from '../core/rate-limit.js';

/** Limit of errors sent (RFC 4443 section 2.4 f). */
const MAX_ERRORS_PER_SECOND = 100;
/** Code of destination unreachable: port unreachable (RFC 4443 section 3.1). */
const CODE_PORT = 4;
/** RFC 4861 section 4.5. */
const REDIRECT = 137;
/** RFC 8200 section 5, bytes. */
const MIN_MTU = 1280;

/** ICMPv6 messages in and out. */
export class Icmp6 {
  readonly counters = { inEchos: 0, outEchoReps: 0, inErrors: 0, outErrors: 0, rateLimited: 0, outBusy: 0 };
  readonly #view = new Icmp6View();
  readonly #stack: NetworkContext;
  readonly #limit = new RateLimit(MAX_ERRORS_PER_SECOND);

  constructor(stack: NetworkContext) {
    this.#stack = stack;
  }

  /** An ICMPv6 message for us. @returns a drop reason, 0 for none */
  input(packet: IpPacket): number {
    const { book } = this.#stack;
    const { src, dst, bytes, view, payloadOffset, payloadLength } = packet;
    const icmp = this.#view;
    const drop = icmp.parse(bytes, view, payloadOffset, payloadLength);
    if (drop !== 0) return drop;
    if (!packet.checksumVerified) {
      const pseudo = book.sum(src) + book.sum(dst) + PROTOCOL_ICMP6 + payloadLength;
      if (sum16(bytes, payloadOffset, payloadLength, pseudo) !== 0xffff) return Drop.IcmpChecksum;
    }
    if (icmp.type < 128) {
      this.counters.inErrors++;
      this.#error(icmp, bytes);
      return 0;
    }
    if (icmp.type === ICMP6_ECHO_REQUEST) {
      this.counters.inEchos++;
      // RFC 4443 section 4.2 allows an answer to a multicast echo; only attackers need it.
      if (!book.isMulticast(dst)) this.#echo(packet);
      return 0;
    }
    if (icmp.type === ICMP6_ECHO_REPLY) {
      this.#stack.raw.deliver(packet);
      return 0;
    }
    return packet.net.nd.input(icmp, packet);
  }

  #echo({ src, dst, bytes, payloadOffset, payloadLength }: IpPacket): void {
    const reply = bytes.slice(payloadOffset, payloadOffset + payloadLength);
    reply[0] = ICMP6_ECHO_REPLY;
    this.#prepare(dst, src, reply);
    if (this.#stack.sendFreely(dst, src, PROTOCOL_ICMP6, reply.length)) this.counters.outEchoReps++;
    else this.counters.outBusy++;
  }

  /**
   * Sends a complete message whose checksum is still to be filled in.
   * @returns false when it could not leave
   */
  message(source: number, destination: number, message: Uint8Array, options?: SendOptions): boolean {
    this.#prepare(source, destination, message);
    return this.#stack.send(source, destination, PROTOCOL_ICMP6, message.length, options);
  }

  /** Fills in the checksum, and makes the message the frame's payload. */
  #prepare(source: number, destination: number, message: Uint8Array): void {
    const { book, frame } = this.#stack;
    fillChecksum(message, book.sum(source) + book.sum(destination) + PROTOCOL_ICMP6 + message.length);
    frame.reset();
    frame.addPiece(message, 0, message.length);
  }

  #error(icmp: Icmp6View, bytes: Uint8Array): void {
    if (icmp.innerProtocol === 0) return;
    const { book } = this.#stack;
    const local = book.intern(bytes, icmp.innerSrcAt);
    const remote = local < 0 ? -1 : book.intern(bytes, icmp.innerDstAt);
    if (remote < 0) return;
    const unreachable = icmp.type === ICMP6_UNREACHABLE;
    this.#stack.transportError({
      protocol: icmp.innerProtocol,
      local,
      localPort: icmp.innerSrcPort,
      remote,
      remotePort: icmp.innerDstPort,
      seq: icmp.innerSeq,
      mtu: icmp.type === ICMP6_TOO_BIG ? Math.max(MIN_MTU, icmp.rest) : 0,
      refused: unreachable && icmp.code === CODE_PORT,
      hard: unreachable || (icmp.type === ICMP6_PARAMETER_PROBLEM && icmp.code === 1),
    });
  }

  /**
   * Reports a packet to its sender, if RFC 4443 section 2.4 allows it.
   * @param rest the second word of the header: MTU, pointer or 0
   * @param toMulticast whether it is sent although the packet was for a group; Packet Too Big
   * always is
   */
  sendError(packet: IpPacket, type: number, code: number, rest: number, toMulticast = false): void {
    const stack = this.#stack;
    const { book } = stack;
    const { src, dst, bytes, start } = packet;
    if (stack.frozen || book.isMulticast(src) || book.isUnspecified(src)) return;
    if (book.isMulticast(dst) && !toMulticast && type !== ICMP6_TOO_BIG) return;
    if (bytes[start + 6] === PROTOCOL_ICMP6) {
      const inner = bytes[start + 40] ?? 0;
      if (inner < 128 || inner === REDIRECT) return;
    }
    if (!this.#limit.allow(stack.now())) {
      this.counters.rateLimited++;
      return;
    }
    const source = stack.isLocal(dst) ? dst : packet.net.sourceFor(src);
    if (source === 0) return;
    this.counters.outErrors++;
    this.message(source, src, errorMessage(packet, MIN_MTU - 48, type, code, rest));
  }
}
