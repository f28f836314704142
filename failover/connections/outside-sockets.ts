/**
 * Connections and servers of the program that its stack cannot carry: on loopback, on the paths of
 * Unix sockets, and to addresses without a route. They are the kernel's, recorded
 * (runtime/sources/).
 */
import type { ConnectTarget, OutsideAddress, OutsideEvents, StreamEndpoint } from '../../stack/core/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import { isLoopback, KernelConnection, type KernelHost } from '../runtime/sources/kernel-connection.js';
import { KernelListener } from '../runtime/sources/kernel-listener.js';

/** Kernel sockets that are reported, at most. */
const MAX_REPORTS = 64;

/** What {@link OutsideSockets} needs of the replica. */
export interface OutsideHost extends KernelHost {
  readonly stack: Stack;
  /**
   * The program uses a kernel socket, which does not survive a takeover. Called once for each name.
   */
  onKernelSocket(what: string): void;
}

/** The kernel sockets of a replica's program. */
export class OutsideSockets {
  readonly #host: OutsideHost;
  readonly #reported = new Set<string>();

  constructor(host: OutsideHost) {
    this.#host = host;
  }

  /**
   * Connects through the kernel; null: the stack reaches the target.
   * @param always the program stands by: the group's addresses are not its own
   */
  connect(target: ConnectTarget, always: boolean): StreamEndpoint | null {
    const { address, port } = target;
    if (port !== 0 && !isLoopback(address) && !always) {
      const { stack } = this.#host;
      const remote = stack.book.parse(address);
      if (remote === undefined || stack.sourceFor(remote) !== 0) return null;
    }
    this.report(`connection to ${address}${port === 0 ? '' : ` port ${port}`}`);
    return KernelConnection.connect(this.#host, target);
  }

  /** As SocketHost.listenOutside. */
  listen(where: OutsideAddress, events: OutsideEvents): { close(): void } | null {
    const { address, port, isPath } = where;
    if (!isPath && !isLoopback(address)) return null;
    this.report(`server on ${address}${isPath ? '' : ` port ${port}`}`);
    return new KernelListener(this.#host, where, events);
  }

  /** Reports a kernel socket, once. */
  report(what: string): void {
    if (!this.#host.runtime.live || this.#reported.size >= MAX_REPORTS || this.#reported.has(what)) return;
    this.#reported.add(what);
    this.#host.onKernelSocket(what);
  }
}
