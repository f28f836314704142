/** Ethernet II with at most one 802.1Q tag. */
import { Drop } from './drop.js';

/** EtherTypes (IEEE 802 Numbers, IANA). */
export const ETHERTYPE_IPV4 = 0x0800;
/** See {@link ETHERTYPE_IPV4}. */
export const ETHERTYPE_ARP = 0x0806;
/** The tag of IEEE 802.1Q. */
export const ETHERTYPE_VLAN = 0x8100;
/** See {@link ETHERTYPE_IPV4}. */
export const ETHERTYPE_IPV6 = 0x86dd;

/** A received Ethernet header; one object for all frames. */
export class EthernetView {
  etherType = 0;
  /** VLAN identifier, -1 without a tag. */
  vlan = -1;
  payloadOffset = 0;

  /**
   * Reads the header at `offset` of a frame of `length` bytes.
   * @returns a drop reason, 0 for none.
   */
  parse(_bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 14) return Drop.EthShort;
    this.etherType = view.getUint16(offset + 12);
    this.vlan = -1;
    this.payloadOffset = offset + 14;
    if (this.etherType === ETHERTYPE_VLAN) {
      if (length < 18) return Drop.EthShort;
      this.vlan = view.getUint16(offset + 14) & 0xfff;
      this.etherType = view.getUint16(offset + 16);
      this.payloadOffset = offset + 18;
    }
    return 0;
  }
}

/** Writes a header of 14 bytes, without a tag. */
export function writeEthernet(bytes: Uint8Array, offset: number, dst: Uint8Array, src: Uint8Array, type: number): void {
  for (let i = 0; i < 6; i++) {
    bytes[offset + i] = dst[i];
    bytes[offset + 6 + i] = src[i];
  }
  bytes[offset + 12] = type >>> 8;
  bytes[offset + 13] = type & 0xff;
}
