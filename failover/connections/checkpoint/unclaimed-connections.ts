/**
 * Connections that no program of this process owns: on a backup in state mode all of them, after a
 * takeover those that the new program has not claimed yet. Kept here is what the old program knew
 * of them beside their TCP state.
 */
import type { TcpConnection } from '../../../stack/tcp/connection.js';
import type { TcpListener } from '../../../stack/tcp/handshake/listener.js';
import { TcpState } from '../../../stack/tcp/state.js';
import { abort } from '../../../stack/tcp/user-calls.js';

interface ConnectionTable {
  forEach(fn: (conn: TcpConnection) => void): void;
}

/** What a connection's program knew. */
export interface UnclaimedConnection {
  /** What it saved last with `socket.checkpoint`, null for nothing. */
  context: Uint8Array | null;
  /** A program owned it; otherwise it is still to be accepted. */
  accepted: boolean;
}

/** By connection number. */
export class UnclaimedConnections {
  readonly #unclaimed = new Map<number, UnclaimedConnection>();

  /** @returns the entry of a connection, which is made if there is none */
  of(conn: number): UnclaimedConnection {
    let entry = this.#unclaimed.get(conn);
    if (entry === undefined) {
      entry = { context: null, accepted: false };
      this.#unclaimed.set(conn, entry);
    }
    return entry;
  }

  has(conn: number): boolean {
    return this.#unclaimed.has(conn);
  }

  forget(conn: number): void {
    this.#unclaimed.delete(conn);
  }

  /** Gives a listener of the new program the connections that the old one had on its port. */
  restore(
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
      const entry = this.of(conn.id);
      this.forget(conn.id);
      adopt(conn, entry.accepted ? entry : null);
    });
  }

  /**
   * Gives the new program the connections that the old one had opened, and had saved something of.
   * The others are reset with those that no server claims, so that their ports are not used again
   * at once.
   */
  restoreOutgoing(table: ConnectionTable, adopt: (conn: TcpConnection, restored: UnclaimedConnection) => void): void {
    table.forEach((conn) => {
      const entry = this.#unclaimed.get(conn.id);
      if (!conn.active || !conn.established || conn.orphan || conn.user !== null) return;
      if (entry === undefined || entry.context === null) return;
      this.forget(conn.id);
      adopt(conn, entry);
    });
  }

  /** How many connections the old program had opened. */
  countOutgoing(table: ConnectionTable): number {
    let count = 0;
    table.forEach((conn) => {
      if (conn.active && !conn.orphan && conn.user === null) count++;
    });
    return count;
  }

  /**
   * Resets the connections that no server of the program claims.
   * @param outgoing also those that were opened from here; then nothing is remembered
   */
  reset(table: ConnectionTable, outgoing: boolean): void {
    const unwanted: TcpConnection[] = [];
    table.forEach((conn) => {
      if (conn.user !== null || conn.orphan || conn.removed) return;
      if (conn.active ? outgoing : conn.established) unwanted.push(conn);
    });
    for (const conn of unwanted) abort(conn);
    if (outgoing) this.#unclaimed.clear();
  }
}
