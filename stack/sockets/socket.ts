import dns from 'node:dns';
import net from 'node:net';
import { addAbortSignal } from 'node:stream';
import { errorCode } from '../../lib/errors.js';
import type { SocketHost, SocketTimer, SocketTimers, StreamEndpoint, StreamEvents } from './endpoint.js';
import { IdleTimeout, timeoutCallback, timeoutDuration } from './idle-timeout.js';
import { connectError, nodeError, systemError } from './socket-errors.js';
import { type TlsCarrier, tlsCarrier } from './tls.js';
import { writeSlab } from './write-slab.js';

/** Chunks from this size on are handed to the endpoint as they are; smaller ones are copied. */
export const COPY_BELOW = 16384;

/** How long a destroyed socket waits for acknowledgements that a write callback was promised, before it resets. */
const LINGER_MS = 60_000;

type WriteCallback = (error?: Error | null) => void;

/** Options of an FtSocket; those of `net.Socket` that make sense without a file descriptor. */
export interface FtSocketOptions {
  allowHalfOpen?: boolean;
  highWaterMark?: number;
  readableHighWaterMark?: number;
  writableHighWaterMark?: number;
  /** Do not read before `resume()` or `read()`. */
  pauseOnCreate?: boolean;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  signal?: AbortSignal;
  onread?: net.OnReadOpts;
}

/** What `connect` of an FtSocket takes besides Node's positional forms. */
export interface FtConnectOptions {
  port: number;
  host?: string;
  localAddress?: string;
  localPort?: number;
  family?: number;
  hints?: number;
  lookup?: net.LookupFunction;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  timeout?: number;
}

interface AddressInfo {
  address?: string;
  port?: number;
  family?: string;
}

/** A user's write callback that may have to wait for an acknowledgement. */
interface Awaiting {
  callback: WriteCallback;
  error: Error | null | undefined;
  /** Runs once this many bytes are acknowledged; -1: not known before its chunk is handed over. */
  end: number;
}

/**
 * A genuine `net.Socket` whose bytes go through a StreamEndpoint. It has no handle: everything that `net.Socket` would ask
 * of one is overridden here. What it does is a function of its own calls and of the endpoint's events, of nothing else.
 */
export class FtSocket extends net.Socket implements StreamEvents, TlsCarrier {
  declare connecting: boolean;
  declare timeout?: number;
  declare server: net.Server | null;
  declare _server: (net.Server & { _connections: number; _emitCloseIfDrained(): void }) | null;
  declare _host: string | null;
  declare _pendingData: unknown;
  declare _pendingEncoding: string;

  readonly #host: SocketHost;
  #endpoint: StreamEndpoint | null = null;
  /** The endpoint has said that it is over; it takes no more calls. */
  #over = false;
  #reading = false;
  #readEnded = false;
  /** No more bytes from us: the endpoint was told to shut down. */
  #finished = false;
  #bytesRead = 0;
  #peer: AddressInfo = {};
  #local: AddressInfo = {};
  #target: { address: string; port: number; localAddress?: string; localPort?: number } | null = null;

  /** Bytes given to the endpoint, and how many of them the last `onSpace` called acknowledged. */
  #written = 0;
  #acked = 0;
  /** End of the last chunk that was handed over without a copy. */
  #uncopiedEnd = 0;
  /** Threshold of the request to the endpoint that is under way; 0: none. */
  #asked = 0;
  #held: WriteCallback | null = null;
  #releaseAt = 0;
  #finalCallback: WriteCallback | null = null;
  #finalAt = 0;
  #awaiting: Awaiting[] = [];
  /** Write callbacks of the user that were wrapped and have not run. */
  #wrapped = 0;
  /** Why bytes that were never acknowledged are lost. */
  #lost: Error | null = null;
  #lingering = false;
  #lingerTimer: SocketTimer | null = null;
  /** Node copies what TLS writes, so nothing has to wait for an acknowledgement. */
  #private = false;

  readonly #idle: IdleTimeout;
  #noDelay = false;
  #keepAlive = false;
  #keepAliveDelay = 0;
  #resetting = false;
  readonly #onread: net.OnReadOpts | null;

