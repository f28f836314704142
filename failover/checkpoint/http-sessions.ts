/**
 * State mode for http servers, without a word of the program: idle connections are given back, and a request of whose answer
 * nothing had been written is asked again, of the new program. A connection in the middle of an answer is reset: nobody else
 * knows the rest of it. So is one whose requests follow each other without waiting (pipelining), and a request longer than a
 * context may be. What a program does beside answering (in a database) it may do twice, as when a client asks again.
 *
 * Where the program is replayed it is for the connections that are there when a replica joins in the middle; one that is busy then can
 * be given back only when it has been through another request.
 *
 * A program that listens for 'restore' itself is left alone.
 */
import type http from 'node:http';
import type net from 'node:net';
import { FtSocket } from '../../stack/sockets/socket.js';
import { httpConnections } from '../runtime/protocols/http.js';

/** Bytes of an unanswered request that are saved at most. */
const MOST_PENDING = 48 * 1024;
const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

/** What is saved of a connection. */
interface Saved {
  http: 1;
  /** What came of a request that has not been answered. */
  pending: Uint8Array;
  /** Bytes that had been sent on the connection by then. */
  written: number;
}

function isSaved(value: unknown): value is Saved {
  return typeof value === 'object' && value !== null && 'http' in value && value.http === 1;
}

/** One connection of an http server's, followed from request to request. */
class Conversation {
  readonly #socket: FtSocket;
  /** What came since the last request was answered, as far as it is kept; and how much it is in all. */
  #parts: Buffer[] = [];
  #length = 0;
  #kept = 0;
  /** Requests that are being answered. */
  #open = 0;
  /** A request followed another one before that was answered: from then on nobody knows where one begins. */
  #piped = false;
  /** We came when a request was under way: where one begins is known when all of another has been seen. */
  #late: boolean;
  readonly #onData = (part: Buffer): void => {
    this.#length += part.length;
    if (this.#kept + part.length <= MOST_PENDING) {
      this.#parts.push(part);
      this.#kept += part.length;
    }
    this.save();
  };
  readonly #onDrain = (): void => this.save();

  constructor(socket: FtSocket, late = false) {
    this.#socket = socket;
    this.#late = late;
    socket.prependListener('data', this.#onData);
    socket.on('drain', this.#onDrain);
    this.save();
  }

  /** The socket is somebody else's now (an upgrade). */
  leave(): void {
    this.#socket.off('data', this.#onData);
    this.#socket.off('drain', this.#onDrain);
    this.#socket._unsaved();
  }

  request(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (++this.#open > 1) this.#piped = true;
    response.once('finish', () => {
      this.#open--;
      if (this.#exact(request)) this.#late = false;
      else if (!this.#late) this.#piped = true;
      this.#parts = [];
      this.#length = this.#kept = 0;
      this.save();
    });
  }

  /** Whether what came ends where the request does. */
  #exact(request: http.IncomingMessage): boolean {
    if (!request.complete) return false;
    const bytes = Buffer.concat(this.#parts);
    const head = bytes.indexOf(HEAD_END);
    if (head < 0) return false;
    const length = request.headers['content-length'];
    if (length !== undefined) return this.#length === head + HEAD_END.length + Number(length);
    if (request.headers['transfer-encoding'] !== undefined)
      return this.#kept === this.#length && bytes.subarray(-LAST_CHUNK.length).toString('latin1') === LAST_CHUNK;
    return this.#length === head + HEAD_END.length;
  }

  save(): void {
    const whole = this.#kept === this.#length && !this.#piped && !this.#late;
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (!whole) {
      socket._unsaved();
      return;
    }
    const written = socket.writtenBefore + socket.bytesWritten;
    socket.checkpoint({ http: 1, pending: Buffer.concat(this.#parts), written } satisfies Saved);
  }
}

/** The connections of an http server. */
class Conversations {
  readonly #all = new WeakMap<net.Socket, Conversation>();
  readonly #server: http.Server;

  constructor(server: http.Server) {
    this.#server = server;
    server.prependListener('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
      this.#all.get(request.socket)?.request(request, response);
    });
    // Only where somebody listens for them: a listener of ours would make the server believe that it is wanted.
    const watched = new Set<string | symbol>();
    const watch = (name: string | symbol): void => {
      if ((name !== 'upgrade' && name !== 'connect') || watched.has(name)) return;
      watched.add(name);
      server.prependListener(name, (request: http.IncomingMessage) => this.#all.get(request.socket)?.leave());
    };
    for (const name of ['upgrade', 'connect']) if (server.listenerCount(name) > 0) watch(name);
    server.on('newListener', watch);
    server.on('restore', (socket: FtSocket, saved: unknown) => this.#restore(socket, saved));
  }

  /** From here on all new ones. */
  begin(): void {
    this.#server.prependListener('connection', (socket: net.Socket) => this.#begin(socket, false));
  }

  /** Those that are there. */
  adopt(): void {
    for (const [socket, idle] of httpConnections(this.#server)) this.#begin(socket, !idle);
  }

  #begin(socket: net.Socket, late: boolean): void {
    if (!(socket instanceof FtSocket) || socket.destroyed || this.#all.has(socket)) return;
    this.#all.set(socket, new Conversation(socket, late));
  }

  #restore(socket: FtSocket, saved: unknown): void {
    if (!isSaved(saved) || saved.written !== socket.writtenBefore) {
      socket.on('error', () => undefined);
      socket.resetAndDestroy();
      return;
    }
    this.#begin(socket, false);
    this.#server.emit('connection', socket);
    if (saved.pending.length > 0) socket.unshift(Buffer.from(saved.pending));
  }
}

const kept = new WeakMap<http.Server, Conversations>();

/** Lets an http server get its connections back after a takeover. */
export function keepHttp(server: http.Server): void {
  if (server.listenerCount('restore') > 0) return;
  const conversations = new Conversations(server);
  kept.set(server, conversations);
  conversations.begin();
}

/** The same for the connections that a server has now, in a program that is replayed: a replica joins that has not seen their beginning. */
export function keepOldHttp(server: http.Server & { _restoresOld?: boolean }): void {
  let conversations = kept.get(server);
  if (conversations === undefined) {
    if (server.listenerCount('restore') > 0) return;
    conversations = new Conversations(server);
    kept.set(server, conversations);
    server._restoresOld = true;
  }
  if (server._restoresOld === true) conversations.adopt();
}
