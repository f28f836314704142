/** ARP for IPv4 over Ethernet (RFC 826). */
import { Drop } from './drop.js';

/** Operation: request. */
export const ARP_REQUEST = 1;
/** Operation: reply. */
export const ARP_REPLY = 2;

/** A received ARP packet; one object for all packets. */
export class ArpView {
  op = 0;
  senderMacOffset = 0;
  senderIp = 0;
  targetMacOffset = 0;
  targetIp = 0;

  /** @returns a drop reason, 0 for none. */
  parse(_bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    if (length < 28) return Drop.ArpShort;
    if (view.getUint32(offset) !== 0x00010800 || view.getUint16(offset + 4) !== 0x0604) return Drop.ArpFormat;
    this.op = view.getUint16(offset + 6);
    if (this.op !== ARP_REQUEST && this.op !== ARP_REPLY) return Drop.ArpOp;
    this.senderMacOffset = offset + 8;
    this.senderIp = view.getUint32(offset + 14);
    this.targetMacOffset = offset + 18;
    this.targetIp = view.getUint32(offset + 24);
    return 0;
  }
}

/** The fields of an ARP packet to be written. */
export interface ArpFields {
  /** ARP_REQUEST or ARP_REPLY. */
  op: number;
  senderMac: Uint8Array;
  senderIp: number;
  /** Null is written as zeros. */
  targetMac: Uint8Array | null;
  targetIp: number;
}

/** Writes a packet of 28 bytes (RFC 826). */
export function writeArp(bytes: Uint8Array, view: DataView, offset: number, fields: ArpFields): void {
  const { op, senderMac, senderIp, targetMac, targetIp } = fields;
  view.setUint32(offset, 0x00010800);
  view.setUint16(offset + 4, 0x0604);
  view.setUint16(offset + 6, op);
  for (let i = 0; i < 6; i++) {
    bytes[offset + 8 + i] = senderMac[i];
    bytes[offset + 18 + i] = targetMac === null ? 0 : targetMac[i];
  }
  view.setUint32(offset + 14, senderIp);
  view.setUint32(offset + 24, targetIp);
}
