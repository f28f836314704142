/**
 * Free local ports for connections and listeners that name none (RFC 6335: 49152 to 65535; here as
 * Linux has them).
 */
import { FtError } from '../../../lib/errors.js';
import type { TcpContext } from '../connection.js';

const FIRST = 32_768;
const COUNT = 28_232;

/** Chooses ports; one per stack. */
export class EphemeralPorts {
  #next = 0;

  /**
   * A port for a connection to a peer (RFC 6056 algorithm 3): a keyed hash of the peer chooses
   * where the search begins.
   * @throws FtError EADDRNOTAVAIL when every port is taken for that peer
   */
  forPeer(tcp: TcpContext, localAddress: number, remoteAddress: number, remotePort: number): number {
    tcp.tuple.take(localAddress, 0, remoteAddress, remotePort);
    const start = tcp.host.hash.hash(tcp.tuple.bytes, tcp.tuple.length) + this.#next;
    for (let i = 0; i < COUNT; i++) {
      const port = FIRST + ((start + i) % COUNT);
      this.#next++;
      if (
        tcp.find(localAddress, port, remoteAddress, remotePort) === null &&
        !tcp.timeWaits.has(localAddress, port, remoteAddress, remotePort)
      ) {
        return port;
      }
    }
    throw new FtError(
      'EADDRNOTAVAIL',
      'No free local port for that peer',
      'Close connections or use another local address',
    );
  }

  /**
   * A port to listen on.
   * @throws FtError EADDRINUSE when every port is taken
   */
  forListener(taken: (port: number) => boolean): number {
    for (let i = 0; i < COUNT; i++) {
      const port = FIRST + (this.#next++ % COUNT);
      if (!taken(port)) return port;
    }
    throw new FtError('EADDRINUSE', 'No free port to listen on', 'Close a listener');
  }
}
