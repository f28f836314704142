/** TCP segments (RFC 9293 section 3.1) and their options. */
import { Drop } from './drop.js';

/** Control bits of the TCP header (RFC 9293 section 3.1). */
export const TCP_FIN = 0x01;
/** See {@link TCP_FIN}. */
export const TCP_SYN = 0x02;
/** See {@link TCP_FIN}. */
export const TCP_RST = 0x04;
/** See {@link TCP_FIN}. */
export const TCP_PSH = 0x08;
/** See {@link TCP_FIN}. */
export const TCP_ACK = 0x10;
/** See {@link TCP_FIN}. */
export const TCP_URG = 0x20;
/** See {@link TCP_FIN}; RFC 3168. */
export const TCP_ECE = 0x40;
/** See {@link TCP_FIN}; RFC 3168. */
export const TCP_CWR = 0x80;
/** The lowest of the once reserved bits (RFC 9768 section 3.1). */
export const TCP_AE = 0x100;

const OPT_END = 0;
const OPT_NOP = 1;
const OPT_MSS = 2;
const OPT_SCALE = 3;
const OPT_SACK_OK = 4;
const OPT_SACK = 5;
const OPT_TIMESTAMPS = 8;
const OPT_FAST_OPEN = 34;

/** A received segment, header and options parsed; one object for all segments. */
export class TcpView {
  srcPort = 0;
  dstPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  urgent = 0;
  /**
   * The IP header's ECN field (RFC 3168): 3 when the packet was marked on its way. The caller of
   * `parse` sets it.
   */
  ecn = 0;
  payloadOffset = 0;
  payloadLength = 0;
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  tsPresent = false;
  tsVal = 0;
  tsEcr = 0;
  /**
   * Length of the Fast Open cookie (RFC 7413 section 4.1.1), 0 for a request, -1 when absent; and
   * where it begins.
   */
  fastOpenLength = -1;
  fastOpenAt = 0;
  sackCount = 0;
  /** Pairs of left and right edge, `sackCount` of them. */
  readonly sackEdges = new Uint32Array(8);
  /** Segments whose options did not parse to the end; what came before counts. */
  malformedOptions = 0;

  /** @returns a drop reason, 0 for none. The checksum is the caller's to verify. */
  parse(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 20) return Drop.TcpShort;
    const header = (bytes[offset + 12] >>> 4) * 4;
    if (header < 20 || header > length) return Drop.TcpDataOffset;
    this.srcPort = view.getUint16(offset);
    this.dstPort = view.getUint16(offset + 2);
    if (this.srcPort === 0 || this.dstPort === 0) return Drop.TcpPort;
    this.seq = view.getUint32(offset + 4);
    this.ack = view.getUint32(offset + 8);
    this.flags = bytes[offset + 13] | ((bytes[offset + 12] & 1) << 8);
    this.window = view.getUint16(offset + 14);
    this.urgent = view.getUint16(offset + 18);
    this.payloadOffset = offset + header;
    this.payloadLength = length - header;
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.tsPresent = false;
    this.fastOpenLength = -1;
    this.sackCount = 0;
    if (header === 32 && view.getUint32(offset + 20) === 0x0101080a) {
      // The layout that nearly every segment of a connection has.
      this.tsPresent = true;
      this.tsVal = view.getUint32(offset + 24);
      this.tsEcr = view.getUint32(offset + 28);
    } else if (header > 20) {
      this.#options(bytes, view, offset + 20, offset + header);
    }
    return 0;
  }

  /** An option that is cut short ends the list (RFC 9293 MUST-7: no option may crash us). */
  #options(bytes: Uint8Array, view: DataView, at: number, end: number): void {
    while (at < end) {
      const kind = bytes[at];
      if (kind === OPT_END) return;
      if (kind === OPT_NOP) {
        at++;
        continue;
      }
      const length = at + 1 < end ? bytes[at + 1] : 0;
      if (length < 2 || at + length > end) {
        this.malformedOptions++;
        return;
      }
      if (kind === OPT_MSS && length === 4) this.mss = view.getUint16(at + 2);
      else if (kind === OPT_SCALE && length === 3) this.windowScale = bytes[at + 2];
      else if (kind === OPT_SACK_OK && length === 2) this.sackPermitted = true;
      else if (kind === OPT_TIMESTAMPS && length === 10) {
        this.tsPresent = true;
        this.tsVal = view.getUint32(at + 2);
        this.tsEcr = view.getUint32(at + 6);
      } else if (kind === OPT_FAST_OPEN && isFastOpenLength(length)) {
        this.fastOpenLength = length - 2;
        this.fastOpenAt = at + 2;
      } else if (kind === OPT_SACK && length >= 10 && (length - 2) % 8 === 0) {
        this.sackCount = Math.min(4, (length - 2) / 8);
        for (let i = 0; i < 2 * this.sackCount; i++) this.sackEdges[i] = view.getUint32(at + 2 + 4 * i);
      }
      at += length;
    }
  }
}

/**
 * Whether a Fast Open option may be that long: no cookie, or 4 to 16 even bytes (RFC 7413 section
 * 4.1.1).
 */
function isFastOpenLength(length: number): boolean {
  return length === 2 || (length >= 6 && length <= 18 && length % 2 === 0);
}

/** The fields of a TCP header to be written. A sender keeps one such object and changes it. */
export interface TcpFields {
  srcPort: number;
  dstPort: number;
  seq: number;
  ack: number;
  /** Control bits, TCP_AE included. */
  flags: number;
  window: number;
  urgent: number;
  /** Bytes of header, options included: a multiple of 4. */
  headerLength: number;
}

/**
 * Writes the fixed header with a zero checksum (RFC 9293 section 3.1); options are between
 * offset + 20 and offset + headerLength.
 */
export function writeTcpHeader(bytes: Uint8Array, view: DataView, offset: number, fields: TcpFields): void {
  const { srcPort, dstPort, seq, ack, flags, window, urgent, headerLength } = fields;
  view.setUint16(offset, srcPort);
  view.setUint16(offset + 2, dstPort);
  view.setUint32(offset + 4, seq);
  view.setUint32(offset + 8, ack);
  bytes[offset + 12] = ((headerLength / 4) << 4) | (flags >>> 8);
  bytes[offset + 13] = flags;
  view.setUint16(offset + 14, window);
  view.setUint16(offset + 16, 0);
  view.setUint16(offset + 18, urgent);
}
