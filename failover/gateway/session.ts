/**
 * A client that has no server yet: its header is read, a server is chosen and connected to, others
 * are tried, or it waits for one. Then its connection and the server's become a relay.
 *
 * Sessions exist on the primary only. A successor begins anew with each client that it finds
 * without a relay: the client has sent nothing that a server has been given.
 */
import { TimerNode } from '../../lib/timer-wheel.js';
import type { Deferred } from '../../stack/relay/relay.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection, TcpUser } from '../../stack/tcp/connection.js';
import { send, setKeepAlive } from '../../stack/tcp/user-calls.js';
import type { InheritedConnections } from './inherited.js';
import { MAX_HEADER_BYTES, type ProxyEnds, proxyHeaderV1, proxyHeaderV2, readProxyHeader } from './proxy-protocol.js';
import type { Server } from './server.js';
import type { Service } from './service.js';

/** A client that is held tries its servers again at this interval, microseconds. */
const HOLD_RETRY_US = 250_000;
/** Keepalive probes without an answer until a connection ends, all within another idle time. */
const KEEP_ALIVE_PROBES = 4;

/** What a session needs of the gateway. */
export interface SessionHost {
  readonly stack: Stack;
  /** Bytes were written to a connection that has no relay yet: a backup must know them. */
  wrote(conn: number, bytes: Uint8Array): void;
  /** Connections to servers that a predecessor had begun. */
  readonly inherited: InheritedConnections;
}

/** What a session waits for. */
type Waiting = 'header' | 'server' | 'connection';

