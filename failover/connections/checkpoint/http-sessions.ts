/**
 * State mode for HTTP servers that do nothing for it themselves. After a takeover an idle
 * connection is restored, and a request of whose answer nothing had been written is given to the
 * new program again.
 *
 * A connection is reset in these cases:
 * - it was in the middle of an answer: nobody else has the rest of it;
 * - its requests follow each other without waiting (pipelining);
 * - its unanswered request is longer than a context may be;
 * - it was upgraded to something else than a WebSocket (websocket-sessions.ts).
 *
 * Side effects of a request that is given again (in a database) may happen twice, as when a client
 * retries.
 *
 * In a replayed program this applies to the connections that exist when a replica joins late. One
 * that is busy then can be restored only after its next request.
 *
 * A server with its own 'restore' listener is left alone.
 */
import type http from 'node:http';
import type net from 'node:net';
import { FtSocket } from '../../../stack/sockets/socket.js';
import { httpConnections } from '../../runtime/protocols/http-checks.js';
import type { MovedCount } from './moved-connections.js';
import { isSavedWebSocket, opensWebSocket, type SavedWebSocket, WebSocketSession } from './websocket-sessions.js';

/** Bytes of an unanswered request that are saved, at most. */
const MAX_PENDING_BYTES = 48 * 1024;
const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

/** The saved context of a connection. */
interface SavedSession {
  http: 1;
  /** Received bytes of a request that has not been answered. */
  pending: Uint8Array;
  /** Bytes that had been written to the connection by then. */
  written: number;
}

function isSaved(value: unknown): value is SavedSession {
  return typeof value === 'object' && value !== null && 'http' in value && value.http === 1;
}

