/**
 * Endpoints whose output is checksummed or shipped. The checksums of a backup must equal the
 * primary's after every event: COLO's comparison of outputs, on streams instead of packets.
 */
import { Fifo } from '../../lib/fifo.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { AppEndpoint, type EventQueue } from '../../stack/app-endpoint.js';
import type { ListenerEvents } from '../../stack/core/endpoint.js';
import type { AppEvent } from '../../stack/tcp/app-event.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { OutputWindow } from '../log/output-window.js';
import { Closing } from '../log/records.js';
import type { EventTime } from '../runtime/core/event-time.js';
import { ReplicationPolicy } from './replication-policy.js';
import type { StreamCheck, StreamSink } from './stream-sink.js';

/**
 * The connections that the program has written to since they were last taken, and what its current
 * event did.
 */
export class OutputChecks {
  /** On the primary: where shipped connections are recorded. */
  sink: StreamSink | null = null;
  /** What the program wrote last, for the report of a divergence; null: it is not kept. */
  window: OutputWindow | null = null;
  readonly #pending = new Fifo<ReplicaEndpoint>();

  /** Histories of independent connections. */
  histories: ConnectionHistories | null = null;
  /**
   * On a backup: connections that a historical event of another one used. Their replay is not
   * exact.
   */
  readonly toDetach = new Set<ReplicaEndpoint>();

  constructor(
    readonly native: NativeAddon,
    readonly time: EventTime,
    /** A replayed connection was written to in an unreplicated event. */
    readonly onCrossConnection: () => void,
  ) {}

  /** The program uses a connection in the current event. */
  recordDependency(endpoint: ReplicaEndpoint): void {
    const { time, histories } = this;
    if (time.owner === endpoint.id || histories === null) return;
    if (time.kind === 'historical') this.toDetach.add(endpoint);
    else if (histories.size > 0) histories.recordCrossConnection(endpoint.id);
  }

  add(endpoint: ReplicaEndpoint): void {
    if (endpoint.checkPending) return;
    endpoint.checkPending = true;
    this.#pending.push(endpoint);
  }

  get length(): number {
    return this.#pending.size;
  }

  /** Takes one off the list. */
  shift(): ReplicaEndpoint | undefined {
    const endpoint = this.#pending.shift();
    if (endpoint !== undefined) endpoint.checkPending = false;
    return endpoint;
  }
}

const NO_CONTEXT = new Uint8Array(0);

/** What an endpoint needs beside its connection. */
export interface ReplicaEndpointOptions {
  readonly checks: OutputChecks;
  readonly policy: ReplicationPolicy;
  /** Another program had the connection; with what that one saved. Null for a new connection. */
  readonly restored: { context: Uint8Array | null } | null;
}

/** An endpoint that follows a replication policy. */
export class ReplicaEndpoint extends AppEndpoint implements StreamCheck {
  written = 0;
  crc = 0;
  checkPending = false;

  readonly checks: OutputChecks;
  policy: ReplicationPolicy;

  constructor(
    conn: TcpConnection,
    queue: EventQueue,
    acceptor: ListenerEvents | null,
    { checks, policy, restored }: ReplicaEndpointOptions,
  ) {
    super(conn, queue, acceptor, restored);
    this.checks = checks;
    this.policy = policy;
    this.context = restored?.context ?? null;
  }

  /** The context that the program saved last; null for none. */
  context: Uint8Array | null = null;

  /** The connection cannot be restored from what was saved. */
  unsaved = false;

  /** Saves a context, also with replay: a backup that joins late may need it. */
  checkpoint(context: Uint8Array | null): void {
    if (this.policy === ReplicationPolicy.None || (this.unsaved && context === null)) return;
    this.context = context;
    this.unsaved = context === null;
    this.#sink?.context(this.id, context ?? NO_CONTEXT);
  }

  get #sink(): StreamSink | null {
    return this.policy.shipped ? this.checks.sink : null;
  }

  /** On a backup: the program here has no part in the connection any more. */
  detach(): void {
    this.finish();
    this.conn.user = null;
    this.policy = ReplicationPolicy.Detached;
  }

  /**
   * Endpoints by connection number; this one leaves when the connection is removed and the socket
   * was told all.
   */
  registry: Map<number, ReplicaEndpoint> | null = null;

  override setReading(on: boolean): void {
    this.checks.recordDependency(this);
    super.setReading(on);
  }

  override wantSpace(acked: number): void {
    this.checks.recordDependency(this);
    super.wantSpace(acked);
  }

  override setNoDelay(on: boolean): void {
    this.checks.recordDependency(this);
    super.setNoDelay(on);
  }

  override setKeepAlive(on: boolean, delayMs: number): void {
    this.checks.recordDependency(this);
    super.setKeepAlive(on, delayMs);
  }

  override shutdown(): void {
    if (this.policy === ReplicationPolicy.Detached) return;
    this.checks.recordDependency(this);
    this.#sink?.closing(this.id, Closing.Shutdown);
    super.shutdown();
  }

  override close(): void {
    this.checks.recordDependency(this);
    if (!this.finished) this.#sink?.closing(this.id, Closing.Close);
    super.close();
    if (this.conn.removed) this.registry?.delete(this.id);
  }

  override abort(): void {
    this.checks.recordDependency(this);
    if (!this.finished) this.#sink?.closing(this.id, Closing.Abort);
    super.abort();
    if (this.conn.removed) this.registry?.delete(this.id);
  }

  override deliver(event: AppEvent, n: number, code: string | null): void {
    super.deliver(event, n, code);
    if (this.finished && this.conn.removed) this.registry?.delete(this.id);
  }

  override write(chunk: Uint8Array): void {
    this.checks.recordDependency(this);
    this.#sink?.wrote(this.id, chunk);
    if (!this.policy.checksummed) {
      if (this.policy !== ReplicationPolicy.Detached) super.write(chunk);
      return;
    }
    if (this.checks.time.isUnreplicated) this.checks.onCrossConnection();
    this.checks.window?.add(this.id, this.written, chunk);
    this.written += chunk.length;
    this.crc = this.checks.native.crc32c(chunk, 0, chunk.length, this.crc);
    this.checks.add(this);
    super.write(chunk);
  }
}
