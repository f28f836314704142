import diagnostics from 'node:diagnostics_channel';
import dns from 'node:dns';
import net from 'node:net';
import { deserialize } from 'node:v8';
import { errorCode } from '../../lib/errors.js';
import { callersContext } from '../async-scope.js';
import type {
  ListenerHandle,
  ListenOptions,
  OutsideAddress,
  Replication,
  SocketHost,
  StreamEndpoint,
} from '../core/endpoint.js';
import { nameSessions } from './http2.js';
import { FtSocket } from './socket.js';
import { listenError, nodeError } from './socket-errors.js';

/** What Node's net.Server keeps, besides its public side. */
interface ServerInternals extends net.Server {
  _handle: ListenHandle | OutsideHandle | null;
  _pipeName?: string;
  _connections: number;
  _connectionKey: string;
  _listeningId: number;
  _unref: boolean;
  _emitCloseIfDrained(): void;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  /** Its `restore` is for connections that are there when a replica joins, not for later ones. */
  _restoresOld?: boolean;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  highWaterMark?: number;
  blockList?: net.BlockList;
}

const socketChannel = diagnostics.channel('net.server.socket');

/** Stands where a net.Server expects its TCP handle. */
class ListenHandle {
  readonly #listener: ListenerHandle;

  constructor(listener: ListenerHandle) {
    this.#listener = listener;
  }

  /** Fills `out` like libuv; 0 means no error. */
  getsockname(out: { address?: string; family?: string; port?: number }): number {
    out.address = this.#listener.address;
    out.family = this.#listener.family;
    out.port = this.#listener.port;
    return 0;
  }

  close(callback?: () => void): void {
    this.#listener.close();
    if (callback) process.nextTick(callback);
  }

  ref(): void {}

  unref(): void {}

  hasRef(): boolean {
    return false;
  }

  getAsyncId(): number {
    return -1;
  }

  get fd(): number {
    return -1;
  }
}

/** Stands there while a server listens, or is about to listen, beside the stack. */
class OutsideHandle {
  closed = false;
  #opened: { close(): void } | null = null;
  /** Absent for a path, as in Node. */
  getsockname?: (out: { address?: string; family?: string; port?: number }) => number;

  constructor({ address, port, isPath }: OutsideAddress) {
    if (!isPath) this.setName(address, port);
  }

  /** `server.address()` shows this. */
  setName(address: string, port: number): void {
    this.getsockname = (out) => {
      Object.assign(out, { address, family: net.isIPv6(address) ? 'IPv6' : 'IPv4', port });
      return 0;
    };
  }

  set opened(opened: { close(): void }) {
    this.#opened = opened;
  }

  close(callback?: () => void): void {
    this.closed = true;
    this.#opened?.close();
    if (callback) process.nextTick(callback);
  }

  ref(): void {}

  unref(): void {}
}

/** Makes a server listen beside the stack. False: the address is the stack's. */
function attachOutside(self: ServerInternals, host: SocketHost, where: OutsideAddress): boolean {
  if (host.listenOutside === undefined) return false;
  const { address, port, isPath } = where;
  const handle = new OutsideHandle(where);
  const opened = host.listenOutside(where, {
    onListening: (boundAddress, boundPort) => {
      if (!isPath) handle.setName(boundAddress, boundPort);
      self.emit('listening');
    },
    onError: (code) => {
      if (self._handle === handle) self._handle = null;
      self.emit('error', listenError(code, address, isPath ? null : port));
    },
    onConnection: (endpoint) => accept(self, host, endpoint),
  });
  if (opened === null) return false;
  handle.opened = opened;
  self._listeningId++;
  self._handle = handle;
  self._connectionKey = isPath ? `-1:${address}:-1` : `${net.isIPv6(address) ? 6 : 4}:${address}:${port}`;
  if (isPath) self._pipeName = address;
  return true;
}

/**
 * Makes any server of Node's (net, http, https, tls) listen on the stack, as its own `listen` would
 * on the kernel. Errors are emitted in the next tick.
 */
