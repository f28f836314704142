/**
 * Accepted connections whose Hello has not been checked. Anybody who can reach the port can open
 * them, so their number and their time are limited. The limit never refuses a new connection: it
 * closes an old one, of the address with the most. An agent needs milliseconds for its handshake,
 * and gets in while others hold idle connections.
 */
import type { Socket } from 'node:net';

/** Connections in all. */
export const MAX_UNIDENTIFIED = 32;
/** Connections from one address. */
export const MAX_UNIDENTIFIED_PER_ADDRESS = 8;

interface Entry {
  address: string;
  port: number;
  timer: NodeJS.Timeout;
}

/** The unidentified connections of one agent. */
export class UnidentifiedConnections {
  /** In the order of arrival. */
  readonly #entries = new Map<Socket, Entry>();

  constructor(
    /** From accept to a checked Hello, however many bytes arrive meanwhile. Milliseconds. */
    readonly timeoutMs: number,
    /** A connection is closed for want of room or time. */
    readonly onDropped: () => void,
  ) {}

  get size(): number {
    return this.#entries.size;
  }

  /** Takes a new connection; closes an older one when there are too many. */
  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const timer = setTimeout(() => this.#drop(socket), this.timeoutMs);
    this.#entries.set(socket, { address, port: socket.remotePort ?? 0, timer });
    socket.once('close', () => this.#forget(socket));
    const excess = this.#excess(address);
    if (excess !== undefined) this.#drop(excess);
  }

  /** The connection from this address and port has been identified. */
  identified(address: string | undefined, port: number | undefined): void {
    for (const [socket, entry] of this.#entries)
      if (entry.port === port && entry.address === address) this.#forget(socket);
  }

  /** Closes all. */
  close(): void {
    for (const socket of [...this.#entries.keys()]) {
      this.#forget(socket);
      socket.destroy();
    }
  }

  /** The connection that has to go: the oldest of the address with the most. */
  #excess(added: string): Socket | undefined {
    const counts = new Map<string, number>();
    for (const { address } of this.#entries.values()) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const isAddressFull = (counts.get(added) ?? 0) > MAX_UNIDENTIFIED_PER_ADDRESS;
    if (!isAddressFull && this.#entries.size <= MAX_UNIDENTIFIED) return undefined;
    for (const [socket, { address }] of this.#entries)
      if (isAddressFull ? address === added : counts.get(address) === most) return socket;
    return undefined;
  }

  #drop(socket: Socket): void {
    this.#forget(socket);
    socket.destroy();
    this.onDropped();
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#entries.get(socket)?.timer);
    this.#entries.delete(socket);
  }
}
