/**
 * A relay: two connections of one stack, coupled. What is received on one is sent on the other.
 *
 *   client ⇄ connection "client" │ connection "server" ⇄ server
 *
 * Received bytes move from the receive queue of one connection to the send buffer of the other, by
 * reference. They count against the receive buffer of the first until the peer of the other has
 * acknowledged them. So the window towards one side follows the room towards the other, and the
 * receive buffers bound the memory. The directions do not depend on each other: two closed windows
 * are no deadlock.
 *
 * A FIN is passed as half-close behind the last byte, an end by error as RST.
 *
 * Everything that a relay does follows from the state of its connections. A backup that is told of
 * the pair applies records of received bytes to one connection, and has the send buffer of the
 * other. A frozen relay passes bytes and FIN, and leaves the RST to the thaw.
 */

import type { TcpConnection, TcpUser } from '../tcp/connection.js';
import { chunkRead } from '../tcp/receive-window.js';
import { shutdown } from '../tcp/user-calls.js';

/** What has something to do in the stack's own time, between two batches. */
export interface Deferred {
  /** It waits in the queue. */
  queued: boolean;
  /** Does what is to be done. */
  advance(): void;
}

/** Where a relay that has something to do waits for its turn. */
export interface RelayQueue {
  /** Calls `advance` soon; on a backup at once. */
  defer(work: Deferred): void;
  /** Both connections have ended. */
  ended(relay: Relay): void;
}

/** Offsets from IRS: the first byte of each connection that goes to the other one. */
export interface RelayStart {
  client: number;
  server: number;
}

/** Two coupled connections. */
export class Relay implements TcpUser, Deferred {
  queued = false;
  /** When it was made, on this replica, microseconds. */
  readonly openedUs: number;
  #ended = false;

  /**
   * Couples two connections. Bytes before `start` are dropped: somebody has read them, or the other
   * connection has them already.
   */
  constructor(
    readonly queue: RelayQueue,
    readonly client: TcpConnection,
    readonly server: TcpConnection,
    start: RelayStart,
  ) {
    this.openedUs = client.tcp.now;
    couple(client, server, start.client);
    couple(server, client, start.server);
    for (const conn of [client, server]) {
      conn.user = this;
      // The writer of the bytes has decided how they are grouped.
      conn.noDelay = true;
    }
  }

  /** The other connection. */
  other(conn: TcpConnection): TcpConnection {
    return conn === this.client ? this.server : this.client;
  }

  onProgress(): void {
    this.queue.defer(this);
  }

  /** Passes on what there is. */
  advance(): void {
    const { client, server } = this;
    forward(client, server);
    forward(server, client);
    if (client.removed) endOther(client, server);
    if (server.removed) endOther(server, client);
    if (!client.removed || !server.removed || this.#ended) return;
    this.#ended = true;
    this.queue.ended(this);
  }

  /** Ends both connections with a RST. */
  abort(): void {
    for (const conn of [this.client, this.server]) if (!conn.removed) conn.tcp.abort(conn);
    this.queue.defer(this);
  }
}

/** Bytes received on `from` belong to `to` from an offset on. */
function couple(from: TcpConnection, to: TcpConnection, start: number): void {
  let early = start - (from.rcvNxt - (from.peerFin ? 1 : 0) - from.receiveQueued);
  const { receiveQueue } = from;
  while (early > 0 && receiveQueue.length > 0) {
    const length = receiveQueue.lengthAt(0);
    if (length <= early) receiveQueue.drop();
    else receiveQueue.cut(early);
    const dropped = Math.min(length, early);
    early -= dropped;
    chunkRead(from, dropped);
  }
  // What is on its way is still in the receive buffer.
  from.receiveQueued += to.sendBuffer.length;
  from.relayedTo = to.sendBuffer;
}

/** Moves bytes and FIN, and returns the room of what was acknowledged. */
function forward(from: TcpConnection, to: TcpConnection): void {
  const { receiveQueue } = from;
  const ends = from.peerFin && !to.finQueued && !to.removed;
  if (receiveQueue.length > 0) {
    while (receiveQueue.length > 0) {
      if (!to.removed) to.sendBuffer.append(receiveQueue.takeFirst());
      else receiveQueue.drop();
    }
    to.tcp.markDirty(to);
  }
  if (ends) shutdown(to);
  const acked = from.receiveQueued - to.sendBuffer.length;
  if (acked > 0) chunkRead(from, acked);
}

/**
 * One connection has ended. The other one goes on only when both directions are over, and its peer
 * still has to hear of it.
 */
function endOther(ended: TcpConnection, other: TcpConnection): void {
  if (other.removed || other.tcp.frozen) return;
  const orderly = ended.error === null && ended.peerFin && ended.finQueued;
  if (!orderly) other.tcp.abort(other);
}
