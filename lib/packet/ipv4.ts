/** IPv4 (RFC 791). */
import { finish, sum16 } from '../checksum.js';
import { Drop } from './drop.js';

/** A received IPv4 header; one object for all packets. */
export class Ipv4View {
  headerLength = 0;
  totalLength = 0;
  tos = 0;
  id = 0;
  df = false;
  mf = false;
  /** In bytes. */
  fragmentOffset = 0;
  ttl = 0;
  protocol = 0;
  src = 0;
  dst = 0;
  payloadOffset = 0;
  payloadLength = 0;
  optionsLength = 0;

  /**
   * Reads the header at `offset` with `length` bytes available.
   * @returns a drop reason, 0 for none.
   */
  parse(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 20) return Drop.Ipv4Short;
    const first = bytes[offset];
    if (first >>> 4 !== 4) return Drop.Ipv4Version;
    const headerLength = (first & 15) * 4;
    if (headerLength < 20 || headerLength > length) return Drop.Ipv4HeaderLength;
    const totalLength = view.getUint16(offset + 2);
    if (totalLength < headerLength || totalLength > length) return Drop.Ipv4TotalLength;
    if (sum16(bytes, offset, headerLength, 0) !== 0xffff) return Drop.Ipv4Checksum;
    const fragment = view.getUint16(offset + 6);
    this.headerLength = headerLength;
    this.totalLength = totalLength;
    this.tos = bytes[offset + 1];
    this.id = view.getUint16(offset + 4);
    this.df = (fragment & 0x4000) !== 0;
    this.mf = (fragment & 0x2000) !== 0;
    this.fragmentOffset = (fragment & 0x1fff) * 8;
    this.ttl = bytes[offset + 8];
    this.protocol = bytes[offset + 9];
    this.src = view.getUint32(offset + 12);
    this.dst = view.getUint32(offset + 16);
    this.optionsLength = headerLength - 20;
    this.payloadOffset = offset + headerLength;
    this.payloadLength = totalLength - headerLength;
    return 0;
  }
}

/** The fields of an IPv4 header to be written. A sender keeps one such object and changes it. */
export interface Ipv4Fields {
  tos: number;
  /** Bytes of header and payload. */
  totalLength: number;
  id: number;
  /** The word of flags and fragment offset (units of 8 bytes). */
  fragment: number;
  ttl: number;
  protocol: number;
  src: number;
  dst: number;
}

/** Writes a header of 20 bytes, without options, checksum included (RFC 791 section 3.1). */
export function writeIpv4(bytes: Uint8Array, view: DataView, offset: number, fields: Ipv4Fields): void {
  const { tos, totalLength, id, fragment, ttl, protocol, src, dst } = fields;
  bytes[offset] = 0x45;
  bytes[offset + 1] = tos;
  view.setUint16(offset + 2, totalLength);
  view.setUint16(offset + 4, id);
  view.setUint16(offset + 6, fragment);
  bytes[offset + 8] = ttl;
  bytes[offset + 9] = protocol;
  view.setUint32(offset + 12, src);
  view.setUint32(offset + 16, dst);
  const sum =
    (0x4500 | tos) +
    totalLength +
    id +
    fragment +
    ((ttl << 8) | protocol) +
    (src >>> 16) +
    (src & 0xffff) +
    (dst >>> 16) +
    (dst & 0xffff);
  view.setUint16(offset + 10, finish(sum));
}
