import type { TcpConnection } from './connection.js';

/** A listening port (RFC 9293 LISTEN). Its half-open connections are bounded by `backlog`. */
export class TcpListener {
  /** Connections in SYN_RCVD. */
  halfOpen = 0;
  closed = false;

  constructor(
    /** 0 listens on every address. */
    readonly address: number,
    readonly port: number,
    readonly backlog: number,
    /** Called when a connection is established (and on a backup, when the log says so). */
    readonly onConnection: (conn: TcpConnection) => void,
  ) {}
}