/** One client without a server. */
export class Session implements TcpUser, Deferred {
  queued = false;
  #server: Server | null = null;
  #connection: TcpConnection | null = null;
  #waiting: Waiting = 'connection';
  /** Bytes of the client's PROXY header, and what it said. */
  #headerBytes = 0;
  #ends: ProxyEnds | null = null;
  #headerRead: boolean;
  #over = false;
  #expired = false;
  /** There may be a server for a client that waits for one. */
  #woken = false;
  #retries: number;
  /** A client without a server waits until then, microseconds; 0: it does not wait. */
  #holdUntilUs = 0;
  readonly #tried = new Set<Server>();
  readonly #timer = new TimerNode(() => {
    this.#expired = true;
    this.#host.stack.relays.defer(this);
  });
  readonly #host: SessionHost;

  constructor(
    host: SessionHost,
    readonly service: Service,
    readonly client: TcpConnection,
  ) {
    this.#host = host;
    this.#retries = service.settings.retries;
    this.#headerRead = !service.settings.acceptProxy;
    client.user = this;
    if (!this.#headerRead) this.#wait('header', service.settings.connectTimeoutMs * 1000);
    host.stack.relays.defer(this);
  }

  onProgress(): void {
    this.#host.stack.relays.defer(this);
  }

  /** Another try, if it waits for a server. */
  wake(): void {
    this.#woken = true;
    this.onProgress();
  }

  advance(): void {
    if (this.#over) return;
    if (this.client.removed) {
      this.#end();
      return;
    }
    if (this.#expired && !this.#onTimeout()) return;
    if (!this.#headerRead && !this.#readHeader()) return;
    const connection = this.#connection;
    if (connection === null) {
      if (this.#woken || !this.service.waiting.has(this)) this.#connect();
      this.#woken = false;
    } else if (connection.removed) this.#failed();
    else if (connection.established) this.#pair(connection);
  }

  #wait(what: Waiting, us: number): void {
    const { stack } = this.#host;
    this.#waiting = what;
    stack.wheel.schedule(this.#timer, stack.now() + us);
  }

  /** @returns whether the session goes on */
  #onTimeout(): boolean {
    this.#expired = false;
    const { counters } = this.service;
    if (this.#waiting === 'header') {
      counters.proxyErrors++;
      this.#refuse();
      return false;
    }
    if (this.#waiting === 'connection') {
      if (this.#connection !== null && !this.#connection.established) this.#host.stack.tcp.abort(this.#connection);
      return true;
    }
    this.#woken = true;
    if (this.#host.stack.now() < this.#holdUntilUs) return true;
    counters.queueTimeouts++;
    this.#refuse();
    return false;
  }

  // --- The client's header ---

  /** @returns whether all of it is there */
  #readHeader(): boolean {
    const { receiveQueue, peerFin } = this.client;
    const bytes = new Uint8Array(Math.min(MAX_HEADER_BYTES, receiveQueue.bytes));
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const part = receiveQueue.viewAt(i).subarray(0, bytes.length - at);
      bytes.set(part, at);
      at += part.length;
    }
    const { book } = this.#host.stack;
    const header = readProxyHeader(bytes, (text) => {
      const address = book.parse(text);
      if (address === undefined) return undefined;
      const out = new Uint8Array(16);
      book.write(address, out, 0);
      return out;
    });
    if (header === 'incomplete' && !peerFin) return false;
    if (header === 'invalid' || header === 'incomplete') {
      this.service.counters.proxyErrors++;
      this.#refuse();
      return false;
    }
    this.#headerRead = true;
    this.#headerBytes = header.length;
    this.#ends = header.ends;
    this.#host.stack.wheel.cancel(this.#timer);
    return true;
  }

  /** Between which addresses the client's own connection runs. */
  #clientEnds(): ProxyEnds {
    if (this.#ends !== null) return this.#ends;
    const { client } = this;
    const { book } = this.#host.stack;
    const source = new Uint8Array(16);
    const destination = new Uint8Array(16);
    book.write(client.remoteAddress, source, 0);
    book.write(client.localAddress, destination, 0);
    return { source, destination, sourcePort: client.remotePort, destinationPort: client.localPort };
  }

  #sourceText(): string {
    const { source } = this.#clientEnds();
    return Buffer.from(source.buffer, source.byteOffset, source.length).toString('hex');
  }

  // --- A server ---

  #connect(): void {
    const { service } = this;
    for (;;) {
      const server = service.choose(this, this.#tried, () => this.#sourceText());
      if (server === null) {
        this.#withoutServer();
        return;
      }
      if (this.#open(server)) return;
      if (this.#retries-- <= 0) break;
    }
    this.#withoutServer();
  }

  /** @returns whether a connection is being opened */
  #open(server: Server): boolean {
    const { stack } = this.#host;
    const { service } = this;
    try {
      const { address, port } = server.settings;
      const { remote, local } = stack.connectAddresses(address, undefined);
      const connection =
        this.#host.inherited.take(stack.book.format(remote), port) ?? stack.tcp.connect(remote, port, local);
      connection.user = this;
      this.#connection = connection;
      if (connection.established) this.onProgress();
    } catch {
      // No route, or no port that is free.
      service.failed(server);
      this.#tried.add(server);
      return false;
    }
    service.waiting.delete(this);
    this.#server = server;
    server.active++;
    this.#wait('connection', service.settings.connectTimeoutMs * 1000);
    return true;
  }

  /** The server could not be reached. */
  #failed(): void {
    const server = this.#server;
    this.#release();
    if (server !== null) {
      this.service.failed(server);
      this.#tried.add(server);
    }
    if (this.#retries-- > 0) {
      this.service.counters.retries++;
      this.#connect();
    } else this.#withoutServer();
  }

  /** The connection to the server is over, or was not begun. */
  #release(): void {
    if (this.#server !== null) this.#server.active--;
    this.#server = null;
    this.#connection = null;
  }

  /** No server takes the client now: it waits, or is refused. */
  #withoutServer(): void {
    const { service } = this;
    const { stack } = this.#host;
    const { queueTimeoutMs, holdMs, queue, retries } = service.settings;
    const full = service.isFull;
    const us = 1000 * (full ? queueTimeoutMs : holdMs);
    if (this.#holdUntilUs === 0 && us > 0) this.#holdUntilUs = stack.now() + us;
    const left = this.#holdUntilUs - stack.now();
    const known = service.waiting.has(this);
    if (left <= 0 || (!known && service.waiting.size >= queue)) {
      if (left > 0) service.counters.queueOverflows++;
      this.#refuse();
      return;
    }
    if (!known) service.counters.queued++;
    service.waiting.add(this);
    this.#tried.clear();
    this.#retries = retries;
    this.#wait('server', full ? left : Math.min(left, HOLD_RETRY_US));
  }

  #pair(connection: TcpConnection): void {
    const { service, client } = this;
    const { stack } = this.#host;
    const server = this.#server;
    const header = this.#proxyHeader();
    if (header !== null) {
      send(connection, header);
      this.#host.wrote(connection.id, header);
    }
    this.#server = null;
    this.#connection = null;
    this.#end();
    const relay = stack.relays.pair(client, connection, { client: 1 + this.#headerBytes, server: 1 });
    if (server !== null) service.paired(relay, server);
    keepAlive(client, service.settings.keepAliveMs);
    keepAlive(connection, service.settings.keepAliveMs);
  }

  #proxyHeader(): Uint8Array | null {
    const { sendProxy } = this.service.settings;
    if (sendProxy === 'none') return null;
    const { book } = this.#host.stack;
    return sendProxy === 'v2'
      ? proxyHeaderV2(this.#clientEnds())
      : proxyHeaderV1(this.#clientEnds(), (bytes) => book.format(book.fromBytes(bytes, 0)));
  }

  // --- The end ---

  #refuse(): void {
    this.service.counters.refused++;
    this.#host.stack.tcp.abort(this.client);
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.stack.wheel.cancel(this.#timer);
    const connection = this.#connection;
    this.#release();
    this.service.sessionEnded(this);
    if (connection !== null && !connection.removed) this.#host.stack.tcp.abort(connection);
  }
}

/** TCP keepalive after some idle time; 0: none. */
export function keepAlive(conn: TcpConnection, idleMs: number): void {
  if (idleMs === 0 || conn.removed) return;
  conn.keepAliveIntervalUs = (idleMs * 1000) / KEEP_ALIVE_PROBES;
  conn.keepAliveCount = KEEP_ALIVE_PROBES;
  setKeepAlive(conn, true, idleMs);
}
