/**
 * Connections by four-tuple: a chained hash table. The links are in the connections, so nothing is
 * allocated.
 */
import type { TcpConnection } from './connection.js';
import { tupleHash } from './four-tuple.js';

/** The connections of one stack. */
export class ConnectionTable {
  #buckets: (TcpConnection | null)[] = new Array<TcpConnection | null>(1024).fill(null);
  /** Connections at present. */
  size = 0;

  /** The connection of a four-tuple, or null. */
  find(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): TcpConnection | null {
    let conn = this.#buckets[tupleHash(remoteAddress, remotePort, localPort) & (this.#buckets.length - 1)] ?? null;
    while (conn !== null) {
      if (
        conn.remotePort === remotePort &&
        conn.remoteAddress === remoteAddress &&
        conn.localPort === localPort &&
        conn.localAddress === localAddress
      ) {
        return conn;
      }
      conn = conn.nextInBucket;
    }
    return null;
  }

  /** Adds a connection; its four-tuple is not in the table. */
  add(conn: TcpConnection): void {
    if (this.size >= this.#buckets.length) this.#grow();
    const index = this.#index(conn);
    conn.nextInBucket = this.#buckets[index];
    this.#buckets[index] = conn;
    this.size++;
  }

  /** Removes a connection. */
  delete(conn: TcpConnection): void {
    const index = this.#index(conn);
    let at = this.#buckets[index] ?? null;
    if (at === conn) this.#buckets[index] = conn.nextInBucket;
    else {
      while (at !== null && at.nextInBucket !== conn) at = at.nextInBucket;
      if (at === null) return;
      at.nextInBucket = conn.nextInBucket;
    }
    conn.nextInBucket = null;
    this.size--;
  }

  /** Calls `visit` for each connection; it may remove the one it is given. */
  forEach(visit: (conn: TcpConnection) => void): void {
    for (const head of this.#buckets) {
      let conn = head;
      while (conn !== null) {
        const next: TcpConnection | null = conn.nextInBucket;
        visit(conn);
        conn = next;
      }
    }
  }

  #index(conn: TcpConnection): number {
    return tupleHash(conn.remoteAddress, conn.remotePort, conn.localPort) & (this.#buckets.length - 1);
  }

  #grow(): void {
    const all: TcpConnection[] = [];
    this.forEach((conn) => {
      all.push(conn);
    });
    this.#buckets = new Array<TcpConnection | null>(this.#buckets.length * 2).fill(null);
    this.size = 0;
    for (const conn of all) this.add(conn);
  }
}
