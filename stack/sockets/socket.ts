import type net from 'node:net';
import { addAbortSignal } from 'node:stream';
import type { SocketHost, SocketTimer, SocketTimers, StreamEndpoint, StreamEvents } from '../core/endpoint.js';
import {
  checkedPort,
  checkLocalAddress,
  connectArguments,
  type FtConnectOptions,
  pick,
  refusePath,
} from './connect-arguments.js';
import { attemptTimeout, ConnectAttempts } from './connect-attempts.js';
import { encodeContext } from './connection-context.js';
import type { IdleTimeout } from './idle-timeout.js';
import { OnReadBuffer } from './onread-buffer.js';
import { resolveHost } from './resolve-host.js';
import { type AddressInfo, SocketAddresses } from './socket-addresses.js';
import { type FtSocketOptions, SocketBase } from './socket-base.js';
import { nodeError, systemError } from './socket-errors.js';
import { SocketWriter, type WriteCallback } from './socket-writer.js';
import { type TlsCarrier, tlsCarrier } from './tls.js';

/** Time that a destroyed socket waits for acknowledgements before it resets, milliseconds. */
const LINGER_MS = 60_000;

/** Bytes discarded in one event where the program does not listen for data. */
const MAX_DISCARDED_BYTES = 1024 * 1024;

