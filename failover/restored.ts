/** State mode, the backup's side: what is known of the program's connections beside their TCP state, and who gets them back. */
import type { TcpConnection } from '../stack/tcp/connection.js';

/** What a connection's program knew. */
export interface Restored {
  /** What it saved last with `socket.checkpoint`, null for nothing. */
  context: Uint8Array | null;
  /** A program had it; otherwise it is still to be accepted. */
  accepted: boolean;
}

/** Connections without a program. */
export class RestoredTable {
  readonly #known = new Map<number, Restored>();

  of(conn: number): Restored {
    let known = this.#known.get(conn);
    if (known === undefined) {
      known = { context: null, accepted: false };
      this.#known.set(conn, known);
    }
    return known;
  }

  forget(conn: number): void {
    this.#known.delete(conn);
  }

  get size(): number {
    return this.#known.size;
  }

  /** Those that are still to be given back, once their program listens: they have to belong to nobody. */
  waiting(table: { forEach(fn: (conn: TcpConnection) => void): void }): TcpConnection[] {
    const out: TcpConnection[] = [];
    table.forEach((conn) => {
      if (conn.user === null && conn.established && !conn.orphan && !conn.removed) out.push(conn);
    });
    return out;
  }
}
