/**
 * Connections between the agents of a group: TLS 1.3, both ends authenticated, by a key that they share or by certificates.
 * Of two nodes the one whose name comes first dials; there is one connection per pair at most. Nothing is accepted from
 * strangers: before its Hello has been checked, a connection has no effect, few may wait for that, and not for long.
 */
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { FtError } from '../../../lib/errors.js';
import type { ClusterConfig, NodeConfig } from '../config.js';
import {
  DATA_HEADER,
  decodeJson,
  encodeHeader,
  encodeJson,
  FRAME_HEADER,
  FrameReader,
  type Hello,
  MessageType,
} from './messages.js';

const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256';
const HANDSHAKE_MS = 3000;
const REDIAL_MS = [50, 100, 200, 400, 800];
/** Connections that have not said who they are. */
const MAX_STRANGERS = 16;
/** A peer that does not take what it is sent is not sent more. */
const MAX_QUEUED = 8 * 1024 * 1024;

export interface LinkEvents {
  up(peer: string, incarnation: string): void;
  down(peer: string): void;
  message(peer: string, type: MessageType, body: Buffer): void;
  /** The peer takes data again. */
  writable(peer: string): void;
}

interface Link {
  socket: tls.TLSSocket;
  peer: string | null;
}

export class Links {
  readonly counters = { dialled: 0, accepted: 0, refused: 0, faults: 0, sent: 0, received: 0 };
  readonly #server: tls.Server;
  readonly #links = new Map<string, tls.TLSSocket>();
  readonly #strangers = new Set<Socket>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #closed = false;

  constructor(
    readonly config: ClusterConfig,
    readonly hello: Hello,
    readonly events: LinkEvents,
  ) {
    this.#server = tls.createServer({
      ...this.#options(),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
    });
    this.#server.on('connection', (socket: Socket) => {
      if (this.#strangers.size >= MAX_STRANGERS) {
        this.counters.refused++;
        socket.destroy();
        return;
      }
      this.#strangers.add(socket);
      socket.once('close', () => this.#strangers.delete(socket));
      socket.on('error', () => undefined);
    });
    this.#server.on('tlsClientError', () => {
      this.counters.refused++;
    });
    this.#server.on('secureConnection', (socket) => {
      this.counters.accepted++;
      this.#converse(socket, null);
    });
  }

  /** Listens and dials. Rejects with FtError when the address cannot be listened at. */
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

  connected(peer: string): boolean {
    return this.#links.has(peer);
  }

  /** Sends one message. @returns false when the peer is not there, or does not take more. */
  send(peer: string, type: MessageType, body: Uint8Array | object): boolean {
    const socket = this.#links.get(peer);
    if (socket === undefined || socket.writableLength > MAX_QUEUED) return false;
    const bytes = body instanceof Uint8Array ? body : encodeJson(body);
    this.counters.sent += bytes.length;
    socket.cork();
    socket.write(encodeHeader(type, bytes.length));
    socket.write(bytes);
    process.nextTick(uncork, socket);
    return true;
  }

  /** Sends a piece of the log, without a copy: its bytes stay as they are until the peer has said that it holds them. */
  sendData(peer: string, position: number, bytes: Uint8Array): boolean {
    const socket = this.#links.get(peer);
    if (socket === undefined) return false;
    const head = Buffer.alloc(FRAME_HEADER + DATA_HEADER);
    encodeHeader(MessageType.Data, DATA_HEADER + bytes.length).copy(head);
    head.writeUInt32LE(position, FRAME_HEADER);
    this.counters.sent += bytes.length;
    socket.cork();
    socket.write(head);
    socket.write(bytes);
    process.nextTick(uncork, socket);
    return true;
  }

  /** Whether a piece of the log would be taken now. */
  takes(peer: string): boolean {
    const socket = this.#links.get(peer);
    return socket !== undefined && socket.writableLength < MAX_QUEUED / 2;
  }

  /** Stops and starts reading from a peer. */
  hold(peer: string, on: boolean): void {
    const socket = this.#links.get(peer);
    if (on) socket?.pause();
    else socket?.resume();
  }

  /** Ends the connection to a peer; it is dialled again. */
  drop(peer: string): void {
    this.#links.get(peer)?.destroy();
  }

  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const socket of this.#strangers) socket.destroy();
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
    const patience = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    let spoken = false;
    socket.once('secureConnect', () => this.#converse(socket, node.name));
    socket.once('data', () => {
      spoken = true;
      clearTimeout(patience);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(patience);
      const next = spoken ? 0 : Math.min(attempt + 1, REDIAL_MS.length - 1);
      if (!this.#closed)
        this.#timers.set(
          node.name,
          setTimeout(() => this.#dial(node, next), REDIAL_MS[next]),
        );
    });
  }

  /** Hello first, from both; then messages. */
  #converse(socket: tls.TLSSocket, expected: string | null): void {
    const link: Link = { socket, peer: null };
    const patience = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    const reader = new FrameReader((type, body) => {
      if (socket.destroyed) return;
      if (link.peer !== null) this.events.message(link.peer, type as MessageType, body);
      else if (this.#greet(link, type, body, expected)) clearTimeout(patience);
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
      clearTimeout(patience);
      const { peer } = link;
      if (peer === null || this.#links.get(peer) !== socket) return;
      this.#links.delete(peer);
      if (!this.#closed) this.events.down(peer);
    });
    const hello = encodeJson(this.hello);
    socket.write(Buffer.concat([encodeHeader(MessageType.Hello, hello.length), hello]));
  }

  /** Whether it is one of ours. */
  #greet(link: Link, type: number, body: Buffer, expected: string | null): boolean {
    const hello = type === MessageType.Hello ? decodeJson(body) : undefined;
    if (hello === undefined || hello['group'] !== this.hello.group) return false;
    const { node, incarnation } = hello;
    if (typeof node !== 'string' || typeof incarnation !== 'string' || node === this.hello.node) return false;
    if (expected !== null ? node !== expected : !this.config.nodes.some(({ name }) => name === node)) return false;
    if (this.config.credentials.kind === 'certificate' && link.socket.getPeerCertificate().subject?.CN !== node)
      return false;
    const former = this.#links.get(node);
    if (former !== undefined) {
      // Its end may not have reached us; the newer one is the one that works.
      this.#links.delete(node);
      former.destroy();
      this.events.down(node);
    }
    link.peer = node;
    this.#links.set(node, link.socket);
    for (const socket of this.#strangers)
      if (socket.remotePort === link.socket.remotePort && socket.remoteAddress === link.socket.remoteAddress)
        this.#strangers.delete(socket);
    this.events.up(node, incarnation);
    return true;
  }
}

function uncork(socket: tls.TLSSocket): void {
  socket.uncork();
}