export function attachListener(server: net.Server, host: SocketHost, options: ListenOptions): void {
  const self = server as ServerInternals;
  if (self._handle) {
    throw nodeError('ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once without closing.');
  }
  nameSessions(server);
  if (options.address !== undefined) {
    const { address, port, backlog } = options;
    const where = { address, port, isPath: false, ...(backlog === undefined ? {} : { backlog }) };
    if (attachOutside(self, host, where)) return;
  }
  self._listeningId++;
  let listener: ListenerHandle;
  try {
    listener = host.listen(options, {
      inContext: callersContext('TCPSERVERWRAP'),
      onConnection: (endpoint) => accept(self, host, endpoint),
      onRestore: (endpoint, context) => restore(self, host, endpoint, context),
      restores: () => server.listenerCount('restore') > 0 && (self._restoresOld === true ? 'old' : true),
    });
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    const shown = listenError(code, options.address ?? '::', options.port, error);
    process.nextTick(() => server.emit('error', shown));
    return;
  }
  const handle = new ListenHandle(listener);
  self._handle = handle;
  self._connectionKey = `${listener.family === 'IPv6' ? 6 : 4}:${listener.address}:${options.port}`;
  process.nextTick(() => {
    if (self._handle === handle) server.emit('listening');
  });
}

function accept(server: ServerInternals, host: SocketHost, endpoint: StreamEndpoint): void {
  if (server.maxConnections !== undefined && server._connections >= server.maxConnections && server.maxConnections) {
    server.emit('drop', {
      localAddress: endpoint.localAddress,
      localPort: endpoint.localPort,
      localFamily: endpoint.family,
      remoteAddress: endpoint.remoteAddress,
      remotePort: endpoint.remotePort,
      remoteFamily: endpoint.family,
    });
    endpoint.close();
    return;
  }
  if (server.blockList?.check(endpoint.remoteAddress, endpoint.family === 'IPv6' ? 'ipv6' : 'ipv4')) {
    endpoint.close();
    return;
  }
  const socket = makeSocket(server, host, endpoint);
  server.emit('connection', socket);
  if (socketChannel.hasSubscribers) socketChannel.publish({ socket });
}

/**
 * Gives back a connection that another program had. A server that does not listen for that resets
 * it.
 */
function restore(
  server: ServerInternals,
  host: SocketHost,
  endpoint: StreamEndpoint,
  context: Uint8Array | null,
): void {
  if (server.listenerCount('restore') === 0) {
    endpoint.abort();
    return;
  }
  const socket = makeSocket(server, host, endpoint);
  server.emit('restore', socket, context === null ? undefined : deserialize(context));
}

function makeSocket(server: ServerInternals, host: SocketHost, endpoint: StreamEndpoint): FtSocket {
  const socket = new FtSocket(host, endpoint, {
    allowHalfOpen: server.allowHalfOpen,
    pauseOnCreate: server.pauseOnConnect,
    noDelay: server.noDelay,
    keepAlive: server.keepAlive,
    keepAliveInitialDelay: server.keepAliveInitialDelay * 1000,
    ...(server.highWaterMark === undefined
      ? {}
      : { readableHighWaterMark: server.highWaterMark, writableHighWaterMark: server.highWaterMark }),
  });
  server._connections++;
  socket.server = server;
  socket._server = server;
  return socket;
}

/** What Node's `listen` was called with, as far as it concerns a port. */
export interface ListenArguments {
  port: number;
  host?: string;
  /** Path of a Unix socket; the port is 0 then. */
  path?: string;
  backlog?: number;
  signal?: AbortSignal;
  replication?: Replication;
  independent?: boolean;
  listener: (() => void) | null;
}

/**
 * Reads Node's forms of `listen`; null for a handle or a file descriptor, which are the kernel's.
 */
export function listenArguments(args: unknown[]): ListenArguments | null {
  const last = args[args.length - 1];
  const listener = typeof last === 'function' ? (last as () => void) : null;
  const first = args[0];
  const numbers = args.slice(1).filter((arg): arg is number => typeof arg === 'number');
  if (typeof first === 'object' && first !== null) {
    const options = first as Record<string, unknown>;
    if (options['fd'] !== undefined || options['_handle'] || options['handle']) return null;
    const { path } = options;
    if (!('port' in options) && typeof path === 'string') return withPath(path, options, listener);
    if (!('port' in options)) {
      throw nodeError(
        'ERR_INVALID_ARG_VALUE',
        'The argument \'options\' must have the property "port" or "path".',
        TypeError,
      );
    }
    const out: ListenArguments = { port: checkedPort(options['port']), listener };
    if (typeof options['host'] === 'string' && options['host']) out.host = options['host'];
    const backlog = options['backlog'] ?? numbers[0];
    if (typeof backlog === 'number' && backlog > 0) out.backlog = backlog;
    if (options['signal'] instanceof AbortSignal) out.signal = options['signal'];
    const { replication } = options;
    if (replication === 'replay' || replication === 'state') out.replication = replication;
    else if (replication !== undefined) {
      throw nodeError(
        'ERR_INVALID_ARG_VALUE',
        `The property 'options.replication' must be 'replay' or 'state'. Received ${String(replication)}`,
        TypeError,
      );
    }
    const { independent } = options;
    if (typeof independent === 'boolean') out.independent = independent;
    else if (independent !== undefined) {
      throw nodeError(
        'ERR_INVALID_ARG_TYPE',
        `The property 'options.independent' must be of type boolean. Received ${String(independent)}`,
        TypeError,
      );
    }
    return out;
  }
  if (typeof first === 'string' && !/^\s*\d+\s*$/.test(first))
    return withPath(first, numbers[0] === undefined ? {} : { backlog: numbers[0] }, listener);
  const out: ListenArguments = { port: checkedPort(typeof first === 'function' ? undefined : first), listener };
  if (typeof args[1] === 'string' && args[1]) out.host = args[1];
  if (numbers[0] !== undefined && numbers[0] > 0) out.backlog = numbers[0];
  return out;
}

