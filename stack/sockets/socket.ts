import net from 'node:net';
import { addAbortSignal } from 'node:stream';
import { serialize } from 'node:v8';
import { errorCode, FtError } from '../../lib/errors.js';
import { checkedPort, connectArguments, type FtConnectOptions, pick } from './connect-arguments.js';
import type { SocketHost, SocketTimer, SocketTimers, StreamEndpoint, StreamEvents } from './endpoint.js';
import type { IdleTimeout } from './idle-timeout.js';
import { resolveHost } from './resolve-host.js';
import { type FtSocketOptions, SocketBase } from './socket-base.js';
import { connectError, nodeError, systemError } from './socket-errors.js';
import { type Awaiting, SocketWriter, type WriteCallback } from './socket-writer.js';
import { type TlsCarrier, tlsCarrier } from './tls.js';

/** How long a destroyed socket waits for acknowledgements that a write callback was promised, before it resets. */
const LINGER_MS = 60_000;

interface AddressInfo {
  address?: string;
  port?: number;
  family?: string;
}

/**
 * A genuine `net.Socket` whose bytes go through a StreamEndpoint. It has no handle: everything that `net.Socket` would ask
 * of one is overridden here. What it does is a function of its own calls and of the endpoint's events, of nothing else.
 */
/** Bytes of a context at most. */
const MOST_CONTEXT = 65_536;
/** Bytes that are thrown away in one event, where nobody listens. */
const MOST_UNHEARD = 1024 * 1024;

export class FtSocket extends SocketBase implements StreamEvents, TlsCarrier {
  readonly #host: SocketHost;
  #endpoint: StreamEndpoint | null = null;
  /** The endpoint has said that it is over; it takes no more calls. */
  #over = false;
  #reading = false;
  #readEnded = false;
  /** No more bytes from us: the endpoint was told to shut down. */
  #finished = false;
  #bytesRead = 0;
  /** Whose addresses are ours; they are made into objects when somebody asks, or when it goes. */
  #named: StreamEndpoint | null = null;
  #peer: AddressInfo | null = null;
  #local: AddressInfo | null = null;
  #target: { address: string; port: number; localAddress?: string; localPort?: number } | null = null;

  readonly #writer: SocketWriter;
  #lingering = false;
  #lingerTimer: SocketTimer | null = null;
  #resetting = false;
  readonly #onread: net.OnReadOpts | null;
  /** Bytes in its buffer that the program has not been told of. */
  #filled = 0;

  constructor(host: SocketHost, endpoint: StreamEndpoint | null, options: FtSocketOptions = {}) {
    super(host.timers, options);
    this.#host = host;
    this.#writer = new SocketWriter(host.sendBuffer, this._idle);
    this.#onread = options.onread ?? null;
    if (options.signal) addAbortSignal(options.signal, this);
    if (endpoint !== null && !this.destroyed) {
      this.#attach(endpoint);
      this._applyOptions(endpoint);
      if (options.pauseOnCreate) this.pause();
      else this.read(0);
    }
  }

  /** Timers for a TLSSocket over this socket. */
  get [tlsCarrier](): SocketTimers {
    return this.#host.timers;
  }

  /**
   * Saves what the program has to know of this connection when it gets it back (state mode, docs/guides/state-mode.md): any value that
   * `structuredClone` takes. What was read and written in the same event belongs to it. Without effect where nothing is
   * replicated, or the program itself is.
   * @throws FtError ERR_FT_CONTEXT when it is longer than 64 KiB
   */
  override checkpoint(context: unknown): void {
    const bytes = serialize(context);
    if (bytes.length > MOST_CONTEXT)
      throw new FtError(
        'ERR_FT_CONTEXT',
        `The context of a connection has ${bytes.length} bytes`,
        `Keep it below ${MOST_CONTEXT}, and what is larger elsewhere`,
      );
    this._live()?.checkpoint?.(bytes);
  }

  /** @internal It cannot be given back as it is now. */
  _unsaved(): void {
    this._live()?.checkpoint?.(null);
  }

  /** @internal */
  protected override _idleMade(idle: IdleTimeout): void {
    this.#writer.idle = idle;
  }

  /** @internal Bytes that an earlier program has written to the connection (state mode). */
  get writtenBefore(): number {
    return this.#named?.writtenBefore ?? 0;
  }

  /** @internal A TLSSocket writes through from now on. */
  tlsAttached(): void {
    this.#writer.private = true;
    // The TLSSocket decides when to end; the one below must not do so by itself at the peer's FIN.
    this.allowHalfOpen = true;
  }

  // ---- opening

