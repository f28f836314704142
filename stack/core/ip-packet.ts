/**
 * A received IP packet on its way from the link to a transport. Every interface has one such object
 * and reuses it for each packet, so that a packet costs no allocation and every layer has one
 * argument.
 */
import type { Icmp6View } from '../../lib/packet/icmp6.js';
import type { Link } from './link-context.js';

const NO_BYTES = new Uint8Array(0);

/** An interface that packets come in by, with the protocols of its link. */
export interface InputLink extends Link {
  /** IGMP messages are handed here. @returns a drop reason, 0 for none */
  readonly igmp: { input(packet: IpPacket): number };
  /**
   * ICMPv6 messages that are neither errors nor echoes are handed here.
   * @returns a drop reason, 0 for none
   */
  readonly nd: { input(icmp: Icmp6View, packet: IpPacket): number };
}

/** A received packet; valid during the call that hands it over. */
export class IpPacket {
  /** The buffer that the packet lies in. */
  bytes: Uint8Array = NO_BYTES;
  /** A view of `bytes`. */
  view: DataView = new DataView(NO_BYTES.buffer);
  /** Whether the device vouches for the transport's checksum. */
  checksumVerified = false;
  /** Where the IP header begins in `bytes`. */
  start = 0;
  /** Bytes of the whole packet, IP header included. */
  totalLength = 0;
  /** Source address, a number of the address book. */
  src = 0;
  /** Destination address, a number of the address book. */
  dst = 0;
  /** Protocol number of the payload, behind all extension headers. */
  protocol = 0;
  /** DSCP and ECN (RFC 2474, RFC 3168): IPv4's TOS byte, IPv6's traffic class. */
  trafficClass = 0;
  /** IPv4's TTL, IPv6's hop limit, as received. */
  hopLimit = 0;
  /** Offset of a fragment in its datagram, bytes; 0 for the first and for whole packets. */
  fragmentOffset = 0;
  /** Where the payload begins in `bytes`. */
  payloadOffset = 0;
  /** Bytes of payload. */
  payloadLength = 0;

  /** @param net the interface that it came in by */
  constructor(readonly net: InputLink) {}

  /**
   * Points the packet at other memory; the header's fields are filled in by the parser's caller.
   */
  place(bytes: Uint8Array, view: DataView, checksumVerified: boolean): void {
    this.bytes = bytes;
    this.view = view;
    this.checksumVerified = checksumVerified;
  }
}

/** A view of the bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
