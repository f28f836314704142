/**
 * Running checksums of what the program writes to its connections: the backup's must equal the primary's at the end of
 * every event (COLO's comparison of outputs, on streams instead of packets).
 */
import { Fifo } from '../../lib/fifo.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { AppEndpoint, type EventQueue } from '../../stack/app-endpoint.js';
import type { AppEvent } from '../../stack/app-event.js';
import type { ListenerEvents } from '../../stack/sockets/endpoint.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import { Follow } from '../log/records.js';
import { Closing, type StreamRecorder } from '../primary/stream-recorder.js';
import type { EventTime } from '../runtime/core/event-time.js';

export interface StreamCheck {
  /** Bytes written in all. */
  written: number;
  /** CRC-32C over them. */
  crc: number;
}

/** The connections that the program has written to since the list was last taken. */
export class CheckList {
  /** The primary's: what it says of connections in state mode. */
  state: StreamRecorder | null = null;
  readonly #list = new Fifo<ReplicaEndpoint>();

  /** The program has closed, or aborted, a connection in the event that runs. */
  closed = false;
  aborted = false;

  /** What independent connections have been told. */
  histories: ConnectionHistories | null = null;
  /** Backup: connections that were touched in a past event of another one; their program is not where it was. */
  readonly strayed = new Set<ReplicaEndpoint>();

  constructor(
    readonly native: NativeAddon,
    readonly time: EventTime,
    /** Something was written to a connection that is repeated, in an event that is not. */
    readonly onMixed: () => void,
  ) {}

  /** The program does something with a connection. */
  touch(endpoint: ReplicaEndpoint): void {
    const { time, histories } = this;
    if (time.owner === endpoint.id || histories === null) return;
    if (time.kind === 'historical') this.strayed.add(endpoint);
    else if (histories.size > 0) histories.mixed(endpoint.id);
  }

  add(endpoint: ReplicaEndpoint): void {
    if (endpoint.listed) return;
    endpoint.listed = true;
    this.#list.push(endpoint);
  }

  get length(): number {
    return this.#list.size;
  }

  /** Takes one off the list. */
  shift(): ReplicaEndpoint | undefined {
    const endpoint = this.#list.shift();
    if (endpoint !== undefined) endpoint.listed = false;
    return endpoint;
  }
}

/** How a connection is followed. */
export interface Following {
  /** What the program writes, closes and saves is in the log, so that somebody who does not run it knows. */
  readonly shipped: boolean;
  /** What the program writes is summed up, and compared with what a backup's writes. */
  readonly summed: boolean;
  /** Backups that run the program do not repeat its events. */
  readonly apart: boolean;
}

const NO_CONTEXT = new Uint8Array(0);

/** Without a log. */
export const ALONE: Following = { shipped: false, summed: false, apart: false };
/** The program is repeated. */
export const REPLAYED: Following = { shipped: false, summed: true, apart: false };
/** As above, and for a backup that has not seen the beginning, too. */
export const COVERED: Following = { shipped: true, summed: true, apart: false };
/** State mode, of the whole group. */
export const SHIPPED: Following = { shipped: true, summed: false, apart: false };
/** State mode, while other connections are replayed. */
export const APART: Following = { shipped: true, summed: false, apart: true };

/** On a backup: the program that runs there has nothing to do with it any more. */
export const FORSAKEN: Following = { shipped: false, summed: false, apart: true };

/** As the log says it. */
export function followOf({ shipped, summed, apart }: Following): Follow {
  if (shipped) return summed ? Follow.Either : Follow.State;
  return apart ? Follow.Not : Follow.Replay;
}

/** An endpoint whose writes are summed, or shipped, or both. */
export class ReplicaEndpoint extends AppEndpoint implements StreamCheck {
  written = 0;
  crc = 0;
  listed = false;

  constructor(
    conn: TcpConnection,
    queue: EventQueue,
    acceptor: ListenerEvents | null,
    readonly checks: CheckList,
    public following: Following,
    restored: { context: Uint8Array | null } | null = null,
  ) {
    super(conn, queue, acceptor, restored);
    this.context = restored?.context ?? null;
  }

  /** What the program saved last. */
  context: Uint8Array | null = null;

  /** It could not be given back as it is. */
  unsaved = false;

  /** Kept also where the program is repeated: a backup that joins late may be given it. */
  checkpoint(context: Uint8Array | null): void {
    if (this.following === ALONE || (this.unsaved && context === null)) return;
    this.context = context;
    this.unsaved = context === null;
    this.#ships?.context(this.id, context ?? NO_CONTEXT);
  }

  get #ships(): StreamRecorder | null {
    return this.following.shipped ? this.checks.state : null;
  }

  /** On a backup: its program hears and says nothing more of the connection, which goes on without it. */
  forsake(): void {
    this.settle();
    this.conn.user = null;
    this.following = FORSAKEN;
  }

  /** Where it is known by its number; it leaves when the connection is gone and its socket has heard everything. */
  known: Map<number, ReplicaEndpoint> | null = null;

  override setReading(on: boolean): void {
    this.checks.touch(this);
    super.setReading(on);
  }

  override wantSpace(acked: number): void {
    this.checks.touch(this);
    super.wantSpace(acked);
  }

  override setNoDelay(on: boolean): void {
    this.checks.touch(this);
    super.setNoDelay(on);
  }

  override setKeepAlive(on: boolean, delayMs: number): void {
    this.checks.touch(this);
    super.setKeepAlive(on, delayMs);
  }

  override shutdown(): void {
    if (this.following === FORSAKEN) return;
    this.checks.touch(this);
    this.checks.closed = true;
    this.#ships?.closing(this.id, Closing.Shutdown);
    super.shutdown();
  }

  override close(): void {
    this.checks.closed = true;
    this.checks.touch(this);
    if (!this.settled) this.#ships?.closing(this.id, Closing.Close);
    super.close();
    if (this.conn.removed) this.known?.delete(this.id);
  }

  override abort(): void {
    this.checks.aborted = true;
    this.checks.touch(this);
    if (!this.settled) this.#ships?.closing(this.id, Closing.Abort);
    super.abort();
    if (this.conn.removed) this.known?.delete(this.id);
  }

  override deliver(event: AppEvent, n: number, code: string | null): void {
    super.deliver(event, n, code);
    if (this.settled && this.conn.removed) this.known?.delete(this.id);
  }

  override write(chunk: Uint8Array): void {
    this.checks.touch(this);
    this.#ships?.wrote(this.id, chunk);
    if (!this.following.summed) {
      if (this.following !== FORSAKEN) super.write(chunk);
      return;
    }
    if (this.checks.time.isUnreplicated) this.checks.onMixed();
    this.written += chunk.length;
    this.crc = this.checks.native.crc32c(chunk, 0, chunk.length, this.crc);
    this.checks.add(this);
    super.write(chunk);
  }
}
