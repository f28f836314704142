/** Options of TCP and of its connections, and their defaults. */
import type { CongestionFactory } from './congestion/controller.js';
import { Cubic } from './congestion/cubic.js';

/** Options of one stack's TCP. */
export interface TcpOptions {
  /** Bytes of receive buffer per connection at most (RFC 9293 RCV.WND). */
  receiveBuffer: number;
  /**
   * Most bytes that a socket may have given to TCP and not acknowledged, where the path can use
   * them.
   */
  sendBufferMax: number;
  /**
   * Begin with a receive buffer of 512 KiB and grow it with the path and the reader; let the send
   * buffer follow the window.
   */
  autoTune: boolean;
  /** Most connections; further SYNs are dropped and counted. */
  maxConnections: number;
  /** Maximum segment lifetime in microseconds; TIME_WAIT lasts twice as long. */
  mslUs: number;
  /** Most entries in TIME-WAIT; the oldest gives way. */
  maxTimeWait: number;
  /** How long a connection without an owner may stay in FIN-WAIT-2, in microseconds. */
  finWait2Us: number;
  /** Congestion control. */
  congestion: CongestionFactory;
  /** Challenge ACKs per second at most (RFC 5961 section 7). */
  challengeAcksPerSecond: number;
  /** Options offered and accepted (RFC 2018, RFC 7323). */
  sack: boolean;
  timestamps: boolean;
  windowScaling: boolean;
  /**
   * Explicit congestion notification: never; when the peer asks (RFC 3168 or RFC 9768, as it asks);
   * asked for on every connection, the classic kind (`ask`) or the accurate one (`accurate`, which
   * falls back to the classic one).
   */
  ecn: 'off' | 'accept' | 'ask' | 'accurate';
  /**
   * Retransmissions before giving up: of a SYN (3 minutes at least, RFC 9293 MUST-23), of a
   * SYN-ACK, of data.
   */
  synRetries: number;
  synAckRetries: number;
  dataRetries: number;
  /** Answer SYNs with cookies when a listener's backlog is full (RFC 4987 section 3.6). */
  synCookies: boolean;
  /**
   * Restart with the initial window after an idle retransmission timeout (RFC 5681 section 4.1).
   */
  slowStartAfterIdle: boolean;
  /**
   * Fast Open (RFC 7413): request and use cookies (client), or give them (server). Not with a
   * backup.
   */
  fastOpenClient: boolean;
  fastOpenServer: boolean;
  /** Pace: spread data over the round trip instead of sending bursts. */
  pacing: boolean;
  /** Events that each connection keeps (tcb/event-log.ts), 0 for none. */
  eventLog: number;
  /** Send smaller segments when full ones go unanswered (RFC 4821). */
  mtuProbing: boolean;
}

/** Settings that a connection begins with; a listener's are those of its connections. */
export interface ConnectionSettings {
  /** Bytes of receive buffer. */
  receiveBuffer?: number;
  /** Largest segment that is offered and sent (TCP_MAXSEG), 88 to 65 495. */
  maxSegment?: number;
  /** Congestion control, if not the stack's. */
  congestion?: CongestionFactory;
  /**
   * Data for the SYN, if the peer has given us a cookie (RFC 7413); otherwise it follows the
   * handshake.
   */
  fastOpenData?: Uint8Array;
  /**
   * Source route: at most 8 IPv4 hosts to pass, as numbers; overrides that of a SYN (RFC 9293
   * MUST-51, MUST-52).
   */
  sourceRoute?: readonly number[];
}

/** The options of a stack that is given none. */
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
