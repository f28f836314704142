/**
 * Sockets of the control server: what a POSIX program would have, over the stack's own connections.
 */
import { FtError } from '../../lib/index.js';
import {
  type ConnectionSettings,
  isV6,
  type Stack,
  type TcpConnection,
  type TcpListener,
  type TcpUser,
  Timer,
  type UdpSocket,
} from '../../stack/index.js';
import * as calls from '../../stack/tcp/user-calls.js';
import type { Settings } from './settings.js';

/** Datagrams that wait in one socket at most. */
const MAX_DATAGRAMS = 1024;

export function posix(code: string, message = code): FtError {
  return new FtError(code, message, 'See the protocol');
}

/** An address and a port as the caller wrote them. */
export interface Name {
  address: number;
  port: number;
}

/** Options that a socket has before there is a connection, and gives to the one it gets. */
export class Options {
  noDelay = false;
  cork = false;
  keepAlive = false;
  keepAliveUs: number;
  keepAliveIntervalUs: number;
  keepAliveCount: number;
  userTimeoutUs = 0;
  maxSegment = 0;
  synRetries = 0;
  finWait2Us = 0;
  receiveBuffer: number;
  sendBuffer: number;
  reuse = false;
  only6 = false;
  linger: { on: boolean; seconds: number } = { on: false, seconds: 0 };
  congestion = '';
  /** 0 for the stack's own. */
  ttl = 0;
  tos = 0;
  /**
   * Of a listener: connections before their handshake; of another socket: connect with the first
   * data (TCP_FASTOPEN_CONNECT).
   */
  fastOpen = 0;
  fastOpenConnect = false;

  constructor(settings: Settings) {
    this.keepAliveUs = settings.keepAliveUs;
    this.keepAliveIntervalUs = settings.keepAliveIntervalUs;
    this.keepAliveCount = settings.keepAliveCount;
    this.receiveBuffer = settings.tcp.receiveBuffer;
    this.sendBuffer = settings.sendBuffer;
  }

  copy(): Options {
    return Object.assign(Object.create(Options.prototype) as Options, this, { linger: { ...this.linger } });
  }
}

export abstract class Socket {
  nonblocking = false;
  local: Name | null = null;
  remote: Name | null = null;
  error: string | null = null;

  constructor(
    readonly fd: number,
    readonly family: 4 | 6,
    /** Another one after a takeover. */
    public stack: Stack,
    public options: Options,
  ) {}

  /**
   * The socket's names are numbers of its stack's address book: they move to another stack as text.
   */
  move(stack: Stack): void {
    const { book } = this.stack;
    const name = (old: Name | null): Name | null =>
      old === null ? null : { address: stack.book.parse(book.format(old.address)) ?? 0, port: old.port };
    this.local = name(this.local);
    this.remote = name(this.remote);
    this.stack = stack;
  }

  abstract readonly kind: 'tcp' | 'udp';
  abstract get letters(): string;

  /** Takes the error that waits, as SO_ERROR does. */
  takeError(): string | null {
    const { error } = this;
    this.error = null;
    return error;
  }

  /** "::" or "0.0.0.0" for none. */
  get any(): number {
    return this.family === 6 ? this.stack.unspecified6 : 0;
  }
}

export class TcpSocket extends Socket implements TcpUser {
  readonly kind = 'tcp';
  conn: TcpConnection | null = null;
  listener: TcpListener | null = null;
  readonly acceptable: TcpConnection[] = [];
  readShut = false;
  writeShut = false;
  connecting = false;
  /** Where the first data will open the connection to (TCP_FASTOPEN_CONNECT). */
  deferred: Name | null = null;
  /** Everything that happened to its connection has been noticed; the reset was told. */
  told = false;

  onProgress(conn: TcpConnection): void {
    if (this.connecting && conn.established) this.connecting = false;
    if (conn.removed && conn.error !== null && !this.told) {
      this.told = true;
      this.connecting = false;
      this.error = conn.error;
    }
    if (this.readShut) while (calls.receive(conn) !== undefined);
  }

  settings(congestion: ConnectionSettings['congestion']): ConnectionSettings {
    const { options } = this;
    return {
      receiveBuffer: options.receiveBuffer,
      maxSegment: options.maxSegment,
      ...(congestion === undefined ? {} : { congestion }),
    };
  }

  attach(conn: TcpConnection): void {
    this.conn = conn;
    conn.user = this;
    this.local = { address: conn.localAddress, port: conn.localPort };
    this.remote = { address: conn.remoteAddress, port: conn.remotePort };
    this.apply();
  }

  /** Gives the options to the connection. */
  apply(): void {
    const { conn, options } = this;
    if (conn === null) return;
    if (conn.noDelay !== options.noDelay) {
      conn.noDelay = options.noDelay;
      conn.tcp.markDirty(conn);
    }
    if (conn.corked && !options.cork) calls.cork(conn, false);
    conn.keepAliveUs = options.keepAliveUs;
    conn.keepAliveIntervalUs = options.keepAliveIntervalUs;
    conn.keepAliveCount = options.keepAliveCount;
    conn.userTimeoutUs = options.userTimeoutUs;
    conn.route.ttl = options.ttl;
    conn.route.dscp = options.tos >>> 2;
    conn.synRetries = options.synRetries;
    if (options.finWait2Us > 0) conn.finWait2Us = options.finWait2Us;
    if (options.keepAlive !== conn.keepAlive) {
      conn.keepAlive = options.keepAlive;
      if (options.keepAlive && !conn.removed) conn.setTimer(Timer.Keepalive, conn.tcp.now + conn.keepAliveUs);
      else conn.clearTimer(Timer.Keepalive);
    }
  }

