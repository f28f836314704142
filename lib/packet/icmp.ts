/** ICMP for IPv4 (RFC 792), with the datagram that an error message quotes. */
import { sum16 } from '../checksum.js';
import { Drop } from './drop.js';

/** Message types of ICMP (RFC 792). */
export const ICMP_ECHO_REPLY = 0;
/** See {@link ICMP_ECHO_REPLY}. */
export const ICMP_UNREACHABLE = 3;
/** See {@link ICMP_ECHO_REPLY}. */
export const ICMP_ECHO_REQUEST = 8;
/** See {@link ICMP_ECHO_REPLY}. */
export const ICMP_TIME_EXCEEDED = 11;
/** See {@link ICMP_ECHO_REPLY}. */
export const ICMP_PARAMETER_PROBLEM = 12;

/** A received ICMP message; one object for all messages. */
export class IcmpView {
  type = 0;
  code = 0;
  /** The second word of the header: identifier and sequence, next-hop MTU, pointer, … */
  rest = 0;
  payloadOffset = 0;
  payloadLength = 0;
  // Of the quoted datagram, in error messages; 0 otherwise.
  innerProtocol = 0;
  innerSrc = 0;
  innerDst = 0;
  innerSrcPort = 0;
  innerDstPort = 0;
  innerSeq = 0;

  /** @returns a drop reason, 0 for none. */
  parse(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 8) return Drop.IcmpShort;
    if (sum16(bytes, offset, length, 0) !== 0xffff) return Drop.IcmpChecksum;
    this.type = bytes[offset];
    this.code = bytes[offset + 1];
    this.rest = view.getUint32(offset + 4);
    this.payloadOffset = offset + 8;
    this.payloadLength = length - 8;
    this.innerProtocol = 0;
    this.innerSrc = 0;
    this.innerDst = 0;
    this.innerSrcPort = 0;
    this.innerDstPort = 0;
    this.innerSeq = 0;
    const error =
      this.type === ICMP_UNREACHABLE || this.type === ICMP_TIME_EXCEEDED || this.type === ICMP_PARAMETER_PROBLEM;
    return error ? this.#quote(bytes, view) : 0;
  }

  #quote(bytes: Uint8Array, view: DataView): number {
    const at = this.payloadOffset;
    if (this.payloadLength < 28 || bytes[at] >>> 4 !== 4) return Drop.IcmpQuote;
    const header = (bytes[at] & 15) * 4;
    if (header < 20 || header + 8 > this.payloadLength) return Drop.IcmpQuote;
    this.innerProtocol = bytes[at + 9];
    this.innerSrc = view.getUint32(at + 12);
    this.innerDst = view.getUint32(at + 16);
    this.innerSrcPort = view.getUint16(at + header);
    this.innerDstPort = view.getUint16(at + header + 2);
    this.innerSeq = view.getUint32(at + header + 4);
    return 0;
  }
}
