/**
 * ICMPv6 (RFC 4443), with the packet that an error message quotes. The checksum is the caller's: it
 * needs the addresses.
 */
import { Drop } from './drop.js';
import { DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, IPV6_HEADER, ROUTING } from './ipv6.js';

/** Types of error messages (RFC 4443 section 3). */
export const ICMP6_UNREACHABLE = 1;
/** See {@link ICMP6_UNREACHABLE}. */
export const ICMP6_TOO_BIG = 2;
/** See {@link ICMP6_UNREACHABLE}. */
export const ICMP6_TIME_EXCEEDED = 3;
/** See {@link ICMP6_UNREACHABLE}. */
export const ICMP6_PARAMETER_PROBLEM = 4;
/** RFC 4443 section 4.1. */
export const ICMP6_ECHO_REQUEST = 128;
/** RFC 4443 section 4.2. */
export const ICMP6_ECHO_REPLY = 129;
/** Multicast listener query (RFC 3810 section 5.1). */
export const MLD_QUERY = 130;
/** RFC 4861 section 4.1. */
export const ROUTER_SOLICITATION = 133;
/** RFC 4861 section 4.2. */
export const ROUTER_ADVERTISEMENT = 134;
/** RFC 4861 section 4.3. */
export const NEIGHBOUR_SOLICITATION = 135;
/** RFC 4861 section 4.4. */
export const NEIGHBOUR_ADVERTISEMENT = 136;
/** Multicast listener report, version 2 (RFC 3810 section 5.2). */
export const MLD2_REPORT = 143;

/** A received ICMPv6 message; one object for all messages. */
export class Icmp6View {
  type = 0;
  code = 0;
  /** The second word: identifier and sequence, MTU, pointer, flags. */
  rest = 0;
  payloadOffset = 0;
  payloadLength = 0;
  // Of the quoted packet, in error messages; protocol 0 when it cannot be told.
  innerProtocol = 0;
  innerSrcAt = 0;
  innerDstAt = 0;
  innerSrcPort = 0;
  innerDstPort = 0;
  innerSeq = 0;

  /** @returns a drop reason, 0 for none. */
  parse(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 8) return Drop.IcmpShort;
    this.type = bytes[offset];
    this.code = bytes[offset + 1];
    this.rest = view.getUint32(offset + 4);
    this.payloadOffset = offset + 8;
    this.payloadLength = length - 8;
    this.innerProtocol = 0;
    return this.type < 128 ? this.#quote(bytes, view) : 0;
  }

  #quote(bytes: Uint8Array, view: DataView): number {
    const start = this.payloadOffset;
    const end = start + this.payloadLength;
    if (this.payloadLength < IPV6_HEADER || bytes[start] >>> 4 !== 6) return Drop.IcmpQuote;
    this.innerSrcAt = start + 8;
    this.innerDstAt = start + 24;
    let next = bytes[start + 6];
    let at = start + IPV6_HEADER;
    for (let i = 0; i < 8; i++) {
      const extension = next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS || next === FRAGMENT;
      if (!extension) break;
      if (at + 8 > end) return 0;
      const size = next === FRAGMENT ? 8 : 8 * (bytes[at + 1] + 1);
      next = bytes[at];
      at += size;
    }
    if (at + 8 > end) return 0;
    this.innerProtocol = next;
    this.innerSrcPort = view.getUint16(at);
    this.innerDstPort = view.getUint16(at + 2);
    this.innerSeq = view.getUint32(at + 4);
    return 0;
  }
}
