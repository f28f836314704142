/**
 * The seam between a socket (a Node stream) and what carries its bytes. The stack's TCP implements
 * it directly; the replay runtime puts its recorder (on the primary) or its log reader (on a
 * backup) in between. All calls are synchronous; events come one at a time and never from inside a
 * call of the endpoint's own methods.
 */

/** Events of a connection. */
export interface StreamEvents {
  /** An outgoing connection is established. */
  onConnect(): void;
  /** Bytes in order. The socket owns the chunk. Only called while reading is on. */
  onData(chunk: Buffer): void;
  /**
   * Called before `onData` with the same bytes, [from, from + length), valid during the call. True:
   * the socket needs no copy, and `onData` is not called for them. With `more` another chunk
   * follows in the same event.
   */
  peek?(bytes: Uint8Array, from: number, length: number, more: boolean): boolean;
  /** Bytes that one event may bring in several chunks; 0: each chunk is an event. */
  readBudget?(): number;
  /** The peer has sent FIN, and all data was delivered. */
  onEnd(): void;
  /**
   * `acked` bytes in total have been acknowledged by the peer. Only called after `wantSpace`, once
   * per request. `limit`: bytes that may wait for their acknowledgement before the writer is held
   * back, 0 for no opinion.
   */
  onSpace(acked: number, limit: number): void;
  /**
   * The connection is over: code is null after an orderly close, else ECONNRESET, ETIMEDOUT,
   * ECONNREFUSED, … Called at most once, last.
   */
  onClose(code: string | null): void;
}

/** A connection, as its socket uses it. */
export interface StreamEndpoint {
  /** Number of the connection, unique in its stack. */
  readonly id: number;
  readonly family: 'IPv4' | 'IPv6';
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /**
   * Bytes that an earlier program has written to the connection; all counts of written bytes
   * include them. 0 if absent.
   */
  readonly writtenBefore?: number;
  /** Receives the events; set right after the endpoint is handed over. */
  events: StreamEvents | null;
  /**
   * Appends bytes to the stream. The endpoint keeps the reference, not a copy, until the peer has
   * acknowledged them.
   */
  write(chunk: Uint8Array): void;
  /**
   * Asks for one `onSpace` as soon as at least `acked` bytes in total are acknowledged by the peer.
   */
  wantSpace(acked: number): void;
  /** No more bytes from us: FIN behind the last one. */
  shutdown(): void;
  /** Turns delivery of data and end on or off (initially off). */
  setReading(on: boolean): void;
  /**
   * Ends the connection: written bytes are delivered, then FIN; RST if bytes are unread (RFC 2525
   * section 2.17). No more events.
   */
  close(): void;
  /** RST at once. No more events. */
  abort(): void;
  /**
   * Saves the program's context for a successor; null: the connection cannot be restored. Absent or
   * without effect where nothing is replicated.
   */
  checkpoint?(context: Uint8Array | null): void;
  setNoDelay(on: boolean): void;
  /** Keepalive probes after `delayMs` of silence (0: the stack's default). */
  setKeepAlive(on: boolean, delayMs: number): void;
}

/** Timers for sockets, on whatever time the program lives in (real, or replayed). */
export interface SocketTimers {
  /** Calls `fn` after `ms`; returns a handle. */
  set(ms: number, fn: () => void): SocketTimer;
}

/** A timer that was set. */
export interface SocketTimer {
  /** Starts the interval anew from now. */
  refresh(): void;
  clear(): void;
}

/** What a listening socket is told. */
export interface ListenerEvents {
  onConnection(endpoint: StreamEndpoint): void;
  /** A connection of an earlier program, with the context that it saved; absent: it is reset. */
  onRestore?(endpoint: StreamEndpoint, context: Uint8Array | null): void;
  /**
   * Whether `onRestore` would take a connection (`old`: only one that is there already); absent: it
   * would if it is there.
   */
  restores?(): boolean | 'old';
  /** Runs a call of these in the context of the server; absent: as it is. */
  inContext?<T>(fn: () => T): T;
}

/**
 * How a backup follows the connections of a listener: its program repeats what happens to them, or
 * is given them at a takeover.
 */
export type Replication = 'replay' | 'state';

/** Where to listen. */
export interface ListenOptions {
  address?: string;
  port: number;
  backlog?: number;
  /** Absent: as the group does. Without effect where nothing is replicated. */
  replication?: Replication;
  /**
   * No connection depends on another one: a backup may replay each by itself. Absent: the group's
   * setting.
   */
  independent?: boolean;
}

/** A listener as the server that opened it sees it. */
export interface ListenerHandle {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
  /** Stops listening; connections that exist go on. */
  close(): void;
}

/** Where a server listens beside the host's stack. */
export interface OutsideAddress {
  /** An IP address; or the path of a Unix socket, with port 0. */
  address: string;
  /** 0: one that is free. */
  port: number;
  isPath: boolean;
  backlog?: number;
}

/** What a server beside the host's stack is told, never from inside a call. */
export interface OutsideEvents {
  /** It listens. */
  onListening(address: string, port: number): void;
  /** It cannot listen: the code of a system error. */
  onError(code: string): void;
  onConnection(endpoint: StreamEndpoint): void;
}

/** What a socket connects to. */
export interface ConnectTarget {
  /** An IP address; the path of a Unix socket where `port` is 0. */
  address: string;
  port: number;
  localAddress?: string;
  localPort?: number;
}

/** Where sockets come from: the stack itself, or a replica that records or replays. */
export interface SocketHost {
  readonly timers: SocketTimers;
  /** A socket stops taking bytes from its writer above this many unacknowledged bytes. */
  readonly sendBuffer: number;
  /**
   * Throws FtError with code EADDRINUSE, EADDRNOTAVAIL, EINVAL, ERR_FT_MODE. Port 0 chooses a free
   * one.
   */
  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle;
  /**
   * Begins to connect; `onConnect` or `onClose` follows. Throws FtError with code EHOSTUNREACH,
   * EADDRNOTAVAIL, EINVAL.
   */
  connect(target: ConnectTarget): StreamEndpoint;
  /** It connects to the paths of Unix sockets, too; absent: it does not. */
  readonly connectsPaths?: boolean;
  /**
   * Listens beside the stack, if the address is for that (loopback, paths); null if it is not.
   * Absent: all addresses are the stack's.
   */
  listenOutside?(where: OutsideAddress, events: OutsideEvents): { close(): void } | null;
}