/**
 * A genuine `net.Socket` whose bytes go through a StreamEndpoint. It has no handle: everything that
 * `net.Socket` would ask of one is overridden here. Its behaviour depends on its own calls and on
 * the endpoint's events only, so that it is the same on every replica.
 */
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
  readonly #addresses = new SocketAddresses();
  #attempts: ConnectAttempts | null = null;

  readonly #writer: SocketWriter;
  #lingering = false;
  #lingerTimer: SocketTimer | null = null;
  #resetting = false;
  readonly #onread: OnReadBuffer | null;

  constructor(host: SocketHost, endpoint: StreamEndpoint | null, options: FtSocketOptions = {}) {
    super(host.timers, options);
    this.#host = host;
    this.#writer = new SocketWriter(host.sendBuffer, this._idle);
    this.#onread = options.onread
      ? new OnReadBuffer(options.onread, { ended: () => this.destroyed, stopReading: () => this.#stopReading() })
      : null;
    if (options.signal) addAbortSignal(options.signal, this);
    if (endpoint !== null && !this.destroyed) {
      this.#attach(endpoint);
      this._applyOptions(endpoint);
      if (options.pauseOnCreate) this.pause();
      else this.read(0);
    }
  }

  /** Whether a socket is one, also where its prototype is another class's (adopt-socket.ts). */
  static isFtSocket(socket: object): socket is FtSocket {
    return #endpoint in socket;
  }

  /** Timers for a TLSSocket over this socket. */
  get [tlsCarrier](): SocketTimers {
    return this.#host.timers;
  }

  /**
   * Saves the program's context of this connection, which a successor gets with the connection
   * (state mode, docs/guides/state-mode.md): any value that `structuredClone` takes. Bytes read and
   * written in the same event belong to it. No effect unless only the connections are replicated.
   * @throws FtError ERR_FT_CONTEXT when it is longer than 64 KiB
   */
  override checkpoint(context: unknown): void {
    this._live()?.checkpoint?.(encodeContext(context));
  }

  /** @internal The connection cannot be restored in its present state. */
  _unsaved(): void {
    this._live()?.checkpoint?.(null);
  }

  /** @internal */
  protected override _idleMade(idle: IdleTimeout): void {
    this.#writer.idle = idle;
  }

  /** @internal Bytes that an earlier program has written to the connection (state mode). */
  get writtenBefore(): number {
    return this.#addresses.endpoint?.writtenBefore ?? 0;
  }

  /** @internal A TLSSocket writes through from now on. */
  tlsAttached(): void {
    this.#writer.private = true;
    // The TLSSocket decides when to end; the one below must not do so by itself at the peer's FIN.
    this.allowHalfOpen = true;
  }

  override connect(options: FtConnectOptions | net.SocketConnectOpts, listener?: () => void): this;
  override connect(port: number, host: string, listener?: () => void): this;
  override connect(port: number, listener?: () => void): this;
  override connect(path: string, listener?: () => void): this;
  override connect(...args: unknown[]): this {
    const { options, listener } = connectArguments(args);
    if (listener) this.once('connect', listener);
    if (this.#host.connectsPaths !== true) refusePath(options);
    if (this.#endpoint !== null || this.connecting) {
      throw nodeError('EISCONN', 'The socket is connected or connecting already');
    }
    if (this.destroyed) this.#reopen();
    delete (this as { write?: unknown }).write;
    if (options.noDelay !== undefined) this.setNoDelay(options.noDelay);
    if (options.keepAlive !== undefined) this.setKeepAlive(options.keepAlive, options.keepAliveInitialDelay);
    const port = options.path ? 0 : checkedPort(options.port);
    checkLocalAddress(options.localAddress);
    const timeoutMs = attemptTimeout(options.autoSelectFamilyAttemptTimeout);
    this._unrefTimer();
    this.connecting = true;
    const local = pick(options, 'localAddress', 'localPort');
    const begin = (addresses: string[]): void => {
      const targets = addresses.map((address) => ({ address, port, ...local }));
      this.#attempts = new ConnectAttempts(this.#host, this, targets, timeoutMs);
      this.#attempts.try((endpoint) => this.#attach(endpoint));
    };
    if (options.path) begin([options.path]);
    else resolveHost(this, options, begin);
    return this;
  }

  #attach(endpoint: StreamEndpoint): void {
    this.#endpoint = endpoint;
    this.#writer.begin(endpoint);
    endpoint.events = this;
    this.#addresses.reset(endpoint);
  }

  /** Makes a destroyed socket ready for another `connect`. */
  #reopen(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    this.#over = this.#reading = this.#readEnded = this.#finished = this.#resetting = this.#lingering = false;
    this.#bytesRead = 0;
    this.#writer.reset();
    this.#addresses.reset(null);
  }

  // ---- events of the endpoint

  /** @internal */
  onConnect(): void {
    const endpoint = this.#endpoint;
    if (endpoint === null || !this.connecting) return;
    this.connecting = false;
    this.#attempts?.end();
    this.#attach(endpoint);
    this._unrefTimer();
    this._applyOptions(endpoint);
    this.emit('connect');
    this.emit('ready');
    if (!this.isPaused()) this.read(0);
  }

  /** @internal */
  peek(bytes: Uint8Array, from: number, length: number, more: boolean): boolean {
    if (this.destroyed || this.#readEnded) return true;
    const onread = this.#onread;
    if (onread === null && !this.#discards()) return false;
    this.#bytesRead += length;
    this._idle.touch();
    onread?.fill(bytes, from, length, more);
    return true;
  }

  /** @internal A buffer is filled as by one read of the kernel's. */
  readBudget(): number {
    const onread = this.#onread;
    if (onread === null) return this.#discards() ? MAX_DISCARDED_BYTES : 0;
    return onread.size;
  }

  /** Whether the stream flows without a listener, so that received bytes are discarded. */
  #discards(): boolean {
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
    if (this.connecting && code !== null) {
      this.#endpoint = this.#writer.endpoint = null;
      this.#attempts?.failed(code, (endpoint) => this.#attach(endpoint));
      return;
    }
    this.#setOver();
    if (this.#lingering) {
      this.#endLinger(code === null ? null : systemError(code, 'write'));
      return;
    }
    if (this.destroyed) return;
    if (code !== null) {
      const syscall = this.#writer.blocked && !this.#reading ? 'write' : 'read';
      this.destroy(systemError(code, syscall));
      return;
    }
    this.#writer.acked = this.#writer.written;
    this.#writer.release();
    if (!this.#readEnded) this.onEnd();
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
    // Most callbacks need no acknowledgement: no chunk is sent from the program's memory.
    const writer = this.#writer;
    if (typeof done !== 'function' || !writer.mayWait(chunk, this.writableLength)) {
      return super.write(chunk as string, encoding as BufferEncoding, callback as WriteCallback);
    }
    const form = typeof encoding === 'function' ? undefined : (encoding as BufferEncoding);
    return writer.wrap(done, (completed) => super.write(chunk as string, form, completed));
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
    writer.complete(callback);
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
    writer.complete(callback);
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
    this.#writer.completeFinal(callback);
  }

  // ---- closing

  override resetAndDestroy(): this {
    if (this.#endpoint === null && !this.connecting)
      return this.destroy(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
    const reset = (): void => {
      this.#resetting = true;
      this.destroy();
    };
    if (this.connecting) this.once('connect', reset);
    else reset();
    return this;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.connecting = false;
    this._idle.clear();
    this.#attempts?.end();
    this.#closeEndpoint(error);
    this.#writer.dropStream();
    callback(error);
    // A real handle closes a loop phase later; programs that await 'error' and then 'close' rely on
    // it.
    process.nextTick(() => queueMicrotask(() => process.nextTick(() => this.emit('close', Boolean(error)))));
    const server = this._server;
    if (server) {
      server._connections--;
      server._emitCloseIfDrained?.();
    }
  }

  #closeEndpoint(error: Error | null): void {
    const endpoint = this.#endpoint;
    this.#addresses.release();
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
   * Write callbacks wait for buffers that the endpoint still sends from: the stream ends, and the
   * endpoint is closed when the peer has acknowledged all, or reset after a minute.
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
    this.#writer.requestSpace();
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
    return this.connecting ? {} : this.#addresses.peer();
  }

  /** @internal */
  _getsockname(): AddressInfo {
    return this.#endpoint === null ? {} : this.#addresses.local();
  }

  /** @internal Node's `bytesWritten` adds the bytes that are still in the stream's buffer. */
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
