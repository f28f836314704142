/**
 * node:http's own use of time: the `Date:` header (cached by Node on an internal timer) and the check for slow clients
 * (an internal interval and the real clock).
 */
import http from 'node:http';
import type { Socket } from 'node:net';
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import type { Timeout } from '../core/virtual-timers.js';

interface Message {
  sendDate: boolean;
  hasHeader(name: string): boolean;
}

const DATE_NAME = /^date$/i;

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
  /** When the request's first bytes came (or the connection, for the first one); -1: no request is under way. */
  since: number;
  headersDone: boolean;
  /** The last one whose headers have come. */
  request: http.IncomingMessage | null;
}

/** Nothing is awaited of the peer: no request is under way, or all of it has come. */
function over({ since, request }: Progress): boolean {
  return since < 0 || (request !== null && (request.complete || request.destroyed));
}

class RequestTimeoutError extends Error {
  readonly code = 'ERR_HTTP_REQUEST_TIMEOUT';

  constructor() {
    super('Request timeout');
  }
}

/** What of an http.Server we use that its types do not show. */
interface CheckedServer extends http.Server {
  connectionsCheckingInterval?: number;
}

/**
 * Node checks for slow requests with an interval of its own and the real clock, so a 408 could come at different events on
 * different replicas. This stops Node's check and does the same (headersTimeout, requestTimeout) in logical time.
 * Call it inside an event when a server begins to listen, or begins to get connections.
 */
export function virtualizeHttpServer(runtime: RuntimeContext, server: http.Server): void {
  const checked = server as CheckedServer;
  const own = server as unknown as Record<symbol, unknown>;
  for (const symbol of Object.getOwnPropertySymbols(server)) {
    if (symbol.description === 'http.server.connectionsCheckingInterval') {
      originals.clearInterval(own[symbol] as NodeJS.Timeout);
    }
  }
  if (virtualized.has(server)) return;
  const connections = new Map<Socket, Progress>();
  virtualized.set(server, connections);
  server.prependListener('connection', (socket: Socket) => {
    const progress: Progress = { since: runtime.time.peek(), headersDone: false, request: null };
    connections.set(socket, progress);
    // Not a listener for 'data': that would set the socket flowing.
    const emit = socket.emit as (event: string | symbol, ...args: unknown[]) => boolean;
    socket.emit = function (this: Socket, event: string | symbol, ...args: unknown[]): boolean {
      if (event === 'data' && over(progress)) {
        progress.since = runtime.time.peek();
        progress.headersDone = false;
        progress.request = null;
      } else if (event === 'close') connections.delete(socket);
      // As nearly all have: no list of them is made.
      return args.length === 1 ? emit.call(this, event, args[0]) : emit.call(this, event, ...args);
    } as Socket['emit'];
  });
  server.prependListener('request', (request: http.IncomingMessage) => {
    const progress = connections.get(request.socket);
    if (progress === undefined) return;
    progress.headersDone = true;
    progress.request = request;
  });

  const check = (): void => {
    const { headersTimeout, requestTimeout } = server;
    const now = runtime.time.peek();
    for (const [socket, progress] of connections) {
      if (over(progress)) {
        progress.since = -1;
        progress.request = null;
        continue;
      }
      const ms = (now - progress.since) / 1000;
      const late =
        (headersTimeout > 0 && !progress.headersDone && ms > headersTimeout) ||
        (requestTimeout > 0 && ms > requestTimeout);
      if (!late) continue;
      connections.delete(socket);
      const listener = socket.listeners('error').find((fn) => fn.name === 'socketOnError');
      const error = new RequestTimeoutError();
      // Node's own handler: 'clientError', or 408 and close.
      if (listener !== undefined) (listener as (error: Error) => void).call(socket, error);
      else socket.destroy(error);
    }
  };
  const interval: Timeout = runtime.timers.setTimer(
    check,
    checked.connectionsCheckingInterval ?? 30_000,
    true,
    [],
    false,
  );
  server.once('close', () => interval.clear());
}

const virtualized = new WeakMap<http.Server, Map<Socket, Progress>>();

/** A server's connections, and whether nothing has come on them that is not answered. */
export function* httpConnections(server: http.Server): Generator<[socket: Socket, idle: boolean]> {
  for (const [socket, progress] of virtualized.get(server) ?? []) {
    const { _httpMessage } = socket as Socket & { _httpMessage?: object | null };
    yield [socket, !_httpMessage && (over(progress) || socket.bytesRead === 0)];
  }
}
