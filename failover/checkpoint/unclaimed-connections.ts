/** State mode, the backup's side: what is known of the program's connections beside their TCP state, and who gets them back. */
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { TcpListener } from '../../stack/tcp/handshake/listener.js';
import { TcpState } from '../../stack/tcp/state.js';

interface ConnectionTable {
  forEach(fn: (conn: TcpConnection) => void): void;
}

/** What a connection's program knew. */
export interface UnclaimedConnection {
  /** What it saved last with `socket.checkpoint`, null for nothing. */
  context: Uint8Array | null;
  /** A program had it; otherwise it is still to be accepted. */
  accepted: boolean;
}

/** Connections that are kept without a program. */
export class UnclaimedConnections {
  readonly #known = new Map<number, UnclaimedConnection>();

  of(conn: number): UnclaimedConnection {
    let known = this.#known.get(conn);
    if (known === undefined) {
      known = { context: null, accepted: false };
      this.#known.set(conn, known);
    }
    return known;
  }

  has(conn: number): boolean {
    return this.#known.has(conn);
  }

  forget(conn: number): void {
    this.#known.delete(conn);
  }

  /** A listener of the program's gets the connections that a dead program had on its port. */
  giveBack(
    table: ConnectionTable,
    listener: TcpListener,
    adopt: (conn: TcpConnection, restored: UnclaimedConnection | null) => void,
  ): void {
    table.forEach((conn) => {
      if (conn.localPort !== listener.port || !listener.takes(conn.localAddress) || conn.user !== null) return;
      if (conn.active) return;
      if (conn.state === TcpState.SynRcvd && conn.listener === null) {
        conn.listener = listener;
        listener.halfOpen++;
      }
      if (!conn.established || conn.orphan) return;
      conn.listener = listener;
      const known = this.of(conn.id);
      this.forget(conn.id);
      adopt(conn, known.accepted ? known : null);
    });
  }

  /**
   * The program gets the connections that a dead one had opened, and had saved something of. The others are nobody's; they end with what no
   * server wants, so that their ports are not in use again at once.
   */
  giveBackOutgoing(table: ConnectionTable, adopt: (conn: TcpConnection, restored: UnclaimedConnection) => void): void {
    table.forEach((conn) => {
      const known = this.#known.get(conn.id);
      if (!conn.active || !conn.established || conn.orphan || conn.user !== null) return;
      if (known === undefined || known.context === null) return;
      this.forget(conn.id);
      adopt(conn, known);
    });
  }

  /**
   * Resets what no server of the program wants; nobody is asked again, so nothing of them is remembered.
   * @param outgoing those that were opened from here, too
   */
  drop(table: ConnectionTable, outgoing: boolean): void {
    const unwanted: TcpConnection[] = [];
    table.forEach((conn) => {
      if (conn.user !== null || conn.orphan || conn.removed) return;
      if (conn.active ? outgoing : conn.established) unwanted.push(conn);
    });
    for (const conn of unwanted) conn.abort();
    if (outgoing) this.#known.clear();
  }
}
