import net from 'node:net';
import type { SocketTimers, StreamEndpoint } from '../core/endpoint.js';
import { wholeSeconds } from './connect-arguments.js';
import { IdleTimeout, NO_TIMEOUT, timeoutCallback, timeoutDuration } from './idle-timeout.js';

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

/** The socket that the next {@link SocketBase} is made of. */
let adopted: net.Socket | null = null;

/** Makes `make` build its socket out of an existing one. */
export function madeOf<T extends SocketBase>(socket: net.Socket, make: () => T): T {
  adopted = socket;
  try {
    return make();
  } finally {
    adopted = null;
  }
}

/**
 * Constructs a net.Socket; or returns the one that is adopted, which gets the fields of the classes
 * below.
 */
function makeRoot(this: unknown, options: net.SocketConstructorOpts): net.Socket {
  const socket = adopted;
  adopted = null;
  return socket ?? (Reflect.construct(net.Socket, [options], new.target as unknown as typeof net.Socket) as net.Socket);
}
Object.setPrototypeOf(makeRoot, net.Socket);
Object.defineProperty(makeRoot, 'prototype', { value: net.Socket.prototype });
const Root = makeRoot as unknown as typeof net.Socket;

/** A net.Socket without a handle, with the settings that a handle would keep. */
export abstract class SocketBase extends Root {
  declare connecting: boolean;
  declare timeout?: number;
  declare server: net.Server | null;
  declare _server: (net.Server & { _connections: number; _emitCloseIfDrained(): void }) | null;
  declare _host: string | null;
  declare _pendingData: unknown;
  declare _pendingEncoding: string;

  /** @internal */
  protected _idle: IdleTimeout = NO_TIMEOUT;
  readonly #timers: SocketTimers;
  #noDelay: boolean;
  #keepAlive: boolean;
  #keepAliveDelay: number;

  constructor(timers: SocketTimers, options: FtSocketOptions) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      highWaterMark: options.highWaterMark,
      readableHighWaterMark: options.readableHighWaterMark,
      writableHighWaterMark: options.writableHighWaterMark,
      // What net.Socket sets itself: where it has to add them to a copy of the options, that costs
      // 5 us.
      emitClose: false,
      autoDestroy: true,
      decodeStrings: false,
    } as net.SocketConstructorOpts);
    this.#timers = timers;
    this.#noDelay = options.noDelay ?? false;
    this.#keepAlive = options.keepAlive ?? false;
    this.#keepAliveDelay = wholeSeconds(options.keepAliveInitialDelay);
  }

  /** @internal The endpoint, if the connection stands. */
  protected abstract _live(): StreamEndpoint | null;

  /** @internal Applies to a new connection the options that were set before it was established. */
  protected _applyOptions(endpoint: StreamEndpoint): void {
    if (this.#noDelay) endpoint.setNoDelay(true);
    if (this.#keepAlive) endpoint.setKeepAlive(true, this.#keepAliveDelay);
  }

  override setTimeout(ms: number, callback?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = ms;
    const duration = timeoutDuration(ms);
    if (this._idle === NO_TIMEOUT && duration !== 0) {
      this._idle = new IdleTimeout(this.#timers, () => this._onTimeout());
      this._idleMade(this._idle);
    }
    this._idle.set(duration);
    if (callback !== undefined) {
      if (duration === 0) this.removeListener('timeout', timeoutCallback(callback));
      else this.once('timeout', timeoutCallback(callback));
    }
    return this;
  }

  /** @internal There is an idle timer now. */
  protected abstract _idleMade(idle: IdleTimeout): void;

  /** @internal Called by the idle timer, as in Node. */
  _onTimeout(): void {
    this.emit('timeout');
  }

  /** @internal Activity: the idle timer starts anew. */
  _unrefTimer(): void {
    this._idle.touch();
  }

  override setNoDelay(on?: boolean): this {
    const enable = on === undefined ? true : Boolean(on);
    if (enable !== this.#noDelay) {
      this.#noDelay = enable;
      this._live()?.setNoDelay(enable);
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
      this._live()?.setKeepAlive(enable, delay);
    }
    return this;
  }

  /** A connection of the stack keeps no event loop alive by itself. */
  override ref(): this {
    return this;
  }

  override unref(): this {
    return this;
  }
}