  constructor(host: SocketHost, endpoint: StreamEndpoint | null, options: FtSocketOptions = {}) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      ...pick(options, 'highWaterMark', 'readableHighWaterMark', 'writableHighWaterMark'),
    } as net.SocketConstructorOpts);
    this.#host = host;
    this.#idle = new IdleTimeout(host.timers, () => this._onTimeout());
    this.#noDelay = options.noDelay ?? false;
    this.#keepAlive = options.keepAlive ?? false;
    this.#keepAliveDelay = wholeSeconds(options.keepAliveInitialDelay);
    this.#onread = options.onread ?? null;
    if (options.signal) addAbortSignal(options.signal, this);
    if (endpoint !== null && !this.destroyed) {
      this.#attach(endpoint);
      this.#applyOptions(endpoint);
      if (options.pauseOnCreate) this.pause();
      else this.read(0);
    }
  }

  /** Timers for a TLSSocket over this socket. */
  get [tlsCarrier](): SocketTimers {
    return this.#host.timers;
  }

  /** @internal A TLSSocket writes through from now on. */
  tlsAttached(): void {
    this.#private = true;
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
    const host = options.host || 'localhost';
    const { localAddress, localPort } = options;
    const start = (address: string) =>
      this.#open({ address, port, ...pick({ localAddress, localPort }, 'localAddress', 'localPort') });
    if (net.isIP(host)) {
      process.nextTick(() => {
        if (this.connecting) start(host);
      });
      return;
    }
    this._host = host;
    const lookup = options.lookup ?? (dns.lookup as unknown as net.LookupFunction);
    lookup(host, { family: options.family ?? 0, hints: options.hints ?? 0, all: false }, (error, found, family) => {
      const first = Array.isArray(found) ? found[0]?.address : found;
      this.emit('lookup', error, first, family, host);
      if (!this.connecting) return;
      if (error) process.nextTick(() => this.destroy(error));
      else if (!first || !net.isIP(first)) {
        const invalid = nodeError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${first}`, TypeError);
        process.nextTick(() => this.destroy(invalid));
      } else {
        this._unrefTimer();
        start(first);
      }
    });
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
    endpoint.events = this;
    const { family } = endpoint;
    this.#peer = { address: endpoint.remoteAddress, family, port: endpoint.remotePort };
    this.#local = { address: endpoint.localAddress, family, port: endpoint.localPort };
  }

  #applyOptions(endpoint: StreamEndpoint): void {
    if (this.#noDelay) endpoint.setNoDelay(true);
    if (this.#keepAlive) endpoint.setKeepAlive(true, this.#keepAliveDelay);
  }

  /** Makes a destroyed socket as good as new, for another `connect`. */
  #reopen(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    this.#over = this.#reading = this.#readEnded = this.#finished = this.#resetting = this.#lingering = false;
    this.#bytesRead = this.#written = this.#acked = this.#uncopiedEnd = this.#asked = 0;
    this.#awaiting = [];
    this.#wrapped = 0;
    this.#peer = {};
    this.#local = {};
  }

  // ---- events of the endpoint

  /** @internal */
  onConnect(): void {
    const endpoint = this.#endpoint;
    if (endpoint === null || !this.connecting) return;
    this.connecting = false;
    this.#attach(endpoint);
    this._unrefTimer();
    this.#applyOptions(endpoint);
    this.emit('connect');
    this.emit('ready');
    if (!this.isPaused()) this.read(0);
  }

  /** @internal */
  onData(chunk: Buffer): void {
    if (this.destroyed || this.#readEnded) return;
    this.#bytesRead += chunk.length;
    this.#idle.touch();
    if (this.#onread !== null) {
      this.#deliver(chunk, this.#onread);
      return;
    }
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
  onSpace(acked: number): void {
    this.#asked = 0;
    if (acked > this.#acked) this.#acked = acked;
    if (!this.destroyed) this.#idle.touch();
    this.#release();
  }

  /** @internal */
  onClose(code: string | null): void {
    this.#over = true;
    if (this.#lingering) {
      this.#endLinger(code === null ? null : systemError(code, 'write'));
      return;
    }
    if (this.destroyed) return;
    if (code !== null) {
      this.destroy(this.#failure(code));
      return;
    }
    this.#acked = this.#written;
    this.#release();
    if (!this.#readEnded) this.onEnd();
  }

  #failure(code: string): Error {
    if (this.connecting && this.#target !== null) {
      const { address, port, localAddress, localPort } = this.#target;
      return connectError(code, address, port, pick({ address: localAddress, port: localPort }, 'address', 'port'));
    }
    return systemError(code, this.#held !== null && !this.#reading ? 'write' : 'read');
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
  #deliver(chunk: Buffer, onread: net.OnReadOpts): void {
    for (let at = 0; at < chunk.length && !this.destroyed; ) {
      const buffer = typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer;
      const length = Math.min(buffer.byteLength, chunk.length - at);
      buffer.set(chunk.subarray(at, at + length));
      at += length;
      if (onread.callback(length, buffer) === false) this.#stopReading();
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
    // Nothing was handed over without a copy, nor will this chunk be: its callback needs no acknowledgement.
    if (
      typeof done !== 'function' ||
      this.#private ||
      (this.#uncopiedEnd <= this.#acked && this.writableLength === 0 && !isLarge(chunk))
    ) {
      return super.write(chunk as string, encoding as BufferEncoding, callback as WriteCallback);
    }
    const entry: Awaiting = { callback: done, error: null, end: -1 };
    const before = this.#written;
    this.#wrapped++;
    const more = super.write(
      chunk as string,
      typeof encoding === 'function' ? undefined : (encoding as BufferEncoding),
      (error?: Error | null) => this.#completed(entry, error),
    );
    // Handed over at once: it is known what this callback waits for.
    if (this.#written !== before) entry.end = this.#uncopiedEnd;
    return more;
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    const endpoint = this.#ready(chunk, encoding, callback, () => this._write(chunk, encoding, callback));
    if (endpoint === null) return;
    this.#add(endpoint, chunk, encoding);
    this.#flush(endpoint);
    this.#settle(endpoint, callback);
  }

  override _writev(chunks: { chunk: Buffer | string; encoding: BufferEncoding }[], callback: WriteCallback): void {
    const endpoint = this.#ready(chunks, '', callback, () => this._writev(chunks, callback));
    if (endpoint === null) return;
    for (const { chunk, encoding } of chunks) this.#add(endpoint, chunk, encoding);
    this.#flush(endpoint);
    this.#settle(endpoint, callback);
  }

  /** The endpoint if it takes bytes now; else the write is put off until the connection stands, or refused. */
  #ready(data: unknown, encoding: string, callback: WriteCallback, again: () => void): StreamEndpoint | null {
    if (this.connecting) {
      this._pendingData = data;
      this._pendingEncoding = encoding;
      const closed = () =>
        callback(
          nodeError('ERR_SOCKET_CLOSED_BEFORE_CONNECTION', 'Socket closed before the connection was established'),
        );
      this.once('connect', () => {
        this.off('close', closed);
        again();
      });
      this.once('close', closed);
      return null;
    }
    this._pendingData = null;
    this._pendingEncoding = '';
    if (this.#endpoint === null) {
      callback(nodeError('ERR_SOCKET_CLOSED', 'Socket is closed'));
      return null;
    }
    if (this.#over) {
      callback(systemError('EPIPE', 'write'));
      return null;
    }
    this.#idle.touch();
    return this.#endpoint;
  }

  /** Gives one chunk to the endpoint, or adds it to the run of small ones. */
  #add(endpoint: StreamEndpoint, chunk: Buffer | string, encoding: BufferEncoding): void {
    if (typeof chunk === 'string') {
      this.#addText(endpoint, chunk, encoding);
      return;
    }
    const length = chunk.byteLength;
    if (length < COPY_BELOW) {
      if (!writeSlab.fits(length)) this.#flush(endpoint);
      writeSlab.addBytes(chunk);
      return;
    }
    this.#flush(endpoint);
    this.#hand(endpoint, chunk);
    if (!this.#private) this.#uncopiedEnd = this.#written;
  }

  #addText(endpoint: StreamEndpoint, text: string, encoding: BufferEncoding): void {
    if (text.length < COPY_BELOW) {
      const most = textBound(text, encoding);
      if (!writeSlab.fits(most)) this.#flush(endpoint);
      writeSlab.addText(text, encoding, most);
      return;
    }
    // A Buffer of our own that nobody else can write to.
    const bytes = Buffer.from(text, encoding);
    this.#flush(endpoint);
    this.#hand(endpoint, bytes);
  }

  #flush(endpoint: StreamEndpoint): void {
    const run = writeSlab.take();
    if (run !== null) this.#hand(endpoint, run);
  }

  #hand(endpoint: StreamEndpoint, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#written += bytes.byteLength;
    endpoint.write(bytes);
  }

  /** Completes a write for the stream, or holds it back until the peer has acknowledged enough. */
  #settle(endpoint: StreamEndpoint, callback: WriteCallback): void {
    const limit = this.#host.sendBuffer;
    const unacked = this.#written - this.#acked;
    if (unacked > limit) {
      this.#held = callback;
      this.#releaseAt = this.#written - (limit >>> 1);
      this.#ask();
      return;
    }
    // Asked for early, so that a writer whose bytes are acknowledged in time is never held.
    if (unacked > limit >>> 1 && this.#asked === 0) this.#request(endpoint, this.#acked + (limit >>> 2));
    callback();
  }

  /** A write of the user is complete for the stream: its callback runs once no byte of a foreign buffer is needed any more. */
  #completed(entry: Awaiting, error: Error | null | undefined): void {
    entry.error = error;
    if (error && entry.end < 0) entry.end = 0;
    else if (entry.end < 0) entry.end = this.#uncopiedEnd;
    if (entry.end > this.#acked && !this.#over) {
      this.#awaiting.push(entry);
      this.#ask();
      return;
    }
    this.#wrapped--;
    entry.callback(error ?? (entry.end > this.#acked ? this.#lost : null));
    if (this.#lingering) this.#release();
  }

  /** Asks for the nearest of the thresholds that something waits for. */
  #ask(): void {
    const endpoint = this.#endpoint;
    if (endpoint === null || this.#over) return;
    let at = Number.POSITIVE_INFINITY;
    if (this.#held !== null) {
      at = this.#releaseAt;
      // With an idle timer running, slow progress must be seen: it is activity.
      if (this.#idle.armed) at = Math.min(at, this.#acked + Math.max(1, this.#host.sendBuffer >>> 4));
    }
    if (this.#finalCallback !== null) at = Math.min(at, this.#finalAt);
    if (this.#awaiting.length > 0) at = Math.min(at, this.#awaiting[0]!.end);
    if (at === Number.POSITIVE_INFINITY || (this.#asked !== 0 && this.#asked <= at)) return;
    this.#request(endpoint, at);
  }

  #request(endpoint: StreamEndpoint, acked: number): void {
    this.#asked = acked;
    endpoint.wantSpace(acked);
  }

  /** Lets go whatever the acknowledged bytes allow, and asks for what is next. */
  #release(): void {
    const acked = this.#acked;
    while (this.#awaiting.length > 0 && this.#awaiting[0]!.end <= acked) {
      const { callback, error } = this.#awaiting.shift()!;
      this.#wrapped--;
      process.nextTick(callback, error);
    }
    const held = this.#held !== null && acked >= this.#releaseAt ? this.#held : null;
    if (held !== null) this.#held = null;
    const final = this.#finalCallback !== null && acked >= this.#finalAt ? this.#finalCallback : null;
    if (final !== null) this.#finalCallback = null;
    this.#ask();
    if (this.#lingering && this.#wrapped === 0) this.#endLinger(null);
    held?.();
    final?.();
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
    // 'finish' and the callback of end() tell the user that his buffers are his again.
    if (this.#uncopiedEnd > this.#acked && !this.#private) {
      this.#finalCallback = callback;
      this.#finalAt = this.#uncopiedEnd;
      this.#ask();
      return;
    }
    callback();
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
    this.#idle.clear();
    this.#closeEndpoint(error);
    const held = this.#held;
    this.#held = null;
    this.#finalCallback = null;
    // As in Node, the write under way completes; those behind it fail.
    if (held !== null) process.nextTick(held);
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
    this.#reading = false;
    if (endpoint !== null && !this.#over) {
      if (this.#resetting) {
        endpoint.abort();
      } else if (this.#wrapped > 0 && this.#uncopiedEnd > this.#acked) {
        this.#linger(endpoint);
        return;
      } else {
        endpoint.close();
      }
      endpoint.events = null;
    }
    this.#endpoint = null;
    this.#over = true;
    this.#abandon(error);
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
      this.#over = true;
      this.#endLinger(systemError('ETIMEDOUT', 'write'));
    });
    this.#ask();
  }

  #endLinger(error: Error | null): void {
    this.#lingering = false;
    this.#lingerTimer?.clear();
    this.#lingerTimer = null;
    const endpoint = this.#endpoint;
    this.#endpoint = null;
    if (endpoint !== null) {
      if (!this.#over) endpoint.close();
      endpoint.events = null;
    }
    this.#over = true;
    this.#abandon(error);
  }

  /** The endpoint will send no more: whoever waits for an acknowledgement is told how it ended. */
  #abandon(error: Error | null): void {
    this.#lost = error;
    for (const entry of this.#awaiting.splice(0)) {
      this.#wrapped--;
      process.nextTick(entry.callback, entry.error ?? error);
    }
  }

  // ---- settings

  override setTimeout(ms: number, callback?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = ms;
    const duration = timeoutDuration(ms);
    this.#idle.set(duration);
    if (callback !== undefined) {
      if (duration === 0) this.removeListener('timeout', timeoutCallback(callback));
      else this.once('timeout', timeoutCallback(callback));
    }
    return this;
  }

  /** @internal Called by the idle timer, as in Node. */
  _onTimeout(): void {
    this.emit('timeout');
  }

  /** @internal Activity: the idle timer starts anew. */
  _unrefTimer(): void {
    this.#idle.touch();
  }

  override setNoDelay(on?: boolean): this {
    const enable = on === undefined ? true : Boolean(on);
    if (enable !== this.#noDelay) {
      this.#noDelay = enable;
      this.#live()?.setNoDelay(enable);
    }
    return this;
  }

  override setKeepAlive(on?: boolean | { enable?: boolean; initialDelay?: number }, initialDelay?: number): this {
    // Node 24 also takes one object.
    const enable = Boolean(typeof on === 'object' && on !== null ? on.enable : on);
    const delay = wholeSeconds(typeof on === 'object' && on !== null ? on.initialDelay : initialDelay);
    if (enable !== this.#keepAlive || (enable && delay !== this.#keepAliveDelay)) {
      this.#keepAlive = enable;
      this.#keepAliveDelay = delay;
      this.#live()?.setKeepAlive(enable, delay);
    }
    return this;
  }

  /** The endpoint, if the connection stands. */
  #live(): StreamEndpoint | null {
    return this.connecting || this.#over ? null : this.#endpoint;
  }

  /** A connection of the stack keeps no event loop alive by itself. */
  override ref(): this {
    return this;
  }

  override unref(): this {
    return this;
  }

  // ---- getters that net.Socket answers from its handle

  /** @internal */
  _getpeername(): AddressInfo {
    return this.connecting ? {} : this.#peer;
  }

  /** @internal */
  _getsockname(): AddressInfo {
    return this.#endpoint === null ? {} : this.#local;
  }

  /** @internal Node's `bytesWritten` adds what is still buffered in the stream. */
  get _bytesDispatched(): number {
    return this.#written;
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

function isLarge(chunk: unknown): boolean {
  return ArrayBuffer.isView(chunk) && chunk.byteLength >= COPY_BELOW;
}

/** How many bytes a text takes at most; counting exactly costs more than writing it. */
function textBound(text: string, encoding: BufferEncoding): number {
  switch (encoding) {
    case 'latin1':
    case 'binary':
    case 'ascii':
      return text.length;
    default:
      return text.length * 3;
  }
}

function wholeSeconds(ms: number | undefined): number {
  return ~~((ms ?? 0) / 1000) * 1000;
}

/** A copy with only the named properties that are set. */
function pick<T extends object, K extends keyof T>(from: T, ...names: K[]): { [P in K]?: Exclude<T[P], undefined> } {
  const out: { [P in K]?: Exclude<T[P], undefined> } = {};
  for (const name of names) {
    if (from[name] !== undefined) out[name] = from[name] as Exclude<T[K], undefined>;
  }
  return out;
}

function checkedPort(port: unknown): number {
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port;
  if (typeof number !== 'number' || number !== number >>> 0 || number > 65535) {
    throw nodeError('ERR_SOCKET_BAD_PORT', `Port should be >= 0 and < 65536. Received ${String(port)}.`, RangeError);
  }
  return number;
}

/** Node's forms of `connect`: (options[, listener]), (port[, host][, listener]); an array is Node's own normalized form. */
export function connectArguments(args: unknown[]): {
  options: FtConnectOptions & Record<string, unknown>;
  listener: (() => void) | null;
} {
  const list = Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
  const last = list[list.length - 1];
  const listener = typeof last === 'function' ? (last as () => void) : null;
  const first = list[0];
  if (typeof first === 'object' && first !== null) {
    return { options: { ...(first as FtConnectOptions & Record<string, unknown>) }, listener };
  }
  if (typeof first === 'string' && !/^\s*\d+\s*$/.test(first)) {
    return { options: { port: 0, path: first }, listener };
  }
  const options: FtConnectOptions & Record<string, unknown> = { port: first as number };
  if (typeof list[1] === 'string') options.host = list[1];
  return { options, listener };
}
