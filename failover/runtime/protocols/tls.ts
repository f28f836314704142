/**
 * TLS over sockets of the stack goes through Node's internal JSStreamSocket, which ends each write
 * with an internal immediate: at a time of the real event loop, between events. Here that immediate
 * is an event like any other, so that TLS writes next (session tickets, the rest of a flight) at
 * the same place on every replica. Depends on these internals, checked on Node 20, 22, 24 and 26:
 * `TLSSocket.prototype._init`, JSStreamSocket's `doWrite`, `doClose`, `finishWrite`,
 * `finishShutdown`, and its symbols `kCurrentWriteRequest` and `kPendingClose`.
 */
import { constants as openssl } from 'node:crypto';
import { constants } from 'node:os';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

interface StreamWrap {
  _handle: object | null;
  stream: Duplex;
  finishWrite(handle: object | null, code: number): void;
  finishShutdown(handle: object | null, code: number): void;
  [symbol: symbol]: unknown;
}

type Closed = () => void;
type Failure = NodeJS.ErrnoException | null | undefined;

/** libuv's number of an error; EPIPE for one without a number. */
function uvCode(error: NodeJS.ErrnoException): number {
  const known = constants.errno as Record<string, number>;
  return -(known[error.code ?? ''] ?? known['EPIPE']);
}

/**
 * A JSStreamSocket, to find its class: Node makes one for a TLSSocket over a stream that is no
 * socket.
 */
function sampleWrap(): StreamWrap | undefined {
  const prototype = tls.TLSSocket.prototype as unknown as { _init(socket: unknown, wrap: unknown): void };
  const init = prototype._init;
  let found: StreamWrap | undefined;
  prototype._init = function (socket, wrap) {
    found = wrap as StreamWrap | undefined;
    init.call(this, socket, wrap);
  };
  try {
    const nothing = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const socket = new tls.TLSSocket(nothing);
    socket.on('error', () => undefined);
    socket.destroy();
  } finally {
    prototype._init = init;
  }
  return found;
}

/**
 * OpenSSL puts the real time into the session tickets of TLS 1.3, so a handshake replayed in
 * another second would send other bytes. Here servers keep their sessions themselves: the ticket is
 * then only a random number.
 */
function withoutTickets(patcher: Patcher): void {
  patcher.method(tls.Server.prototype, 'setSecureContext', (original) => {
    return function setSecureContext(this: unknown, options: unknown): unknown {
      const given = options as { secureOptions?: number };
      const secureOptions = (given.secureOptions ?? 0) | openssl.SSL_OP_NO_TICKET;
      return original.call(this, { ...given, secureOptions });
    };
  });
}

/** Makes the end of each write of TLS an event. Reports `tls` on a Node whose internals differ. */
export function installTls(runtime: RuntimeContext, patcher: Patcher): void {
  withoutTickets(patcher);
  const wrap = sampleWrap();
  const symbol = (name: string): symbol | undefined =>
    wrap === undefined ? undefined : Object.getOwnPropertySymbols(wrap).find((own) => own.description === name);
  const request = symbol('kCurrentWriteRequest');
  const closing = symbol('kPendingClose');
  const prototype = wrap === undefined ? null : (Object.getPrototypeOf(wrap) as object);
  if (prototype === null || request === undefined || closing === undefined || !('doWrite' in prototype)) {
    patcher.method(tls.TLSSocket.prototype, '_init', (original) => {
      return function (this: unknown, ...args: unknown[]) {
        runtime.reportNondeterministic('tls');
        return original.apply(this, args);
      };
    });
    return;
  }
  patcher.method(prototype, 'doWrite', (original) => {
    return function doWrite(this: StreamWrap, write: unknown, buffers: unknown): unknown {
      if (!runtime.active || this[closing] === true || this._handle === null)
        return original.call(this, write, buffers);
      const handle = this._handle;
      const parts = buffers as Buffer[];
      let pending = parts.length;
      const done = (error: Failure): void => {
        if (!error && --pending !== 0) return;
        pending = 0;
        runtime.later(() => this.finishWrite(handle, error ? uvCode(error) : 0));
      };
      this.stream.cork();
      for (const part of parts) this.stream.write(part, done);
      this.stream.uncork();
      this[request] = write;
      return 0;
    };
  });
  patcher.method(prototype, 'doClose', (original) => {
    return function doClose(this: StreamWrap, closed: unknown): unknown {
      if (!runtime.active) return original.call(this, closed);
      this[closing] = true;
      const handle = this._handle;
      this.stream.destroy();
      runtime.later(() => {
        const canceled = -constants.errno.ECANCELED;
        this.finishWrite(handle, canceled);
        this.finishShutdown(handle, canceled);
        this[closing] = false;
        (closed as Closed)();
      });
      return undefined;
    };
  });
}
