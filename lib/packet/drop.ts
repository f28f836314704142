/** Why a frame was dropped: parsers return one of these numbers, and interfaces count them. */
export const Drop = {
  None: 0,
  EthShort: 1,
  EthType: 2,
  ArpShort: 3,
  ArpFormat: 4,
  ArpOp: 5,
  ArpBadSender: 6,
  Ipv4Short: 7,
  Ipv4Version: 8,
  Ipv4HeaderLength: 9,
  Ipv4TotalLength: 10,
  Ipv4Checksum: 11,
  Ipv4BadSource: 12,
  Ipv4Fragment: 13,
  Ipv4Protocol: 14,
  IcmpShort: 15,
  IcmpChecksum: 16,
  IcmpQuote: 17,
  TcpShort: 18,
  TcpDataOffset: 19,
  TcpChecksum: 20,
  TcpPort: 21,
  UdpShort: 22,
  UdpLength: 23,
  UdpChecksum: 24,
  UdpPort: 25,
  Ipv6Short: 26,
  Ipv6Version: 27,
  Ipv6Length: 28,
  Ipv6Extension: 29,
  Ipv6Option: 30,
  Ipv6Problem: 31,
  Ipv6BadSource: 32,
  FragmentOverlap: 33,
  FragmentTooLong: 34,
  FragmentLimit: 35,
  NdHopLimit: 36,
  NdFormat: 37,
  TtlExceeded: 38,
  NoRoute: 39,
  SourceRoute: 40,
} as const;

/** The name of a reason for which frames are dropped. */
export type DropName = Exclude<keyof typeof Drop, 'None'>;

const NAMES = Object.keys(Drop);

/** The reason's name, for status and logs. */
export function dropName(reason: number): string {
  return NAMES[reason] ?? `Drop${reason}`;
}
