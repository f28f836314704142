/**
 * After a takeover: connections to servers that the predecessor had begun, and that have no client.
 * The clients that wait are given them. Their ports are not used again while their peers may still
 * speak to them, so the others end when they are established, or fail.
 */
import { TimerNode } from '../../lib/timer-wheel.js';
import type { Deferred } from '../../stack/relay/relay.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection, TcpUser } from '../../stack/tcp/connection.js';

/** How long clients may take them, microseconds. */
const KEPT_US = 1_000_000;

/** Connections to servers without clients. */
export class InheritedConnections implements TcpUser, Deferred {
  queued = false;
  #connections: TcpConnection[] = [];
  #isOver = false;
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Takes connections over that nobody uses. */
  add(connections: readonly TcpConnection[]): void {
    for (const conn of connections) conn.user = this;
    this.#connections.push(...connections);
    const timer = new TimerNode(() => {
      this.#isOver = true;
      this.#stack.relays.defer(this);
    });
    this.#stack.wheel.schedule(timer, this.#stack.now() + KEPT_US);
  }

  onProgress(): void {
    this.#stack.relays.defer(this);
  }

  /** A connection to an address and port; null: there is none. It is the caller's then. */
  take(address: string, port: number): TcpConnection | null {
    const { book } = this.#stack;
    const at = this.#connections.findIndex(
      (conn) => !conn.removed && conn.remotePort === port && book.format(conn.remoteAddress) === address,
    );
    return at < 0 ? null : (this.#connections.splice(at, 1)[0] ?? null);
  }

  advance(): void {
    if (!this.#isOver) return;
    for (const conn of this.#connections) if (conn.established && !conn.removed) this.#stack.tcp.abort(conn);
    this.#connections = this.#connections.filter(({ removed }) => !removed);
  }
}
