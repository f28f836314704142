/** ICMPv6 (RFC 4443): echo, errors out with a rate limit, errors in to the transports; neighbour discovery is in nd.ts. */
import { finish, sum16 } from '../../lib/checksum.js';
import { Drop } from '../../lib/packet/drop.js';
import {
  ICMP6_ECHO_REPLY,
  ICMP6_ECHO_REQUEST,
  ICMP6_PARAMETER_PROBLEM,
  ICMP6_TOO_BIG,
  ICMP6_UNREACHABLE,
  Icmp6View,
} from '../../lib/packet/icmp6.js';
import type { Ipv6View } from '../../lib/packet/ipv6.js';
import type { NetInterface } from '../link/interface.js';
import type { Stack } from '../stack.js';
import { RateLimit } from './icmp4.js';
import type { SendOptions } from './ipv4.js';

const PROTOCOL_ICMP6 = 58;
const ERRORS_PER_SECOND = 100;
/** RFC 4443 section 3.1. */
const CODE_PORT = 4;
const MIN_MTU = 1280;

export class Icmp6 {
  readonly counters = { inEchos: 0, outEchoReps: 0, inErrors: 0, outErrors: 0, rateLimited: 0, outBusy: 0 };
  readonly #view = new Icmp6View();
  readonly #stack: Stack;
  readonly #limit = new RateLimit(ERRORS_PER_SECOND);

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** @returns a drop reason, 0 for none. */
  input(
    net: NetInterface,
    ip: Ipv6View,
    src: number,
    dst: number,
    bytes: Uint8Array,
    view: DataView,
    csumOk: boolean,
  ): number {
    const { book } = this.#stack;
    const { payloadOffset, payloadLength } = ip;
    const icmp = this.#view;
    const drop = icmp.parse(bytes, view, payloadOffset, payloadLength);
    if (drop !== 0) return drop;
    if (!csumOk) {
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
      // A multicast echo is answered from an address of ours (RFC 4443 section 4.2 allows it; nobody needs it, attackers do).
      if (!book.isMulticast(dst)) this.#echo(src, dst, bytes, payloadOffset, payloadLength);
      return 0;
    }
    if (icmp.type === ICMP6_ECHO_REPLY) {
      this.#stack.raw.deliver(PROTOCOL_ICMP6, src, dst, bytes, payloadOffset, payloadLength);
      return 0;
    }
    return net.nd.input(icmp, ip, src, dst, bytes, view);
  }

  #echo(src: number, dst: number, bytes: Uint8Array, offset: number, length: number): void {
    const reply = bytes.slice(offset, offset + length);
    reply[0] = ICMP6_ECHO_REPLY;
    if (this.message(dst, src, reply, undefined, true)) this.counters.outEchoReps++;
    else this.counters.outBusy++;
  }

  /** Sends a complete message whose checksum is still to be filled in; `freely` when it depends on nothing that a gate guards. */
  message(source: number, destination: number, message: Uint8Array, options?: SendOptions, freely = false): boolean {
    const { book, frame } = this.#stack;
    message[2] = 0;
    message[3] = 0;
    const pseudo = book.sum(source) + book.sum(destination) + PROTOCOL_ICMP6 + message.length;
    const sum = finish(sum16(message, 0, message.length, pseudo));
    message[2] = sum >>> 8;
    message[3] = sum & 0xff;
    frame.reset();
    frame.addPiece(message, 0, message.length);
    if (freely) return this.#stack.sendFreely(source, destination, PROTOCOL_ICMP6, message.length);
    return this.#stack.send(source, destination, PROTOCOL_ICMP6, message.length, options);
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
   * Reports a packet of `length` bytes at `start` to its sender, if it may be (RFC 4443 section 2.4). Packet Too Big, and
   * what `toMulticast` says, also answers what was sent to a group.
   */
  sendError(
    net: NetInterface,
    src: number,
    dst: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    type: number,
    code: number,
    rest: number,
    toMulticast = false,
  ): void {
    const stack = this.#stack;
    const { book } = stack;
    if (stack.frozen || book.isMulticast(src) || book.isUnspecified(src)) return;
    if (book.isMulticast(dst) && !toMulticast && type !== ICMP6_TOO_BIG) return;
    if (bytes[start + 6] === PROTOCOL_ICMP6) {
      const inner = bytes[start + 40] ?? 0;
      if (inner < 128 || inner === 137) return;
    }
    if (!this.#limit.allow(stack.now())) {
      this.counters.rateLimited++;
      return;
    }
    const source = stack.isLocal(dst) ? dst : net.sourceFor(src);
    if (source === 0) return;
    const quoted = Math.min(length, bytes.length - start, MIN_MTU - 48);
    const message = new Uint8Array(8 + quoted);
    message[0] = type;
    message[1] = code;
    new DataView(message.buffer).setUint32(4, rest);
    message.set(bytes.subarray(start, start + quoted), 8);
    this.counters.outErrors++;
    this.message(source, src, message);
  }
}
