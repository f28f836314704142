/**
 * node:http's own use of time: the `Date:` header (cached by Node on an internal timer) and the
 * check for slow clients (an internal interval and the real clock). Depends on these internals,
 * checked on Node 20, 22, 24 and 26: `OutgoingMessage.prototype._storeHeader` and its `sendDate`,
 * the server's symbol `http.server.connectionsCheckingInterval`, the listener named
 * `socketOnError`, and a socket's `_httpMessage`.
 */
import http from 'node:http';
import type { Socket } from 'node:net';
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

interface Message {
  sendDate: boolean;
  hasHeader(name: string): boolean;
}

const DATE_NAME = /^date$/i;
/** Node's default for `connectionsCheckingInterval`. */
const CHECK_INTERVAL_MS = 30_000;

/** Whether the headers handed to _storeHeader (in any of its forms) have a date. */
function hasDate(headers: unknown): boolean {
  if (headers === null || typeof headers !== 'object') return false;
  if (!Array.isArray(headers)) {
    for (const key in headers) if (key.length === 4 && DATE_NAME.test(key)) return true;
    return false;
  }
  const pairs = Array.isArray(headers[0]);
  for (let i = 0; i < headers.length; i += pairs ? 1 : 2) {
    const name: unknown = pairs ? (headers[i] as unknown[])[0] : headers[i];
    if (typeof name === 'string' && name.length === 4 && DATE_NAME.test(name)) return true;
  }
  return false;
}

/** Makes the `Date:` header show logical time. */
export function installHttp(runtime: RuntimeContext, patcher: Patcher): void {
  let second = -1;
  let line = '';
  patcher.method(
    http.OutgoingMessage.prototype,
    '_storeHeader',
    (original) =>
      function _storeHeader(this: Message, firstLine: unknown, headers: unknown) {
        if (!runtime.active || !this.sendDate || hasDate(headers)) return original.call(this, firstLine, headers);
        const wall = runtime.time.peekWall();
        const now = Math.floor(wall / 1000);
        if (now !== second) {
          second = now;
          line = `Date: ${new originals.Date(wall).toUTCString()}\r\n`;
        }
        // Node must not add its own: it would be the real time.
        this.sendDate = false;
        try {
          return original.call(this, (firstLine as string) + line, headers);
        } finally {
          this.sendDate = true;
        }
      },
  );
}

/** How far a connection is with its current request. */
interface Progress {
  /**
   * When the request's first bytes came (or the connection, for the first request), in microseconds
   * of logical time; -1: no request is in progress.
   */
  since: number;
  headersDone: boolean;
  /** The last request whose headers have come. */
  request: http.IncomingMessage | null;
}

/** Nothing is awaited from the peer: no request is in progress, or all of it has come. */
function isComplete({ since, request }: Progress): boolean {
  return since < 0 || (request !== null && (request.complete || request.destroyed));
}

class RequestTimeoutError extends Error {
  readonly code = 'ERR_HTTP_REQUEST_TIMEOUT';

  constructor() {
    super('Request timeout');
  }
}

/** Members of an http.Server that its types do not show. */
interface CheckedServer extends http.Server {
  connectionsCheckingInterval?: number;
}

const virtualized = new WeakMap<http.Server, RequestTimeouts>();

/** The request timeouts of one server, in logical time. */
class RequestTimeouts {
  readonly connections = new Map<Socket, Progress>();
  readonly #runtime: RuntimeContext;
  readonly #server: http.Server;

  constructor(runtime: RuntimeContext, server: http.Server) {
    this.#runtime = runtime;
    this.#server = server;
    server.prependListener('connection', (socket: Socket) => this.#watch(socket));
    server.prependListener('request', (request: http.IncomingMessage) => {
      const progress = this.connections.get(request.socket);
      if (progress === undefined) return;
      progress.headersDone = true;
      progress.request = request;
    });
    const interval = (server as CheckedServer).connectionsCheckingInterval ?? CHECK_INTERVAL_MS;
    const timer = runtime.timers.setTimer(() => this.#check(), interval, true, [], false);
    server.once('close', () => timer.clear());
  }

  #watch(socket: Socket): void {
    const { connections } = this;
    const { time } = this.#runtime;
    const progress: Progress = { since: time.peek(), headersDone: false, request: null };
    connections.set(socket, progress);
    // Not a listener for 'data': that would set the socket flowing.
    const emit = socket.emit as (event: string | symbol, ...args: unknown[]) => boolean;
    socket.emit = function (this: Socket, event: string | symbol, ...args: unknown[]): boolean {
      if (event === 'data' && isComplete(progress)) {
        progress.since = time.peek();
        progress.headersDone = false;
        progress.request = null;
      } else if (event === 'close') connections.delete(socket);
      // Nearly all events have one argument: it is passed on without a list.
      return args.length === 1 ? emit.call(this, event, args[0]) : emit.call(this, event, ...args);
    } as Socket['emit'];
  }

  #check(): void {
    const { headersTimeout, requestTimeout } = this.#server;
    const now = this.#runtime.time.peek();
    for (const [socket, progress] of this.connections) {
      if (isComplete(progress)) {
        progress.since = -1;
        progress.request = null;
        continue;
      }
      const ms = (now - progress.since) / 1000;
      const late =
        (headersTimeout > 0 && !progress.headersDone && ms > headersTimeout) ||
        (requestTimeout > 0 && ms > requestTimeout);
      if (late) this.#expire(socket);
    }
  }

  #expire(socket: Socket): void {
    this.connections.delete(socket);
    const listener = socket.listeners('error').find((fn) => fn.name === 'socketOnError');
    const error = new RequestTimeoutError();
    // Node's own handler: 'clientError', or 408 and close.
    if (listener !== undefined) (listener as (error: Error) => void).call(socket, error);
    else socket.destroy(error);
  }
}

/** Stops the interval in which Node itself checks a server's connections. */
function stopNodesCheck(server: http.Server): void {
  const own = server as unknown as Record<symbol, unknown>;
  for (const symbol of Object.getOwnPropertySymbols(server)) {
    if (symbol.description === 'http.server.connectionsCheckingInterval')
      originals.clearInterval(own[symbol] as NodeJS.Timeout);
  }
}

/**
 * Moves a server's headersTimeout and requestTimeout to logical time. Node checks them with an
 * interval of its own and the real clock, so a 408 could come at different events on different
 * replicas. Call it inside an event when a server begins to listen, or begins to get connections.
 */
export function virtualizeHttpServer(runtime: RuntimeContext, server: http.Server): void {
  stopNodesCheck(server);
  if (!virtualized.has(server)) virtualized.set(server, new RequestTimeouts(runtime, server));
}

/** A server's connections; `idle`: every request that came on it has been answered. */
export function* httpConnections(server: http.Server): Generator<[socket: Socket, idle: boolean]> {
  for (const [socket, progress] of virtualized.get(server)?.connections ?? []) {
    const { _httpMessage } = socket as Socket & { _httpMessage?: object | null };
    yield [socket, !_httpMessage && (isComplete(progress) || socket.bytesRead === 0)];
  }
}
