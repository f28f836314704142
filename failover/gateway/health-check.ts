/**
 * Checks whether a server can be connected to. The connection is reset as soon as it is
 * established.
 */
import { TimerNode } from '../../lib/timer-wheel.js';
import type { Deferred } from '../../stack/relay/relay.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection, TcpUser } from '../../stack/tcp/connection.js';
import type { Server } from './server.js';
import type { Service } from './service.js';

/** Checks one server until it is stopped. */
export class HealthCheck implements TcpUser, Deferred {
  queued = false;
  #connection: TcpConnection | null = null;
  #stopped = false;
  #due = false;
  readonly #stack: Stack;
  readonly #timer = new TimerNode(() => {
    this.#due = true;
    this.#stack.relays.defer(this);
  });

  /** @param delayUs until the first check, microseconds */
  constructor(
    stack: Stack,
    readonly service: Service,
    readonly server: Server,
    delayUs: number,
  ) {
    this.#stack = stack;
    stack.wheel.schedule(this.#timer, stack.now() + delayUs);
  }

  onProgress(): void {
    this.#stack.relays.defer(this);
  }

  advance(): void {
    if (this.#stopped) return;
    const connection = this.#connection;
    const due = this.#due;
    this.#due = false;
    if (connection === null) {
      if (due) this.#begin();
    } else if (connection.established && !connection.removed) this.#end(true);
    else if (connection.removed || due) this.#end(false);
  }

  #begin(): void {
    const stack = this.#stack;
    const { address, port } = this.server.settings;
    const timeoutMs = this.service.settings.health?.timeoutMs ?? 0;
    try {
      const { remote, local } = stack.connectAddresses(address, undefined);
      this.#connection = stack.tcp.connect(remote, port, local);
      this.#connection.user = this;
      stack.wheel.schedule(this.#timer, stack.now() + timeoutMs * 1000);
    } catch {
      // No route, or no port that is free.
      this.#end(false);
    }
  }

  #end(ok: boolean): void {
    const stack = this.#stack;
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) {
      connection.user = null;
      if (!connection.removed) stack.tcp.abort(connection);
    }
    if (!ok) this.server.counters.healthFailures++;
    this.service.noteHealth(this.server, ok);
    const intervalMs = this.service.settings.health?.intervalMs ?? 0;
    if (intervalMs > 0) stack.wheel.schedule(this.#timer, stack.now() + intervalMs * 1000);
  }

  /** No further check. */
  stop(): void {
    this.#stopped = true;
    this.#stack.wheel.cancel(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    if (connection === null) return;
    connection.user = null;
    if (!connection.removed) this.#stack.tcp.abort(connection);
  }
}
