/**
 * What a path to a peer must be able to do for TCP; the IP version and the link are its own
 * business.
 */
export interface TcpRoute {
  /** Largest IP packet of the path to the peer, in bytes. */
  readonly mtu: number;
  /** Largest IP packet of the first link, in bytes: what can be received (RFC 9293 MUST-67). */
  readonly linkMtu: number;
  /** Bytes of IP header. */
  readonly ipHeader: number;
  /** The device completes checksums. */
  readonly canChecksum: boolean;
  /** The device cuts super-segments into segments. */
  readonly canSegment: boolean;
  /** 4 or 6. */
  readonly version: number;
  /** Sum of the pseudo-header's constant part (addresses and protocol), not folded. */
  readonly pseudoSum: number;
  /** Offset in a TxFrame's header where the TCP header begins. */
  readonly tcpOffset: number;
  /** Hosts to pass on the way; IPv4 only. */
  readonly via?: readonly number[];
  /** Time to live, or hop limit; 0 for the interface's own (RFC 9293 MUST-49). */
  ttl: number;
  /** Differentiated services field, six bits (RFC 9293 MUST-48). */
  dscp: number;
  /**
   * Writes link and IP headers around a TCP segment of `tcpLength` bytes and sends the frame.
   * @param ecn the two ECN bits of the IP header
   * @returns false when the device is busy
   */
  send(tcpLength: number, ecn: number): boolean;
  /** Reports that nothing comes back over this path: the next hop's link address may be wrong. */
  suspect(): void;
}
