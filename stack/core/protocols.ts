/** Protocol numbers of IP payloads (IANA, Assigned Internet Protocol Numbers). */

/** ICMP (RFC 792). */
export const PROTOCOL_ICMP = 1;
/** IGMP (RFC 2236). */
export const PROTOCOL_IGMP = 2;
/** TCP (RFC 9293). */
export const PROTOCOL_TCP = 6;
/** UDP (RFC 768). */
export const PROTOCOL_UDP = 17;
/** ICMPv6 (RFC 4443). */
export const PROTOCOL_ICMP6 = 58;
