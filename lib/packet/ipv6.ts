/** IPv6 with its extension headers (RFC 8200 section 4). */
import { Drop } from './drop.js';

/** Length of the fixed header, bytes. */
export const IPV6_HEADER = 40;
/** Protocol numbers of extension headers (RFC 8200 section 4.1). */
export const HOP_BY_HOP = 0;
/** See {@link HOP_BY_HOP}. */
export const ROUTING = 43;
/** See {@link HOP_BY_HOP}. */
export const FRAGMENT = 44;
/** Nothing follows (RFC 8200 section 4.7). */
export const NO_NEXT_HEADER = 59;
/** See {@link HOP_BY_HOP}. */
export const DESTINATION_OPTIONS = 60;
/** More extension headers than that are no sane packet's. */
const MAX_HEADERS = 8;

/** A received IPv6 header with its extension headers; one object for all packets. */
export class Ipv6View {
  /** Where the header begins. */
  offset = 0;
  trafficClass = 0;
  flowLabel = 0;
  hopLimit = 0;
  /** Bytes of the whole packet, header included. */
  totalLength = 0;
  /** Protocol above IP, behind all extension headers. */
  protocol = 0;
  payloadOffset = 0;
  payloadLength = 0;
  /** A fragment header was there, and the packet is not whole. */
  fragment = false;
  fragmentOffset = 0;
  more = false;
  fragmentId = 0;
  /** Where the protocol number stands that led to `protocol`; of use to parameter problems. */
  protocolAt = 0;
  /**
   * With Drop.Ipv6Problem: code and pointer of the parameter problem to be sent (RFC 4443 section
   * 3.4); code -1 for silence.
   */
  problemCode = -1;
  problemAt = 0;
  /**
   * With Drop.Ipv6Problem: the option says that a multicast packet is answered too (RFC 8200
   * section 4.2).
   */
  problemToMulticast = false;

  /**
   * Reads header and extension headers at `offset` with `length` bytes available.
   * @returns a drop reason, 0 for none.
   */
  parse(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < IPV6_HEADER) return Drop.Ipv6Short;
    const first = view.getUint32(offset);
    if (first >>> 28 !== 6) return Drop.Ipv6Version;
    const rest = view.getUint16(offset + 4);
    if (rest + IPV6_HEADER > length) return Drop.Ipv6Length;
    this.offset = offset;
    this.trafficClass = (first >>> 20) & 255;
    this.flowLabel = first & 0xfffff;
    this.hopLimit = bytes[offset + 7];
    this.totalLength = rest + IPV6_HEADER;
    this.fragment = false;
    this.fragmentOffset = 0;
    this.more = false;
    this.problemCode = -1;
    return this.#chain(bytes, view, offset + IPV6_HEADER + rest);
  }

  #chain(bytes: Uint8Array, view: DataView, end: number): number {
    let at = this.offset + IPV6_HEADER;
    let protocolAt = this.offset + 6;
    let next = bytes[protocolAt];
    for (let i = 0; i <= MAX_HEADERS; i++) {
      if (next === HOP_BY_HOP && i > 0) return this.#problem(1, protocolAt);
      if (next !== HOP_BY_HOP && next !== ROUTING && next !== FRAGMENT && next !== DESTINATION_OPTIONS) {
        this.protocol = next;
        this.protocolAt = protocolAt;
        this.payloadOffset = at;
        this.payloadLength = end - at;
        return 0;
      }
      if (at + 8 > end) return Drop.Ipv6Extension;
      let size = 8 * (bytes[at + 1] + 1);
      if (next === FRAGMENT) {
        size = 8;
        const word = view.getUint16(at + 2);
        this.fragmentOffset = word & 0xfff8;
        this.more = (word & 1) !== 0;
        this.fragmentId = view.getUint32(at + 4);
        // An atomic fragment is a whole packet (RFC 6946).
        this.fragment = this.more || this.fragmentOffset > 0;
      }
      if (at + size > end) return Drop.Ipv6Extension;
      if (next === HOP_BY_HOP || next === DESTINATION_OPTIONS) {
        const drop = this.#options(bytes, at + 2, at + size);
        if (drop !== 0) return drop;
      }
      // Segments left: we are no router on a source route (RFC 5095).
      if (next === ROUTING && bytes[at + 3] !== 0) return this.#problem(0, at + 2);
      protocolAt = at;
      const following = bytes[at];
      at += size;
      if (next === FRAGMENT && this.fragmentOffset > 0) {
        // What follows is the middle of something.
        this.protocol = following;
        this.protocolAt = protocolAt;
        this.payloadOffset = at;
        this.payloadLength = end - at;
        return 0;
      }
      next = following;
    }
    return Drop.Ipv6Extension;
  }

  /** Unknown options: the two highest bits of the type say what to do (RFC 8200 section 4.2). */
  #options(bytes: Uint8Array, from: number, end: number): number {
    for (let at = from; at < end; ) {
      const type = bytes[at];
      if (type === 0) {
        at++;
        continue;
      }
      if (at + 2 > end) return Drop.Ipv6Extension;
      const size = 2 + bytes[at + 1];
      if (at + size > end) return Drop.Ipv6Extension;
      // PadN and the router alert are known, and ask nothing of us.
      const action = type === 1 || type === 5 ? 0 : type >>> 6;
      if (action === 1) return Drop.Ipv6Option;
      if (action > 1) {
        this.problemToMulticast = action === 2;
        return this.#problem(2, at);
      }
      at += size;
    }
    return 0;
  }

  #problem(code: number, at: number): number {
    this.problemCode = code;
    this.problemAt = at - this.offset;
    if (code !== 2) this.problemToMulticast = false;
    return Drop.Ipv6Problem;
  }
}

/**
 * The fields of an IPv6 header to be written, without the addresses. A sender keeps one such object
 * and changes it.
 */
export interface Ipv6Fields {
  trafficClass: number;
  flowLabel: number;
  /** Bytes behind the fixed header. */
  payloadLength: number;
  /** Next header. */
  protocol: number;
  hopLimit: number;
}

/**
 * Writes the fixed header up to the addresses (RFC 8200 section 3); those are at offset + 8 and
 * offset + 24 and the caller writes them.
 */
export function writeIpv6(bytes: Uint8Array, view: DataView, offset: number, fields: Ipv6Fields): void {
  const { trafficClass, flowLabel, payloadLength, protocol, hopLimit } = fields;
  view.setUint32(offset, (0x60000000 | (trafficClass << 20) | flowLabel) >>> 0);
  view.setUint16(offset + 4, payloadLength);
  bytes[offset + 6] = protocol;
  bytes[offset + 7] = hopLimit;
}