  get readable(): boolean {
    if (this.listener !== null) return this.acceptable.length > 0;
    const { conn } = this;
    return conn !== null && (conn.receiveQueue.length > 0 || conn.peerFin || conn.removed || this.readShut);
  }

  get writable(): boolean {
    const { conn } = this;
    if (conn === null || this.connecting) return false;
    return conn.removed || this.writeShut || conn.sendBuffer.length < this.options.sendBuffer;
  }

  get letters(): string {
    const { conn } = this;
    let out = '';
    if (this.readable) out += 'r';
    if (this.writable) out += 'w';
    if (conn === null ? this.listener === null : conn.removed || (conn.peerFin && conn.finQueued)) out += 'h';
    if (this.error !== null) out += 'e';
    return out === '' ? '-' : out;
  }

  /** @returns bytes, an empty buffer for the end, undefined when it has to wait. */
  recv(most: number): Buffer | undefined {
    const { conn } = this;
    if (conn === null) throw posix(this.connecting ? 'EAGAIN' : 'ENOTCONN');
    if (this.connecting) return undefined;
    const error = this.takeError();
    if (error !== null) throw posix(error);
    if (this.readShut || most === 0) return Buffer.alloc(0);
    const chunks: Buffer[] = [];
    for (let left = most; left > 0; ) {
      const chunk = calls.receiveSome(conn, left);
      if (chunk === undefined) break;
      chunks.push(chunk);
      left -= chunk.length;
    }
    if (chunks.length > 0) return Buffer.concat(chunks);
    return conn.peerFin || conn.removed ? Buffer.alloc(0) : undefined;
  }

  /** @returns bytes taken; 0 when it has to wait. */
  send(bytes: Buffer, flags: string[]): number {
    const { conn, options } = this;
    if (conn === null) throw posix('EPIPE');
    if (this.connecting) return 0;
    const error = this.takeError();
    if (error !== null) throw posix(error);
    if (this.writeShut || conn.removed) throw posix('EPIPE');
    const room = options.sendBuffer - conn.sendBuffer.length;
    if (room <= 0) return bytes.length === 0 ? -1 : 0;
    const part = bytes.subarray(0, room);
    const more = flags.includes('more') || options.cork;
    if (more) calls.cork(conn, true);
    calls.send(conn, Buffer.from(part));
    if (flags.includes('oob')) conn.sndUp = conn.sndEnd;
    if (!more && conn.corked) calls.cork(conn, false);
    return part.length === 0 ? -1 : part.length;
  }

  shutdown(how: string): void {
    const { conn } = this;
    if (conn === null || this.connecting || conn.removed) throw posix('ENOTCONN');
    if (how !== 'wr') {
      this.readShut = true;
      while (calls.receive(conn) !== undefined);
    }
    if (how !== 'rd' && !this.writeShut) {
      this.writeShut = true;
      calls.shutdown(conn);
    }
  }

  /**
   * Ends what the socket stands for. @returns whether a lingering close still waits for
   * acknowledgements.
   */
  close(): boolean {
    const { conn, options } = this;
    if (this.listener !== null) {
      this.stack.tcp.unlisten(this.listener);
      for (const waiting of this.acceptable.splice(0)) calls.abort(waiting);
    }
    if (conn === null || conn.removed) return false;
    if (options.linger.on && options.linger.seconds === 0) {
      calls.abort(conn);
      return false;
    }
    calls.close(conn);
    return options.linger.on && !conn.removed && conn.sndUna < conn.sndLimit;
  }
}

export class UdpEndpoint extends Socket {
  readonly kind = 'udp';
  socket: UdpSocket | null = null;
  readonly queue: { from: string; port: number; payload: Buffer }[] = [];
  dropped = 0;

  bind(name: Name): void {
    const { stack } = this;
    this.socket = stack.udp.bind(
      name.address,
      name.port,
      {
        onMessage: (payload, from, port) => {
          if (this.remote !== null && (this.remote.address !== from || this.remote.port !== port)) return;
          if (this.queue.length >= MAX_DATAGRAMS) {
            this.dropped++;
            return;
          }
          this.queue.push({ from: formatFor(stack, this.family, from), port, payload });
        },
        // Only a connected socket hears of errors, as on Linux.
        onUnreachable: (address, port) => {
          if (this.remote?.address === address && this.remote.port === port) this.error = 'ECONNREFUSED';
        },
      },
      { dual: !this.options.only6, reuse: this.options.reuse },
    );
    this.local = { address: name.address, port: this.socket.port };
  }

  get letters(): string {
    return `${this.queue.length > 0 || this.error !== null ? 'r' : ''}w${this.error !== null ? 'e' : ''}`;
  }

  override move(stack: Stack): void {
    super.move(stack);
    if (this.socket !== null && this.local !== null) this.bind(this.local);
  }

  sendTo(name: Name, bytes: Buffer): number {
    if (this.socket === null) this.bind({ address: this.any, port: 0 });
    const error = this.takeError();
    if (error !== null) throw posix(error);
    const { ttl, tos } = this.options;
    this.socket!.send(bytes, name.address, name.port, { tos, ...(ttl > 0 ? { ttl } : {}) });
    return bytes.length;
  }
}

/** How a socket of a family shows an address: IPv4 peers of an IPv6 socket are mapped. */
export function formatFor(stack: Stack, family: 4 | 6, address: number): string {
  const text = stack.book.format(address);
  return family === 6 && !isV6(address) ? `::ffff:${text}` : text;
}
