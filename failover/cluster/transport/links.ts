/**
 * Connections between the agents of a group: TLS 1.3, both ends authenticated, by a shared key or
 * by certificates. Of two nodes the one whose name sorts first connects; there is one connection
 * per pair at most. A connection has no effect before its Hello has been checked; few may be in
 * that state, and only for a short time (unidentified.ts).
 */
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { FtError } from '../../../lib/errors.js';
import type { ClusterConfig, NodeConfig } from '../config/config.js';
import {
  DATA_HEADER_BYTES,
  decodeJson,
  encodeHeader,
  encodeJson,
  FRAME_HEADER_BYTES,
  FrameReader,
  type Hello,
  MessageType,
} from './messages.js';
import { UnidentifiedConnections } from './unidentified.js';

const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256';
const HANDSHAKE_MS = 3000;
const REDIAL_MS = [50, 100, 200, 400, 800];
/** Bytes that wait for a slow peer. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;

/** What happens to connections. */
export interface LinkEvents {
  /** A peer is connected, and its Hello has been checked. */
  up(peer: string, incarnation: string): void;
  /** The connection to a peer is gone. */
  down(peer: string): void;
  /** A message from a connected peer, of any type. */
  message(peer: string, type: MessageType, body: Buffer): void;
  /** The peer takes data again. */
  writable(peer: string): void;
}

interface Link {
  socket: tls.TLSSocket;
  peer: string | null;
}

