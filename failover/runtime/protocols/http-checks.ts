/**
 * node:http's check for slow clients, on logical time.
 *
 * For each listening server Node keeps a native list of parsers (ConnectionsList). An interval asks
 * the list which messages began too long ago by the real clock, and ends their connections. A 408
 * could then come in different events on different replicas. So the interval is replaced by a
 * virtual one with the same callback, and the list's answer by one in logical time. All other rules
 * stay Node's: a parser leaves the list with an upgrade or CONNECT, and an answered message is
 * idle.
 *
 * Depends on these internals, checked on Node 20, 22, 24 and 26: `HTTPParser` of `_http_common`
 * with its `initialize` and its callback `kOnMessageBegin`, a parser's `socket` and `incoming`, a
 * server's symbols `http.server.connections` and `http.server.connectionsCheckingInterval`, and an
 * interval's `_onTimeout`.
 */
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

/** Node's default for `connectionsCheckingInterval`. */
const CHECK_INTERVAL_MS = 30_000;
/** Name of the symbol for a server's list of parsers. */
const CONNECTIONS = 'http.server.connections';
/** Name of the symbol for the interval of the check. */
const CHECKING_INTERVAL = 'http.server.connectionsCheckingInterval';

/** When the connection came, in microseconds of logical time. */
const OPENED_US = Symbol('openedUs');
/**
 * When the current message began, in microseconds of logical time; Infinity once it has expired.
 */
const BEGAN_US = Symbol('beganUs');
/** Orders parsers that were opened in the same microsecond. */
const SERIAL = Symbol('serial');

interface Parser {
  socket: Socket | null;
  /** The last message whose headers have come. */
  incoming: IncomingMessage | null;
  [OPENED_US]: number;
  [BEGAN_US]: number;
  [SERIAL]: number;
}

/** Node's native list of a server's parsers. */
interface ConnectionsList {
  all(): Parser[];
  /** Those whose last message has come to its end. */
  idle(): Parser[];
  active(): Parser[];
  expired(headersTimeoutMs: number, requestTimeoutMs: number): Parser[];
}

type ServerMembers = Record<symbol, unknown> & { connectionsCheckingInterval?: number };

function memberOf(server: Server, description: string): unknown {
  const symbol = Object.getOwnPropertySymbols(server).find((own) => own.description === description);
  return symbol === undefined ? undefined : (server as unknown as ServerMembers)[symbol];
}

function listOf(server: Server): ConnectionsList | undefined {
  return memberOf(server, CONNECTIONS) as ConnectionsList | undefined;
}

/** The parser's class, which `node:http` does not export. */
function parserClass(): { prototype: Record<PropertyKey, unknown>; kOnMessageBegin: number; REQUEST: number } {
  const common = createRequire(import.meta.url)('_http_common') as { HTTPParser: ReturnType<typeof parserClass> };
  return common.HTTPParser;
}

/** Makes all parsers keep the logical times of their connection and of their message. */
export function installHttpChecks(runtime: RuntimeContext, patcher: Patcher): void {
  const { prototype, kOnMessageBegin, REQUEST } = parserClass();
  let serial = 0;
  function onMessageBegin(this: Parser): void {
    this[BEGAN_US] = runtime.time.peek();
  }
  patcher.method(
    prototype,
    'initialize',
    (original) =>
      function initialize(this: Parser, ...args: unknown[]) {
        // Node counts from here, so that a client that sends nothing expires, too.
        this[OPENED_US] = this[BEGAN_US] = runtime.time.peek();
        this[SERIAL] = ++serial;
        // Node resets it on each parser that it takes back.
        if (args[0] === REQUEST) Reflect.set(this, kOnMessageBegin, onMessageBegin);
        return original.apply(this, args);
      },
  );
}

/** Node orders its lists by the real clock and by addresses in memory. */
function inOrder(parsers: Parser[]): Parser[] {
  return parsers.sort((a, b) => a[OPENED_US] - b[OPENED_US] || a[SERIAL] - b[SERIAL]);
}

/** Whether the headers of the message in progress have come. The previous message is complete. */
function hasHeaders({ incoming }: Parser): boolean {
  return incoming !== null && !incoming.complete;
}

const virtualLists = new WeakSet<ConnectionsList>();

function virtualizeList(runtime: RuntimeContext, list: ConnectionsList): void {
  if (virtualLists.has(list)) return;
  virtualLists.add(list);
  const [all, idle, active] = [list.all.bind(list), list.idle.bind(list), list.active.bind(list)];
  const expired: ConnectionsList['expired'] = (headersTimeoutMs, requestTimeoutMs) => {
    const now = runtime.time.peek();
    const late = inOrder(active()).filter((parser) => {
      const ms = (now - parser[BEGAN_US]) / 1000;
      return (
        (headersTimeoutMs > 0 && ms > headersTimeoutMs && !hasHeaders(parser)) ||
        (requestTimeoutMs > 0 && ms > requestTimeoutMs)
      );
    });
    // A message expires once, also where the program's 'clientError' leaves the socket open.
    for (const parser of late) parser[BEGAN_US] = Number.POSITIVE_INFINITY;
    return late;
  };
  Object.assign(list, {
    all: () => inOrder(all()),
    idle: () => inOrder(idle()),
    active: () => inOrder(active()),
    expired,
  });
}

/** Replaces the interval that Node has just started for a listening server. */
function virtualizeInterval(runtime: RuntimeContext, server: Server): void {
  const list = listOf(server);
  const interval = memberOf(server, CHECKING_INTERVAL) as (NodeJS.Timeout & { _onTimeout: unknown }) | undefined;
  const check = interval?._onTimeout;
  // No http server; or closed already, which ends Node's interval.
  if (list === undefined || typeof check !== 'function') return;
  originals.clearInterval(interval);
  virtualizeList(runtime, list);
  const ms = (server as unknown as ServerMembers).connectionsCheckingInterval ?? CHECK_INTERVAL_MS;
  const timer = runtime.timers.setTimer(check as () => void, ms, true, [], false);
  server.once('close', () => timer.clear());
}

const virtualized = new WeakSet<Server>();

/**
 * Moves headersTimeout and requestTimeout to logical time, for a server of http, https, or http2
 * with HTTP/1. Other servers are left alone. Call it in the event in which the server begins to
 * listen, before it emits `listening`.
 */
export function virtualizeHttpServer(runtime: RuntimeContext, server: Server): void {
  if (virtualized.has(server)) return;
  virtualized.add(server);
  server.on('listening', () => virtualizeInterval(runtime, server));
}

/**
 * A listening http server's connections, without those that an upgrade or CONNECT has taken over.
 * `idle`: every request that came on it has been answered.
 */
export function* httpConnections(server: Server): Generator<[socket: Socket, idle: boolean]> {
  const list = listOf(server);
  if (list === undefined) return;
  const idleParsers = new Set(list.idle());
  for (const parser of list.all()) {
    const socket = parser.socket as (Socket & { _httpMessage?: object | null }) | null;
    if (socket !== null) yield [socket, !socket._httpMessage && (idleParsers.has(parser) || socket.bytesRead === 0)];
  }
}
