/**
 * Running checksums of what the program writes to its connections: the backup's must equal the primary's at the end of
 * every event (COLO's comparison of outputs, on streams instead of packets).
 */

import type { NativeAddon } from '../lib/native/native.js';
import { AppEndpoint, type EventQueue } from '../stack/app-endpoint.js';
import type { AppEvent } from '../stack/observer.js';
import type { ListenerEvents } from '../stack/sockets/endpoint.js';
import type { TcpConnection } from '../stack/tcp/connection.js';
import { Closing, type StateRecorder } from './state-recorder.js';

export interface StreamCheck {
  /** Bytes written in all. */
  written: number;
  /** CRC-32C over them. */
  crc: number;
}

/** The connections that the program has written to since the list was last taken. */
export class CheckList {
  /** State mode: writes are shipped instead of being summed up. */
  state: StateRecorder | null = null;
  #list: ReplicaEndpoint[] = [];
  #spare: ReplicaEndpoint[] = [];

  /** The program has closed, or aborted, a connection in the event that runs. */
  closed = false;
  aborted = false;

  constructor(
    readonly native: NativeAddon,
    /** False: there is no log, and nothing is summed up. */
    readonly wanted: boolean,
  ) {}

  add(endpoint: ReplicaEndpoint): void {
    if (endpoint.listed) return;
    endpoint.listed = true;
    this.#list.push(endpoint);
  }

  get length(): number {
    return this.#list.length;
  }

  /** Hands over the list and starts a new one. Valid until the next call. */
  take(): readonly ReplicaEndpoint[] {
    const list = this.#list;
    this.#list = this.#spare;
    this.#list.length = 0;
    this.#spare = list;
    for (const endpoint of list) endpoint.listed = false;
    return list;
  }
}

/** An endpoint whose writes are summed. */
export class ReplicaEndpoint extends AppEndpoint implements StreamCheck {
  written = 0;
  crc = 0;
  listed = false;

  constructor(
    conn: TcpConnection,
    queue: EventQueue,
    acceptor: ListenerEvents | null,
    readonly checks: CheckList,
    restored: { context: Uint8Array | null } | null = null,
  ) {
    super(conn, queue, acceptor, restored);
    this.context = restored?.context ?? null;
  }

  /** What the program saved last. */
  context: Uint8Array | null = null;

  checkpoint(context: Uint8Array): void {
    const { state } = this.checks;
    if (state === null) return;
    this.context = context;
    state.context(this.id, context);
  }

  /** Where it is known by its number; it leaves when the connection is gone and its socket has heard everything. */
  known: Map<number, ReplicaEndpoint> | null = null;

  override shutdown(): void {
    this.checks.closed = true;
    this.checks.state?.closing(this.id, Closing.Shutdown);
    super.shutdown();
  }

  override close(): void {
    this.checks.closed = true;
    if (!this.settled) this.checks.state?.closing(this.id, Closing.Close);
    super.close();
    if (this.conn.removed) this.known?.delete(this.id);
  }

  override abort(): void {
    this.checks.aborted = true;
    if (!this.settled) this.checks.state?.closing(this.id, Closing.Abort);
    super.abort();
    if (this.conn.removed) this.known?.delete(this.id);
  }

  override deliver(event: AppEvent, n: number, code: string | null): void {
    super.deliver(event, n, code);
    if (this.settled && this.conn.removed) this.known?.delete(this.id);
  }

  override write(chunk: Uint8Array): void {
    const { state } = this.checks;
    if (state !== null) {
      state.wrote(this.id, chunk);
      super.write(chunk);
      return;
    }
    // Without a log there is nobody to compare with.
    if (!this.checks.wanted) {
      super.write(chunk);
      return;
    }
    this.written += chunk.length;
    this.crc = this.checks.native.crc32c(chunk, 0, chunk.length, this.crc);
    this.checks.add(this);
    super.write(chunk);
  }
}
