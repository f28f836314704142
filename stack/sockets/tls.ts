import tls from 'node:tls';
import type { SocketTimers } from '../core/endpoint.js';
import { IdleTimeout, timeoutCallback, timeoutDuration } from './idle-timeout.js';

/** What `tls` has to know of a socket without a handle. */
export const tlsCarrier = Symbol('ft-tcp.tlsCarrier');

/** What a TLSSocket needs of the FtSocket below it. */
export interface TlsCarrier {
  readonly [tlsCarrier]: SocketTimers;
  readonly connecting: boolean;
  /**
   * Set once a TLSSocket writes through: Node hands over copies of its records, so their buffers
   * are never reused.
   */
  tlsAttached(): void;
  _getpeername(): object;
  _getsockname(): object;
  once(event: 'connect', listener: () => void): unknown;
}

interface TlsInternals extends tls.TLSSocket {
  _init(socket: unknown, wrap: unknown): void;
  _unrefTimer(): void;
  _onTimeout(): void;
  _peername?: object;
  _sockname?: object | null;
  connecting: boolean;
  timeout?: number;
}

/** True for a socket of ours. */
export function isCarrier(socket: unknown): socket is TlsCarrier {
  return typeof socket === 'object' && socket !== null && tlsCarrier in socket;
}

/** Puts the idle timer of a TLSSocket on the host's time, like that of the socket below it. */
function moveTimeout(socket: TlsInternals, timers: SocketTimers): void {
  const idle = new IdleTimeout(timers, () => {
    if (!socket.destroyed) socket._onTimeout();
  });
  const inherited = socket._unrefTimer;
  socket.setTimeout = function setTimeout(ms: number, callback?: () => void) {
    if (socket.destroyed) return socket;
    socket.timeout = ms;
    const duration = timeoutDuration(ms);
    idle.set(duration);
    if (callback !== undefined) {
      if (duration === 0) socket.removeListener('timeout', timeoutCallback(callback));
      else socket.once('timeout', timeoutCallback(callback));
    }
    return socket;
  };
  socket._unrefTimer = function _unrefTimer() {
    idle.touch();
    inherited.call(socket);
  };
  socket.once('close', () => idle.clear());
}

/** Tells a TLSSocket that the connection stands, and between which addresses. */
function settle(socket: TlsInternals, carrier: TlsCarrier): void {
  if (carrier.connecting) return;
  socket.connecting = false;
  // Through TLS these are asked of a C++ handle that has no addresses; a name already known comes
  // first.
  socket._peername = carrier._getpeername();
  socket._sockname = carrier._getsockname();
}

/**
 * `tls` counts a net.Socket without a handle as still connecting, knows no addresses of it, and
 * keeps its own timers. This puts all three right when a TLSSocket is made over a socket of ours;
 * every other TLSSocket goes its usual way.
 */
function install(): void {
  const prototype = tls.TLSSocket.prototype as TlsInternals;
  const init = prototype._init;
  prototype._init = function _init(this: TlsInternals, socket: unknown, wrap: unknown) {
    if (!isCarrier(socket)) {
      init.call(this, socket, wrap);
      return;
    }
    moveTimeout(this, socket[tlsCarrier]);
    socket.tlsAttached();
    // Before init, whose own listener emits the TLSSocket's 'connect'.
    if (socket.connecting) socket.once('connect', () => settle(this, socket));
    init.call(this, socket, wrap);
    settle(this, socket);
  };
}

install();
