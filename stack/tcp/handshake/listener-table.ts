import { FtError } from '../../../lib/errors.js';
import type { TcpListener } from './listener.js';

/**
 * Listeners by port. Several may share a port, when no address would belong to two of equal right.
 */
export class ListenerTable {
  readonly #byPort = new Map<number, TcpListener[]>();

  /** The listener that a connection to this address and port belongs to. */
  find(address: number, port: number): TcpListener | null {
    const here = this.#byPort.get(port);
    if (here === undefined) return null;
    for (const listener of here) if (listener.takes(address)) return listener;
    return null;
  }

  /** @throws FtError EADDRINUSE when another listener has the address and port */
  add(listener: TcpListener): void {
    const { address, port } = listener;
    const here = this.#byPort.get(port) ?? [];
    const clash = here.some(
      (other) => other.conflictsWith(listener) || other.takes(address) || listener.takes(other.address),
    );
    if (clash) {
      throw new FtError(
        'EADDRINUSE',
        `Port ${port} is already being listened on`,
        'Close the other listener or choose another port',
      );
    }
    this.#byPort.set(port, [...here, listener]);
  }

  /** Forgets a listener. */
  delete(listener: TcpListener): void {
    const rest = (this.#byPort.get(listener.port) ?? []).filter((other) => other !== listener);
    if (rest.length > 0) this.#byPort.set(listener.port, rest);
    else this.#byPort.delete(listener.port);
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const here of this.#byPort.values()) for (const listener of here) mark(listener.address);
  }
}