/** All connections of one agent. */
export class Links {
  readonly counters = { dialled: 0, accepted: 0, refused: 0, faults: 0, sent: 0, received: 0 };
  readonly #server: tls.Server;
  readonly #links = new Map<string, tls.TLSSocket>();
  readonly #unidentified = new UnidentifiedConnections(HANDSHAKE_MS, () => {
    this.counters.refused++;
  });
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #closed = false;

  constructor(
    readonly config: ClusterConfig,
    readonly hello: Hello,
    readonly events: LinkEvents,
  ) {
    this.#server = tls.createServer({
      ...this.#options(),
      // Node 24 and later refuse a client with a shared key when they asked it for a certificate.
      requestCert: config.credentials.kind === 'certificate',
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
    });
    this.#server.on('connection', (socket: Socket) => {
      socket.on('error', () => undefined);
      this.#unidentified.add(socket);
    });
    this.#server.on('tlsClientError', (_error, socket) => {
      this.counters.refused++;
      socket.destroy();
    });
    this.#server.on('secureConnection', (socket) => {
      this.counters.accepted++;
      this.#exchange(socket, null);
    });
  }

  /** Listens and connects. Rejects with FtError when the address cannot be used. */
  open(): Promise<void> {
    const { listen, self, nodes } = this.config;
    return new Promise((done, fail) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) =>
        fail(
          new FtError(
            error.code ?? 'ERR_FT',
            `Cannot listen at ${listen} port ${self.port}`,
            'See "nodes" and "listen"',
          ),
        ),
      );
      this.#server.listen(self.port, listen, () => {
        for (const node of nodes) if (self.name < node.name) this.#dial(node, 0);
        done();
      });
    });
  }

  /** Whether there is a connection to the peer. */
  connected(peer: string): boolean {
    return this.#links.has(peer);
  }

  /** Sends one message. @returns false when the peer is not connected, or takes no more. */
  send(peer: string, type: MessageType, body: Uint8Array | object): boolean {
    const socket = this.#links.get(peer);
    if (socket === undefined || socket.writableLength > MAX_QUEUED_BYTES) return false;
    const bytes = body instanceof Uint8Array ? body : encodeJson(body);
    this.counters.sent += bytes.length;
    socket.cork();
    socket.write(encodeHeader(type, bytes.length));
    socket.write(bytes);
    process.nextTick(uncork, socket);
    return true;
  }

  /**
   * Sends a chunk of the log without copying it: its bytes do not change before the peer has
   * acknowledged them.
   */
  sendData(peer: string, position: number, bytes: Uint8Array): boolean {
    const socket = this.#links.get(peer);
    if (socket === undefined) return false;
    const head = Buffer.alloc(FRAME_HEADER_BYTES + DATA_HEADER_BYTES);
    encodeHeader(MessageType.Data, DATA_HEADER_BYTES + bytes.length).copy(head);
    head.writeUInt32LE(position, FRAME_HEADER_BYTES);
    this.counters.sent += bytes.length;
    socket.cork();
    socket.write(head);
    socket.write(bytes);
    process.nextTick(uncork, socket);
    return true;
  }

  /** Whether the peer would take a chunk now. */
  isWritable(peer: string): boolean {
    const socket = this.#links.get(peer);
    return socket !== undefined && socket.writableLength < MAX_QUEUED_BYTES / 2;
  }

  /** Stops and starts reading from a peer. */
  setPaused(peer: string, isPaused: boolean): void {
    const socket = this.#links.get(peer);
    if (isPaused) socket?.pause();
    else socket?.resume();
  }

  /** Ends the connection to a peer; a new one is made. */
  disconnect(peer: string): void {
    this.#links.get(peer)?.destroy();
  }

  /** Ends all connections, and stops listening. */
  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#unidentified.close();
    for (const socket of this.#links.values()) socket.destroy();
  }

  #options(): tls.SecureContextOptions & { pskCallback?: never } & tls.CommonConnectionOptions {
    const { credentials } = this.config;
    const versions = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
    if (credentials.kind === 'certificate') {
      const { cert, key, ca } = credentials;
      return { ...versions, cert, key, ca };
    }
    const { key } = credentials;
    const callbacks: object = {
      pskCallback: (first: unknown) =>
        // The server is given the socket, the client a hint.
        typeof first === 'object' && first !== null ? key : { psk: key, identity: this.hello.group },
      checkServerIdentity: () => undefined,
    };
    return { ...versions, ciphers: PSK_CIPHERS, ...callbacks };
  }

  #dial(node: NodeConfig, attempt: number): void {
    if (this.#closed) return;
    this.counters.dialled++;
    const socket = tls.connect({
      ...this.#options(),
      host: node.host,
      port: node.port,
      ...(this.config.credentials.kind === 'certificate' ? { checkServerIdentity: (): undefined => undefined } : {}),
    });
    const timeout = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    let hasData = false;
    socket.once('secureConnect', () => this.#exchange(socket, node.name));
    socket.once('data', () => {
      hasData = true;
      clearTimeout(timeout);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(timeout);
      const next = hasData ? 0 : Math.min(attempt + 1, REDIAL_MS.length - 1);
      if (!this.#closed)
        this.#timers.set(
          node.name,
          setTimeout(() => this.#dial(node, next), REDIAL_MS[next]),
        );
    });
  }

  /**
   * Whether the handshake proved what the configuration asks for. TLS reports a shared key as a
   * resumed session (RFC 8446, 2.2). A server that prefers its certificate, from any authority that
   * Node trusts, has not proved the key.
   */
  #isAuthenticated(socket: tls.TLSSocket): boolean {
    return this.config.credentials.kind === 'certificate' ? socket.authorized : socket.isSessionReused();
  }

  /** Hello from both sides first, then messages. */
  #exchange(socket: tls.TLSSocket, expected: string | null): void {
    if (!this.#isAuthenticated(socket)) {
      this.counters.refused++;
      socket.destroy();
      return;
    }
    const link: Link = { socket, peer: null };
    const timeout = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    const reader = new FrameReader((type, body) => {
      if (socket.destroyed) return;
      if (link.peer !== null) this.events.message(link.peer, type as MessageType, body);
      else if (this.#identify(link, type, body, expected)) clearTimeout(timeout);
      else {
        this.counters.refused++;
        socket.destroy();
      }
    });
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('drain', () => link.peer !== null && this.events.writable(link.peer));
    socket.on('data', (part: Buffer) => {
      this.counters.received += part.length;
      reader.push(part);
      if (reader.fault === null) return;
      this.counters.faults++;
      socket.destroy();
    });
    socket.on('close', () => {
      clearTimeout(timeout);
      const { peer } = link;
      if (peer === null || this.#links.get(peer) !== socket) return;
      this.#links.delete(peer);
      if (!this.#closed) this.events.down(peer);
    });
    const hello = encodeJson(this.hello);
    socket.write(Buffer.concat([encodeHeader(MessageType.Hello, hello.length), hello]));
  }

  /** Checks a Hello. @returns whether the peer is a node of this group. */
  #identify(link: Link, type: number, body: Buffer, expected: string | null): boolean {
    const hello = type === MessageType.Hello ? decodeJson(body) : undefined;
    if (hello === undefined || hello['group'] !== this.hello.group) return false;
    const { node, incarnation } = hello;
    if (typeof node !== 'string' || typeof incarnation !== 'string' || node === this.hello.node) return false;
    if (expected !== null ? node !== expected : !this.config.nodes.some(({ name }) => name === node)) return false;
    if (this.config.credentials.kind === 'certificate' && link.socket.getPeerCertificate().subject?.CN !== node)
      return false;
    const former = this.#links.get(node);
    if (former !== undefined) {
      // The end of the former connection may have been lost; the newer one works.
      this.#links.delete(node);
      former.destroy();
      this.events.down(node);
    }
    link.peer = node;
    this.#links.set(node, link.socket);
    this.#unidentified.identified(link.socket.remoteAddress, link.socket.remotePort);
    this.events.up(node, incarnation);
    return true;
  }
}

function uncork(socket: tls.TLSSocket): void {
  socket.uncork();
}
