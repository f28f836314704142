/** The addresses of a socket's two ends. */
import type { StreamEndpoint } from '../core/endpoint.js';

/** An end of a connection, as `socket.address()` returns it; empty while it is unknown. */
export interface AddressInfo {
  address?: string;
  port?: number;
  family?: string;
}

/**
 * Addresses that outlive the endpoint which they are of. They become objects only when they are
 * asked for, or when the endpoint goes: most sockets are never asked.
 */
export class SocketAddresses {
  /** The endpoint that the addresses are of; null once it has gone. */
  endpoint: StreamEndpoint | null = null;
  #peer: AddressInfo | null = null;
  #local: AddressInfo | null = null;

  /** The socket has another endpoint, or none. */
  reset(endpoint: StreamEndpoint | null): void {
    this.endpoint = endpoint;
    this.#peer = null;
    this.#local = null;
  }

  /** The endpoint goes: keeps the peer's address, as Node does, and forgets the endpoint. */
  release(): void {
    this.peer();
    this.endpoint = null;
  }

  /** The remote end. */
  peer(): AddressInfo {
    const { endpoint } = this;
    // Unix sockets have no addresses.
    if (this.#peer === null && endpoint !== null && endpoint.remotePort !== 0)
      this.#peer = { address: endpoint.remoteAddress, family: endpoint.family, port: endpoint.remotePort };
    return this.#peer ?? {};
  }

  /** The local end. */
  local(): AddressInfo {
    const { endpoint } = this;
    if (this.#local === null && endpoint !== null && endpoint.remotePort !== 0)
      this.#local = { address: endpoint.localAddress, family: endpoint.family, port: endpoint.localPort };
    return this.#local ?? {};
  }
}
