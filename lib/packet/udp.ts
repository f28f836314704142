/** UDP (RFC 768). */
import { Drop } from './drop.js';

/** A received UDP header; one object for all datagrams. */
export class UdpView {
  srcPort = 0;
  dstPort = 0;
  /** Header and payload. */
  length = 0;
  payloadOffset = 0;
  payloadLength = 0;

  /** @returns a drop reason, 0 for none. The checksum is the caller's to verify. */
  parse(_bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 8) return Drop.UdpShort;
    const total = view.getUint16(offset + 4);
    if (total < 8 || total > length) return Drop.UdpLength;
    this.srcPort = view.getUint16(offset);
    this.dstPort = view.getUint16(offset + 2);
    if (this.dstPort === 0) return Drop.UdpPort;
    this.length = total;
    this.payloadOffset = offset + 8;
    this.payloadLength = total - 8;
    return 0;
  }
}