/** One connection of an HTTP server, followed from request to request. */
class HttpSession {
  readonly #socket: FtSocket;
  /** Bytes received since the last answer, as far as they are kept. */
  #parts: Buffer[] = [];
  #receivedBytes = 0;
  #keptBytes = 0;
  /** Requests that are being answered. */
  #pendingRequests = 0;
  /**
   * A request came before the last one was answered: where a request begins is unknown from then
   * on.
   */
  #pipelined = false;
  /**
   * Observed from the middle of a request: where one begins is known after the next complete one.
   */
  #midRequest: boolean;
  readonly #onData = (part: Buffer): void => {
    this.#receivedBytes += part.length;
    if (this.#keptBytes + part.length <= MAX_PENDING_BYTES) {
      this.#parts.push(part);
      this.#keptBytes += part.length;
    }
    this.save();
  };
  readonly #onDrain = (): void => this.save();

  constructor(socket: FtSocket, midRequest = false) {
    this.#socket = socket;
    this.#midRequest = midRequest;
    socket.prependListener('data', this.#onData);
    socket.on('drain', this.#onDrain);
    this.save();
  }

  /**
   * The socket leaves HTTP (an upgrade).
   * @returns what was received of the request and after it; null: not all of it is known
   */
  detach(): Buffer | null {
    this.#socket.off('data', this.#onData);
    this.#socket.off('drain', this.#onDrain);
    return this.#isComplete ? Buffer.concat(this.#parts) : null;
  }

  request(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (++this.#pendingRequests > 1) this.#pipelined = true;
    response.once('finish', () => {
      this.#pendingRequests--;
      if (this.#endsWith(request)) this.#midRequest = false;
      else if (!this.#midRequest) this.#pipelined = true;
      this.#parts = [];
      this.#receivedBytes = this.#keptBytes = 0;
      this.save();
    });
  }

  /** Whether the received bytes end where the request ends. */
  #endsWith(request: http.IncomingMessage): boolean {
    if (!request.complete) return false;
    const bytes = Buffer.concat(this.#parts);
    const head = bytes.indexOf(HEAD_END);
    if (head < 0) return false;
    const length = request.headers['content-length'];
    if (length !== undefined) return this.#receivedBytes === head + HEAD_END.length + Number(length);
    if (request.headers['transfer-encoding'] !== undefined)
      return (
        this.#keptBytes === this.#receivedBytes && bytes.subarray(-LAST_CHUNK.length).toString('latin1') === LAST_CHUNK
      );
    return this.#receivedBytes === head + HEAD_END.length;
  }

  /** All that has been received and not been answered is kept. */
  get #isComplete(): boolean {
    return this.#keptBytes === this.#receivedBytes && !this.#pipelined && !this.#midRequest;
  }

  save(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (!this.#isComplete) {
      socket._unsaved();
      return;
    }
    const written = socket.writtenBefore + socket.bytesWritten;
    socket.checkpoint({ http: 1, pending: Buffer.concat(this.#parts), written } satisfies SavedSession);
  }
}

/** The connections of an HTTP server. */
class HttpSessions {
  readonly #all = new WeakMap<net.Socket, HttpSession>();
  readonly #server: http.Server;
  /** Restored WebSockets that the program has not been given yet. */
  readonly #webSockets = new WeakMap<net.Socket, SavedWebSocket>();
  /** What became of restored connections; null: nobody asks. */
  readonly #moved: MovedCount | null;

  constructor(server: http.Server, moved: MovedCount | null) {
    this.#server = server;
    this.#moved = moved;
    server.prependListener('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
      this.#all.get(request.socket)?.request(request, response);
    });
    // Only where the program listens, too: a listener makes the server accept upgrades.
    const watched = new Set<string | symbol>();
    const watch = (name: string | symbol): void => {
      if ((name !== 'upgrade' && name !== 'connect') || watched.has(name)) return;
      watched.add(name);
      server.prependListener(name, (request: http.IncomingMessage, _socket: unknown, first: Buffer) =>
        this.#upgraded(request, first),
      );
    };
    for (const name of ['upgrade', 'connect']) if (server.listenerCount(name) > 0) watch(name);
    server.on('newListener', watch);
    server.on('restore', (socket: FtSocket, saved: unknown) => this.#restore(socket, saved));
  }

  #upgraded(request: http.IncomingMessage, first: Buffer): void {
    const socket = request.socket as net.Socket as FtSocket;
    const bytes = this.#all.get(socket)?.detach();
    const moved = this.#moved;
    if (bytes === undefined) return;
    // In a replayed program, only one of the replicas would follow it.
    if (bytes === null || moved === null || !opensWebSocket(request)) {
      socket._unsaved();
      return;
    }
    const saved = this.#webSockets.get(socket) ?? null;
    this.#webSockets.delete(socket);
    if (saved !== null) request.restored = true;
    const restored = (isSame: boolean): void => {
      if (isSame) moved.gave('webSocket');
      else moved.reset.webSocketRefused++;
    };
    new WebSocketSession({ socket, request: bytes.subarray(0, bytes.length - first.length), first, saved, restored });
  }

  #restoreWebSocket(socket: FtSocket, saved: SavedWebSocket): void {
    this.#webSockets.set(socket, saved);
    this.#observe(socket, false);
    this.#server.emit('connection', socket);
    socket.unshift(Buffer.concat([saved.request, saved.pending]));
  }

  /** Observes all new connections. */
  observeNew(): void {
    this.#server.prependListener('connection', (socket: net.Socket) => this.#observe(socket, false));
  }

  /** Observes the existing connections. */
  observeExisting(): void {
    for (const [socket, idle] of httpConnections(this.#server)) this.#observe(socket, !idle);
  }

  #observe(socket: net.Socket, midRequest: boolean): void {
    if (!(socket instanceof FtSocket) || socket.destroyed || this.#all.has(socket)) return;
    this.#all.set(socket, new HttpSession(socket, midRequest));
  }

  #restore(socket: FtSocket, saved: unknown): void {
    if (isSavedWebSocket(saved) && this.#server.listenerCount('upgrade') > 0) {
      this.#restoreWebSocket(socket, saved);
      return;
    }
    if (!isSaved(saved) || saved.written !== socket.writtenBefore) {
      if (this.#moved !== null) this.#moved.reset.httpBusy++;
      socket.on('error', () => undefined);
      socket.resetAndDestroy();
      return;
    }
    this.#moved?.gave(saved.pending.length > 0 ? 'httpUnanswered' : 'httpIdle');
    this.#observe(socket, false);
    this.#server.emit('connection', socket);
    if (saved.pending.length > 0) socket.unshift(Buffer.from(saved.pending));
  }
}

const observed = new WeakMap<http.Server, HttpSessions>();

/**
 * Saves the connections of an HTTP server, so that they can be restored after a takeover.
 * @returns false: the server restores them itself
 */
export function checkpointHttp(server: http.Server, moved: MovedCount): boolean {
  if (server.listenerCount('restore') > 0) return false;
  const sessions = new HttpSessions(server, moved);
  observed.set(server, sessions);
  sessions.observeNew();
  return true;
}

/** The same for the existing connections of a replayed program's server: a replica joins late. */
export function checkpointExistingHttp(server: http.Server & { _restoresOld?: boolean }): void {
  let sessions = observed.get(server);
  if (sessions === undefined) {
    if (server.listenerCount('restore') > 0) return;
    sessions = new HttpSessions(server, null);
    observed.set(server, sessions);
    server._restoresOld = true;
  }
  if (server._restoresOld === true) sessions.observeExisting();
}