  override connect(options: FtConnectOptions | net.SocketConnectOpts, listener?: () => void): this;
  override connect(port: number, host: string, listener?: () => void): this;
  override connect(port: number, listener?: () => void): this;
  override connect(path: string, listener?: () => void): this;
  override connect(...args: unknown[]): this {
    const { options, listener } = connectArguments(args);
    if (listener) this.once('connect', listener);
    if ('path' in options && options['path'] !== undefined) {
      throw nodeError(
        'ERR_INVALID_ARG_VALUE',
        'A socket of the ft-tcp stack connects to a port, not to a path',
        TypeError,
      );
    }
    if (this.#endpoint !== null || this.connecting) {
      throw nodeError('EISCONN', 'The socket is connected or connecting already');
    }
    if (this.destroyed) this.#reopen();
    delete (this as { write?: unknown }).write;
    if (options.noDelay !== undefined) this.setNoDelay(options.noDelay);
    if (options.keepAlive !== undefined) this.setKeepAlive(options.keepAlive, options.keepAliveInitialDelay);
    const port = checkedPort(options.port);
    if (options.localAddress && !net.isIP(options.localAddress)) {
      throw nodeError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${options.localAddress}`, TypeError);
    }
    this._unrefTimer();
    this.connecting = true;
    this.#resolve(options, port);
    return this;
  }

  #resolve(options: FtConnectOptions, port: number): void {
    const { localAddress, localPort } = options;
    resolveHost(this, options, (address) =>
      this.#open({ address, port, ...pick({ localAddress, localPort }, 'localAddress', 'localPort') }),
    );
  }

  #open(target: { address: string; port: number; localAddress?: string; localPort?: number }): void {
    this.#target = target;
    const family = net.isIP(target.address);
    this.emit('connectionAttempt', target.address, target.port, family);
    if (!this.connecting) return;
    try {
      this.#attach(this.#host.connect(target));
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      this.destroy(connectError(code, target.address, target.port, undefined, error));
    }
  }

  #attach(endpoint: StreamEndpoint): void {
    this.#endpoint = endpoint;
    this.#writer.begin(endpoint);
    endpoint.events = this;
    this.#named = endpoint;
    this.#peer = null;
    this.#local = null;
  }

  /** Makes a destroyed socket as good as new, for another `connect`. */
  #reopen(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    this.#over = this.#reading = this.#readEnded = this.#finished = this.#resetting = this.#lingering = false;
    this.#bytesRead = 0;
    this.#writer.reset();
    this.#named = null;
    this.#peer = null;
    this.#local = null;
  }

  // ---- events of the endpoint

  /** @internal */
  onConnect(): void {
    const endpoint = this.#endpoint;
    if (endpoint === null || !this.connecting) return;
    this.connecting = false;
    this.#attach(endpoint);
    this._unrefTimer();
    this._applyOptions(endpoint);
    this.emit('connect');
    this.emit('ready');
    if (!this.isPaused()) this.read(0);
  }

  /** @internal */
  glance(bytes: Uint8Array, from: number, length: number, more: boolean): boolean {
    if (this.destroyed || this.#readEnded) return true;
    const onread = this.#onread;
    if (onread === null && !this.#unheard()) return false;
    this.#bytesRead += length;
    this._idle.touch();
    if (onread !== null) this.#deliver(bytes, from, length, onread, more);
    return true;
  }

  /** @internal A buffer is filled as by one read of the kernel's. */
  appetite(): number {
    const onread = this.#onread;
    if (onread === null) return this.#unheard() ? MOST_UNHEARD : 0;
    return typeof onread.buffer === 'function' ? 0 : onread.buffer.byteLength;
  }

  /** It flows, and nobody listens: what comes is thrown away. */
  #unheard(): boolean {
    return (
      this.readableFlowing === true &&
      this.readableLength === 0 &&
      this.listenerCount('data') === 0 &&
      this.listenerCount('readable') === 0
    );
  }

  /** @internal */
  onData(chunk: Buffer): void {
    if (this.destroyed || this.#readEnded) return;
    this.#bytesRead += chunk.length;
    this._idle.touch();
    if (!this.push(chunk)) this.#stopReading();
  }

  /** @internal */
  onEnd(): void {
    if (this.destroyed || this.#readEnded) return;
    this.#readEnded = true;
    this.push(null);
    this.read(0);
  }

  /** @internal */
  onSpace(acked: number, limit: number): void {
    this.#writer.onSpace(acked, limit);
    if (!this.destroyed) this._idle.touch();
    this.#writer.release();
  }

  /** @internal */
  onClose(code: string | null): void {
    this.#setOver();
    if (this.#lingering) {
      this.#endLinger(code === null ? null : systemError(code, 'write'));
      return;
    }
    if (this.destroyed) return;
    if (code !== null) {
      this.destroy(this.#failure(code));
      return;
    }
    this.#writer.acked = this.#writer.written;
    this.#writer.release();
    if (!this.#readEnded) this.onEnd();
  }

  #failure(code: string): Error {
    if (this.connecting && this.#target !== null) {
      const { address, port, localAddress, localPort } = this.#target;
      return connectError(code, address, port, pick({ address: localAddress, port: localPort }, 'address', 'port'));
    }
    return systemError(code, this.#writer.holding && !this.#reading ? 'write' : 'read');
  }

  // ---- reading

  override _read(size: number): void {
    if (this.connecting) {
      this.once('connect', () => this._read(size));
      return;
    }
    const endpoint = this.#endpoint;
    if (endpoint === null || this.#reading || this.#over) return;
    this.#reading = true;
    endpoint.setReading(true);
  }

  #stopReading(): void {
    if (!this.#reading) return;
    this.#reading = false;
    if (!this.#over) this.#endpoint?.setReading(false);
  }

  /** The `onread` option: bytes go into the user's buffer instead of the stream. */
  #deliver(bytes: Uint8Array, from: number, length: number, onread: net.OnReadOpts, more: boolean): void {
    const end = from + length;
    for (let at = from; at < end && !this.destroyed; ) {
      const buffer = typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer;
      const part = Math.min(buffer.byteLength - this.#filled, end - at);
      buffer.set(bytes.subarray(at, at + part), this.#filled);
      at += part;
      this.#filled += part;
      if (more && this.#filled < buffer.byteLength) continue;
      const filled = this.#filled;
      this.#filled = 0;
      if (onread.callback(filled, buffer) === false) this.#stopReading();
    }
  }

  override pause(): this {
    if (this.#onread !== null) this.#stopReading();
    return super.pause();
  }

  override resume(): this {
    if (this.#onread !== null && !this.connecting) this._read(0);
    return super.resume();
  }

  // ---- writing

  override write(chunk: Uint8Array | string, callback?: (error?: Error | null) => void): boolean;
  override write(
    chunk: Uint8Array | string,
    encoding?: BufferEncoding,
    callback?: (error?: Error | null) => void,
  ): boolean;
  override write(chunk: Uint8Array | string, encoding?: unknown, callback?: unknown): boolean {
    const done = (typeof encoding === 'function' ? encoding : callback) as WriteCallback | undefined;
    // Most callbacks need no acknowledgement: nothing was handed over without a copy, nor will this chunk be.
    const writer = this.#writer;
    if (typeof done !== 'function' || !writer.mayWait(chunk, this.writableLength)) {
      return super.write(chunk as string, encoding as BufferEncoding, callback as WriteCallback);
    }
    const entry: Awaiting = { callback: done, error: null, end: -1 };
    const before = writer.written;
    writer.wrapped++;
    const more = super.write(
      chunk as string,
      typeof encoding === 'function' ? undefined : (encoding as BufferEncoding),
      (error?: Error | null) => writer.completed(entry, error),
    );
    if (writer.written !== before) writer.bound(entry);
    return more;
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.connecting) {
      this.#putOff(chunk, encoding, callback, () => this._write(chunk, encoding, callback));
      return;
    }
    if (!this.#writable(callback)) return;
    const writer = this.#writer;
    writer.add(chunk, encoding);
    writer.flush();
    writer.settle(callback);
  }

  override _writev(chunks: { chunk: Buffer | string; encoding: BufferEncoding }[], callback: WriteCallback): void {
    if (this.connecting) {
      this.#putOff(chunks, '', callback, () => this._writev(chunks, callback));
      return;
    }
    if (!this.#writable(callback)) return;
    const writer = this.#writer;
    for (const { chunk, encoding } of chunks) writer.add(chunk, encoding);
    writer.flush();
    writer.settle(callback);
  }

  /** Writes once the connection stands. */
  #putOff(data: unknown, encoding: string, callback: WriteCallback, again: () => void): void {
    this._pendingData = data;
    this._pendingEncoding = encoding;
    const closed = () =>
      callback(nodeError('ERR_SOCKET_CLOSED_BEFORE_CONNECTION', 'Socket closed before the connection was established'));
    this.once('connect', () => {
      this.off('close', closed);
      again();
    });
    this.once('close', closed);
  }

  /** Whether the endpoint takes bytes now; if not, the write is refused. */
  #writable(callback: WriteCallback): boolean {
    this._pendingData = null;
    this._pendingEncoding = '';
    if (this.#endpoint === null) {
      callback(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
      return false;
    }
    if (this.#over) {
      callback(systemError('EPIPE', 'write'));
      return false;
    }
    this._idle.touch();
    return true;
  }

  override _final(callback: WriteCallback): void {
    if (this.connecting) {
      this.once('connect', () => this._final(callback));
      return;
    }
    const endpoint = this.#endpoint;
    if (endpoint === null || this.#over) {
      callback();
      return;
    }
    this.#finished = true;
    endpoint.shutdown();
    this.#writer.settleFinal(callback);
  }

  // ---- closing

  override resetAndDestroy(): this {
    if (this.#endpoint === null && !this.connecting)
      return this.destroy(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
    if (this.connecting) this.once('connect', () => this.#reset());
    else this.#reset();
    return this;
  }

  #reset(): void {
    this.#resetting = true;
    this.destroy();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.connecting = false;
    this._idle.clear();
    this.#closeEndpoint(error);
    this.#writer.dropStream();
    const hadError = error !== null && error !== undefined;
    callback(error);
    // A real handle closes a loop phase later; whoever awaits 'error' first and then 'close' relies on that.
    process.nextTick(() => queueMicrotask(() => process.nextTick(() => this.emit('close', hadError))));
    const server = this._server;
    if (server) {
      server._connections--;
      server._emitCloseIfDrained?.();
    }
  }

  #closeEndpoint(error: Error | null): void {
    const endpoint = this.#endpoint;
    // What the peer was called outlives it, itself must not.
    this.#peerInfo();
    this.#named = null;
    this.#reading = false;
    if (endpoint !== null && !this.#over) {
      if (this.#resetting) {
        endpoint.abort();
      } else if (this.#writer.wrapped > 0 && this.#writer.borrowing) {
        this.#linger(endpoint);
        return;
      } else {
        endpoint.close();
      }
      endpoint.events = null;
    }
    this.#endpoint = null;
    this.#setOver();
    this.#writer.abandon(error);
  }

  /**
   * Someone was promised a call when his buffer is free, and the endpoint still sends from it: closing now would mean never
   * to know. So the stream is ended, and the endpoint is closed when the peer has acknowledged, or reset after a while.
   */
  #linger(endpoint: StreamEndpoint): void {
    this.#lingering = true;
    endpoint.setReading(false);
    if (!this.#finished) endpoint.shutdown();
    this.#lingerTimer = this.#host.timers.set(LINGER_MS, () => {
      this.#endpoint?.abort();
      this.#setOver();
      this.#endLinger(systemError('ETIMEDOUT', 'write'));
    });
    this.#writer.drained = () => this.#endLinger(null);
    this.#writer.ask();
  }

  #endLinger(error: Error | null): void {
    this.#lingering = false;
    this.#writer.drained = null;
    this.#lingerTimer?.clear();
    this.#lingerTimer = null;
    const endpoint = this.#endpoint;
    this.#endpoint = null;
    if (endpoint !== null) {
      if (!this.#over) endpoint.close();
      endpoint.events = null;
    }
    this.#setOver();
    this.#writer.abandon(error);
  }

  /** The endpoint takes no more calls. */
  #setOver(): void {
    this.#over = true;
    this.#writer.endpoint = null;
  }

  protected override _live(): StreamEndpoint | null {
    return this.connecting || this.#over ? null : this.#endpoint;
  }

  // ---- getters that net.Socket answers from its handle

  /** @internal */
  _getpeername(): AddressInfo {
    return this.connecting ? {} : this.#peerInfo();
  }

  /** @internal */
  _getsockname(): AddressInfo {
    return this.#endpoint === null ? {} : this.#localInfo();
  }

  #peerInfo(): AddressInfo {
    const named = this.#named;
    if (this.#peer === null && named !== null)
      this.#peer = { address: named.remoteAddress, family: named.family, port: named.remotePort };
    return this.#peer ?? {};
  }

  #localInfo(): AddressInfo {
    const named = this.#named;
    if (this.#local === null && named !== null)
      this.#local = { address: named.localAddress, family: named.family, port: named.localPort };
    return this.#local ?? {};
  }

  /** @internal Node's `bytesWritten` adds what is still buffered in the stream. */
  get _bytesDispatched(): number {
    return this.#writer.written - this.#writer.before;
  }

  static {
    // TypeScript lets no accessor override what the types call a property.
    const getters: Record<string, (this: FtSocket) => unknown> = {
      bytesRead() {
        return this.#bytesRead;
      },
      pending() {
        return this.#endpoint === null || this.connecting;
      },
      bufferSize() {
        return this.#endpoint === null ? undefined : this.writableLength;
      },
    };
    for (const [name, get] of Object.entries(getters)) {
      Object.defineProperty(FtSocket.prototype, name, { configurable: true, enumerable: true, get });
    }
  }
}