function withPath(
  path: string,
  { backlog, signal }: Record<string, unknown>,
  listener: ListenArguments['listener'],
): ListenArguments {
  const out: ListenArguments = { port: 0, path, listener };
  if (typeof backlog === 'number' && backlog > 0) out.backlog = backlog;
  if (signal instanceof AbortSignal) out.signal = signal;
  return out;
}

function checkedPort(port: unknown): number {
  if (port === undefined || port === null) return 0;
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port;
  if (typeof number !== 'number' || number !== number >>> 0 || number > 65535) {
    throw nodeError(
      'ERR_SOCKET_BAD_PORT',
      `options.port should be >= 0 and < 65536. Received ${String(port)}.`,
      RangeError,
    );
  }
  return number;
}

/** A net.Server whose `listen` goes to the stack. */
export class FtServer extends net.Server {
  readonly #host: SocketHost;

  constructor(host: SocketHost, options: net.ServerOpts = {}, listener?: (socket: net.Socket) => void) {
    super(options, listener);
    this.#host = host;
  }

  override listen(port?: number, host?: string, backlog?: number, listener?: () => void): this;
  override listen(port?: number, host?: string, listener?: () => void): this;
  override listen(port?: number, backlog?: number, listener?: () => void): this;
  override listen(port?: number, listener?: () => void): this;
  override listen(path: string, backlog?: number, listener?: () => void): this;
  override listen(path: string, listener?: () => void): this;
  override listen(options: net.ListenOptions, listener?: () => void): this;
  override listen(handle: unknown, backlog?: number, listener?: () => void): this;
  override listen(handle: unknown, listener?: () => void): this;
  /** A path, a handle or a file descriptor goes to the kernel, as in any net.Server. */
  override listen(...args: unknown[]): this {
    return listenOn(this, this.#host, args) ? this : super.listen(...(args as [number]));
  }
}

/**
 * `server.listen(...args)` on the stack, host names included. False if the arguments are not for
 * the stack (path, fd, handle).
 */
export function listenOn(server: net.Server, host: SocketHost, args: unknown[]): boolean {
  const self = server as ServerInternals;
  const wanted = listenArguments(args);
  if (wanted === null) return false;
  const { path } = wanted;
  if (path !== undefined && host.listenOutside === undefined) return false;
  if (self._handle) {
    throw nodeError('ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once without closing.');
  }
  if (wanted.listener) server.once('listening', wanted.listener);
  if (wanted.signal) closeOnAbort(server, wanted.signal);
  const { port, backlog, replication, independent } = wanted;
  if (path !== undefined)
    return attachOutside(self, host, {
      address: path,
      port: 0,
      isPath: true,
      ...(backlog === undefined ? {} : { backlog }),
    });
  const go = (address?: string) =>
    attachListener(server, host, {
      port,
      ...(address === undefined ? {} : { address }),
      ...(backlog === undefined ? {} : { backlog }),
      ...(replication === undefined ? {} : { replication }),
      ...(independent === undefined ? {} : { independent }),
    });
  if (wanted.host === undefined || net.isIP(wanted.host)) {
    go(wanted.host);
    return true;
  }
  const id = ++self._listeningId;
  dns.lookup(wanted.host, (error, address) => {
    // Closed, or told to listen elsewhere, in the meantime.
    if (id !== self._listeningId) return;
    if (error) server.emit('error', error);
    else go(address);
  });
  return true;
}

function closeOnAbort(server: net.Server, signal: AbortSignal): void {
  const close = () => server.close();
  if (signal.aborted) {
    process.nextTick(close);
    return;
  }
  signal.addEventListener('abort', close, { once: true });
  server.once('close', () => signal.removeEventListener('abort', close));
}
