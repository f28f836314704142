/** What TCP can be told, and what it does untold. */
import type { CongestionFactory } from './congestion/controller.js';
import { Cubic } from './congestion/cubic.js';

export interface TcpOptions {
  /** Bytes of receive buffer per connection at most (RFC 9293 RCV.WND). */
  receiveBuffer: number;
  /** Bytes that a socket may have under way at most, where the path can use them. */
  sendBufferMax: number;
  /** Begin with 512 KiB of it, and offer more as the path and the reader can use it; let the send buffer follow the window. */
  autoTune: boolean;
  /** Most connections; further SYNs are dropped and counted. */
  maxConnections: number;
  /** Maximum segment lifetime in microseconds; TIME_WAIT lasts twice as long. */
  mslUs: number;
  maxTimeWait: number;
  /** How long a connection that nobody owns may wait in FIN_WAIT_2. */
  finWait2Us: number;
  congestion: CongestionFactory;
  /** Challenge ACKs per second at most (RFC 5961 section 7). */
  challengeAcksPerSecond: number;
  /** Options offered and accepted (RFC 2018, RFC 7323). */
  sack: boolean;
  timestamps: boolean;
  windowScaling: boolean;
  /**
   * Explicit congestion notification: never; when the peer asks (RFC 3168 or RFC 9768, as it asks); asked for on every
   * connection, the classic kind (`ask`) or the accurate one (`accurate`, which falls back to the classic one).
   */
  ecn: 'off' | 'accept' | 'ask' | 'accurate';
  /** Retransmissions before giving up: of a SYN (3 minutes at least, RFC 9293 MUST-23), of a SYN-ACK, of data. */
  synRetries: number;
  synAckRetries: number;
  dataRetries: number;
  /** Answer SYNs without keeping anything when a listener's backlog is full (RFC 4987 section 3.6). */
  synCookies: boolean;
  /** Begin anew with a small window after a pause of a retransmission timeout (RFC 5681 section 4.1). */
  slowStartAfterIdle: boolean;
  /** Fast Open (RFC 7413): ask for cookies and use them; give them, where a listener wants it. Not with a backup. */
  fastOpenClient: boolean;
  fastOpenServer: boolean;
  /** Spread what is sent over the round trip instead of sending it in bursts. */
  pacing: boolean;
  /** Events that each connection keeps (event-log.ts), 0 for none. */
  eventLog: number;
  /** Send smaller segments when full ones go unanswered (RFC 4821). */
  mtuProbing: boolean;
}

export const TCP_DEFAULTS: TcpOptions = {
  receiveBuffer: 4 * 1024 * 1024,
  sendBufferMax: 16 * 1024 * 1024,
  autoTune: true,
  maxConnections: 200_000,
  mslUs: 30_000_000,
  maxTimeWait: 65_536,
  finWait2Us: 60_000_000,
  congestion: (mss) => new Cubic(mss),
  challengeAcksPerSecond: 1000,
  sack: true,
  timestamps: true,
  windowScaling: true,
  ecn: 'accept',
  synRetries: 7,
  synAckRetries: 5,
  dataRetries: 15,
  synCookies: true,
  slowStartAfterIdle: true,
  mtuProbing: true,
  fastOpenClient: false,
  fastOpenServer: false,
  pacing: false,
  eventLog: 0,
};
