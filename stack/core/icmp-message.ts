/** ICMP messages to be sent, the same for both IP versions (RFC 792, RFC 4443 section 2.1). */
import { finish, sum16 } from '../../lib/checksum.js';
import type { IpPacket } from './ip-packet.js';

/**
 * Fills in the checksum of a complete message.
 * @param pseudo sum of the pseudo-header, 0 for IPv4
 */
export function fillChecksum(message: Uint8Array, pseudo: number): void {
  message[2] = 0;
  message[3] = 0;
  const sum = finish(sum16(message, 0, message.length, pseudo));
  message[2] = sum >>> 8;
  message[3] = sum & 0xff;
}

/**
 * An error about a packet, without its checksum.
 * @param maxQuote bytes of the packet that are quoted at most
 * @param rest the second word of the header
 */
export function errorMessage(packet: IpPacket, maxQuote: number, type: number, code: number, rest: number): Uint8Array {
  const { bytes, start, totalLength } = packet;
  const quoted = Math.min(totalLength, bytes.length - start, maxQuote);
  const message = new Uint8Array(8 + quoted);
  message[0] = type;
  message[1] = code;
  new DataView(message.buffer).setUint32(4, rest);
  message.set(bytes.subarray(start, start + quoted), 8);
  return message;
}
