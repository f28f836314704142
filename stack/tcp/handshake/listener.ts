import { isV6 } from '../../core/address-book.js';
import type { ConnectionListener, TcpConnection } from '../connection.js';
import type { ConnectionSettings } from '../options.js';

/** What makes a listener. */
export interface TcpListenerOptions {
  /** 0 listens on every IPv4 address, "::" on every one. */
  address: number;
  port: number;
  /** Connections that may be half open, or wait to be accepted. */
  backlog: number;
  /** Called when a connection is established (on a backup, when the log says so). */
  onConnection: (conn: TcpConnection) => void;
  /** Families of which every address is meant; none when it is one address only. */
  any: { v4: boolean; v6: boolean };
  /** What its connections begin with. */
  settings: ConnectionSettings;
  /** Called for each SYN, which its user answers later; absent: SYNs are answered at once. */
  onSyn?: ((conn: TcpConnection) => void) | undefined;
}

/** A listening port (RFC 9293 LISTEN). Its half-open connections are bounded by `backlog`. */
export class TcpListener implements ConnectionListener {
  halfOpen = 0;
  /** It listens no longer. */
  closed = false;
  /**
   * Limit of connections given to the user before their handshake is complete (RFC 7413 section
   * 5.1); 0: no Fast Open.
   */
  fastOpen = 0;
  fastOpenPending = 0;

  readonly address: number;
  readonly port: number;
  readonly backlog: number;
  readonly onConnection: (conn: TcpConnection) => void;
  /** Families of which every address is meant; none when it is one address only. */
  readonly any: { v4: boolean; v6: boolean };
  readonly settings: ConnectionSettings;
  readonly onSyn: ((conn: TcpConnection) => void) | null;

  constructor(options: TcpListenerOptions) {
    this.address = options.address;
    this.port = options.port;
    this.backlog = options.backlog;
    this.onConnection = options.onConnection;
    this.any = options.any;
    this.settings = options.settings;
    this.onSyn = options.onSyn ?? null;
  }

  /** Established connections that nobody has accepted yet; the owner of that queue sets it. */
  waiting: () => number = () => 0;

  /** No further connection may be half open. */
  get full(): boolean {
    return this.halfOpen >= this.backlog || this.waiting() >= this.backlog;
  }

  /** Whether a SYN to this address is for it. */
  takes(address: number): boolean {
    return address === this.address || (isV6(address) ? this.any.v6 : this.any.v4);
  }

  /** Whether two listeners on one port would both take a SYN and neither is more specific. */
  conflictsWith(other: TcpListener): boolean {
    if (this.address === other.address) return true;
    return (this.any.v4 && other.any.v4) || (this.any.v6 && other.any.v6);
  }
}
