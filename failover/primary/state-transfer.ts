/**
 * State transfer: what a backup that joins late is told of the connections that are older than
 * itself. Each connection is described by itself, between two records of the log, as the log has
 * room.
 *
 * In state mode all connections are transferred. Where the backup replays the program, these are:
 * - connections of independent servers, with their history (log/connection-history.ts), which the
 *   backup replays;
 * - connections of servers that can restore them (`server.on('restore')`), with what the program
 *   saved for them;
 * - connections that the program has not accepted yet. The others stay unprotected, and are
 *   counted.
 *
 * Both connections of a relay are transferred together.
 */
import { Relay } from '../../stack/relay/relay.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { Connections } from '../connections/connections.js';
import { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { isRestorable } from '../connections/restorable.js';
import type { StreamSink } from '../connections/stream-sink.js';
import type { ConnectionHistory } from '../log/connection-history.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { Recorder } from './recorder.js';

/** Log bytes of a connection's records beside its data. */
const RECORDS_BYTES = 2048;
/** Part of the log that one connection may take. */
const MAX_PART = 0.75;
/** Part of the log that stays free for what happens meanwhile. */
const MIN_FREE_PART = 1 / 4;

/** The writers of the log. */
export interface LogWriters {
  recorder: Recorder;
  streams: StreamSink;
  writer: RingWriter;
}

/** Transfers the primary's connections to the backup that joined last. */
export class StateTransfer {
  readonly #connections: Connections;
  readonly #log: LogWriters;
  /** Connections to transfer; those before `#next` are done. */
  #pending: TcpConnection[] = [];
  #next = 0;
  readonly #transferred = new Set<number>();
  readonly #replayed = new Set<number>();

  constructor(connections: Connections, log: LogWriters) {
    this.#connections = connections;
    this.#log = log;
  }

  /** A late joiner begins here, and knows nothing. */
  begin(): void {
    const { recorder, streams } = this.#log;
    const connections = this.#connections;
    const { tcp } = connections.host.stack;
    recorder.join();
    streams.savedAll(connections.checkpoint);
    connections.admitLateJoiner();
    this.#pending = [];
    this.#next = 0;
    this.#transferred.clear();
    this.#replayed.clear();
    tcp.table.forEach((conn) => {
      if (this.#isTransferable(conn)) this.#pending.push(conn);
    });
    for (const entry of tcp.timeWaits.values()) recorder.timeWait(entry);
  }

  #isTransferable(conn: TcpConnection): boolean {
    const { mode, histories, restoreHandler } = this.#connections;
    if (mode.stateMode || histories.get(conn.id) !== undefined) return true;
    const { user } = conn;
    if (!(user instanceof ReplicaEndpoint)) return conn.listener !== null;
    if (user.policy.unreplicated) return user.policy.shipped;
    return isRestorable(user, restoreHandler) || (user.acceptor !== null && !user.accepted);
  }

  /**
   * Continues as far as the log has room. Between two events only.
   * @returns true when nothing is left
   */
  step(): boolean {
    for (; this.#next < this.#pending.length; this.#next++)
      if (!this.#transfer(this.#pending[this.#next])) return false;
    this.#pending = [];
    this.#next = 0;
    return true;
  }

  /** @returns false when the log has no room now */
  #transfer(conn: TcpConnection): boolean {
    if (conn.removed) return true;
    if (conn.user instanceof Relay) return this.#transferRelay(conn.user);
    const { writer, streams } = this.#log;
    const endpoint = conn.user instanceof ReplicaEndpoint ? conn.user : null;
    const maxBytes = writer.ring.size * MAX_PART;
    // Only now is it known whether the history has been given up meanwhile.
    const history = conn.established ? this.#connections.histories.get(conn.id) : undefined;
    const replayBytes = historyBytes(conn, history);
    const stateBytes = connectionBytes(conn, endpoint);
    const replay = history !== undefined && replayBytes <= maxBytes;
    if (!replay && (stateBytes > maxBytes || !this.#isTransferable(conn))) return true;
    if (writer.room - (replay ? replayBytes : stateBytes) < writer.ring.size * MIN_FREE_PART) return false;
    if (replay) {
      streams.transferHistory(conn, endpoint, history);
      this.#replayed.add(conn.id);
    } else streams.transfer(conn, endpoint);
    this.#transferred.add(conn.id);
    return true;
  }

  #transferRelay(relay: Relay): boolean {
    const { writer, streams } = this.#log;
    const { client, server } = relay;
    if (this.#transferred.has(client.id) || this.#transferred.has(server.id)) return true;
    const bytes = connectionBytes(client, null) + connectionBytes(server, null);
    if (bytes > writer.ring.size * MAX_PART) return true;
    if (writer.room - bytes < writer.ring.size * MIN_FREE_PART) return false;
    streams.transferRelay(relay);
    this.#transferred.add(client.id).add(server.id);
    return true;
  }

  /** Whether the backup that joined last was told of a connection by its history. */
  isReplayed(conn: number): boolean {
    return this.#replayed.has(conn);
  }

  /** Whether a backup that has followed since connection number `first` knows a connection. */
  isKnown(conn: TcpConnection, first: number): boolean {
    const { id, user, active } = conn;
    if (id < first && this.#replayed.has(id)) return true;
    const endpoint = user instanceof ReplicaEndpoint ? user : null;
    // A backup that has seen the beginning replays it; to any other one it could not be restored.
    if (endpoint?.unsaved === true && endpoint.policy.shipped && !(endpoint.policy.checksummed && first === 0))
      return false;
    // A late joiner may not have replayed the event that opened it.
    const isProgram = user === null || endpoint !== null;
    if (isProgram && active && first > 0 && (endpoint === null || endpoint.context === null)) return false;
    return id >= first || this.#transferred.has(id);
  }
}

/** Log bytes that a connection's history takes. */
function historyBytes(conn: TcpConnection, history: ConnectionHistory | undefined): number {
  return history === undefined ? 0 : RECORDS_BYTES + history.length + 2 * conn.reassembly.bytes;
}

/** Log bytes that a connection's state takes. */
function connectionBytes(conn: TcpConnection, endpoint: ReplicaEndpoint | null): number {
  const context = endpoint?.context?.length ?? 0;
  return RECORDS_BYTES + context + 2 * (conn.sendBuffer.length + conn.receiveQueued + conn.reassembly.bytes);
}
