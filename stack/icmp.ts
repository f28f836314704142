/** ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): echo, errors out with a rate limit, errors in to the transports. */
import { finish, sum16 } from '../lib/checksum.js';
import { IcmpView } from '../lib/packet/icmp.js';
import type { Ipv4View } from '../lib/packet/ipv4.js';
import type { NetInterface } from './interface.js';
import type { Stack } from './stack.js';

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO_REQUEST = 8;
const PORT_UNREACHABLE = 3;
const PROTOCOL_UNREACHABLE = 2;
const FRAGMENTATION_NEEDED = 4;
const PROTOCOL_ICMP = 1;
/** Errors per second at most (RFC 1812 section 4.3.2.8). */
const ERRORS_PER_SECOND = 100;

export class Icmp {
  readonly counters = { inEchos: 0, outEchoReps: 0, inErrors: 0, outErrors: 0, rateLimited: 0, outBusy: 0 };
  readonly #view = new IcmpView();
  readonly #stack: Stack;
  #windowUs = 0;
  #errors = 0;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** @returns a drop reason, 0 for none. */
  input(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, view: DataView): number {
    const icmp = this.#view;
    const drop = icmp.parse(bytes, view, ip.payloadOffset, ip.payloadLength);
    if (drop !== 0) return drop;
    if (icmp.type === ECHO_REQUEST) {
      this.counters.inEchos++;
      // A broadcast echo is not answered (RFC 1122 section 3.2.2.6 lets us choose; smurf attacks choose for us).
      if (net.hasAddress(ip.dst)) this.#echo(ip, bytes);
      return 0;
    }
    if (icmp.type === UNREACHABLE) {
      this.counters.inErrors++;
      this.#stack.unreachable(icmp, icmp.code === FRAGMENTATION_NEEDED ? icmp.rest & 0xffff : 0);
    }
    return 0;
  }

  #echo(ip: Ipv4View, bytes: Uint8Array): void {
    const frame = this.#stack.frame;
    const reply = bytes.slice(ip.payloadOffset, ip.payloadOffset + ip.payloadLength);
    reply[0] = ECHO_REPLY;
    reply[2] = 0;
    reply[3] = 0;
    const sum = finish(sum16(reply, 0, reply.length, 0));
    reply[2] = sum >>> 8;
    reply[3] = sum & 0xff;
    frame.reset();
    frame.addPiece(reply, 0, reply.length);
    if (this.#stack.sendIpv4(ip.dst, ip.src, PROTOCOL_ICMP, reply.length)) this.counters.outEchoReps++;
    else this.counters.outBusy++;
  }

  /** Answers a datagram that no socket wants (port), or whose protocol nobody speaks. */
  sendUnreachable(net: NetInterface, ip: Ipv4View, bytes: Uint8Array, protocol: boolean): void {
    // Never about a broadcast, a multicast, or from an address that is none (RFC 1122 section 3.2.2).
    if (!net.hasAddress(ip.dst) || ip.src === 0 || ip.src >>> 28 >= 14 || this.#stack.frozen) return;
    const now = this.#stack.now();
    if (now - this.#windowUs >= 1_000_000) {
      this.#windowUs = now;
      this.#errors = 0;
    }
    if (++this.#errors > ERRORS_PER_SECOND) {
      this.counters.rateLimited++;
      return;
    }
    const start = ip.payloadOffset - ip.headerLength;
    // As much of the datagram as fits into 576 bytes (RFC 1812 section 4.3.2.3).
    const quoted = Math.min(ip.totalLength, 576 - 28);
    const message = new Uint8Array(8 + quoted);
    message[0] = UNREACHABLE;
    message[1] = protocol ? PROTOCOL_UNREACHABLE : PORT_UNREACHABLE;
    message.set(bytes.subarray(start, start + quoted), 8);
    const sum = finish(sum16(message, 0, message.length, 0));
    message[2] = sum >>> 8;
    message[3] = sum & 0xff;
    const frame = this.#stack.frame;
    frame.reset();
    frame.addPiece(message, 0, message.length);
    this.counters.outErrors++;
    this.#stack.sendIpv4(ip.dst, ip.src, PROTOCOL_ICMP, message.length);
  }
}
