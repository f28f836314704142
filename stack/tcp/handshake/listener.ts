import { isV6 } from '../../ip/address-book.js';
import type { ConnectionSettings, TcpConnection } from '../connection.js';

/** A listening port (RFC 9293 LISTEN). Its half-open connections are bounded by `backlog`. */
export class TcpListener {
  /** Connections in SYN_RCVD. */
  halfOpen = 0;
  closed = false;
  /** Connections that the user may have before their handshake is complete (RFC 7413 section 5.1); 0: no Fast Open. */
  fastOpen = 0;
  fastPending = 0;

  constructor(
    /** 0 listens on every IPv4 address, "::" on every one. */
    readonly address: number,
    readonly port: number,
    readonly backlog: number,
    /** Called when a connection is established (and on a backup, when the log says so). */
    readonly onConnection: (conn: TcpConnection) => void,
    /** Families of which every address is meant; none when it is one address only. */
    readonly any: { v4: boolean; v6: boolean },
    /** What its connections are told before they begin. */
    readonly settings: ConnectionSettings = {},
  ) {}

  /** Connections that are established and that nobody has accepted yet; whoever queues them sets it. */
  waiting: () => number = () => 0;

  get full(): boolean {
    return this.halfOpen >= this.backlog || this.waiting() >= this.backlog;
  }

  /** Whether a SYN to this address is for it. */
  takes(address: number): boolean {
    return address === this.address || (isV6(address) ? this.any.v6 : this.any.v4);
  }

  /** Whether two listeners on one port would both take a SYN and neither is more specific. */
  clashes(other: TcpListener): boolean {
    if (this.address === other.address) return true;
    return (this.any.v4 && other.any.v4) || (this.any.v6 && other.any.v6);
  }
}
