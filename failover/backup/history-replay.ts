/**
 * State transfer on the backup: connections that began before this replica joined. The records of
 * each stand between TransferBegin and TransferEnd. The replica skips a connection that it knows
 * already, and keeps the state of others. For an independent connection the records are its
 * history, which the program here replays at the original event numbers and times. A connection
 * whose replay differs from the primary is detached: it stays without protection.
 */

import { Relay } from '../../stack/relay/relay.js';
import type { UnclaimedConnections } from '../connections/checkpoint/unclaimed-connections.js';
import type { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { HistoryBody } from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { ReplayHost } from './replay-host.js';

/** An independent connection whose history is being replayed. */
interface Replay {
  endpoint: ReplicaEndpoint;
  /** What the client has acknowledged and sent, as offsets from ISS and IRS. */
  sndUna: number;
  rcvNxt: number;
  /** The group's time, to return to. */
  number: number;
  monoUs: number;
  wallMs: number;
}

/** Follows state transfers, and replays histories. */
export class HistoryReplay {
  /** Connections that could not be replayed. */
  failures = 0;
  /** The connection of the current state transfer, 0 for none. */
  #transferring = 0;
  /** The connection whose records are skipped, 0 for none. */
  #skipped = 0;
  /** The connection to the server, in the state transfer of a relay; 0 for none. */
  #server = 0;
  #replay: Replay | null = null;

  constructor(
    readonly host: ReplayHost,
    readonly kept: UnclaimedConnections,
    /** A connection was detached. */
    readonly onDetached: (conn: number) => void,
  ) {}

  /** The connection whose history is being replayed, 0 for none. */
  get conn(): number {
    return this.#replay === null ? 0 : this.#replay.endpoint.id;
  }

  /** The log is in the state transfer of a connection that is new to this replica. */
  get transferring(): boolean {
    return this.#transferring !== 0;
  }

  /** Whether records of a connection have no effect here. */
  skips(conn: number): boolean {
    return this.#skipped !== 0 && (conn === this.#skipped || conn === this.#server);
  }

  /** The record TransferBegin. */
  beginTransfer(conn: number): void {
    if (this.host.stack.tcp.byId.has(conn)) this.#skipped = conn;
    else this.#transferring = conn;
  }

  /** The record RelayBegin: what is known of the connections, and not of the pair, is dropped. */
  beginRelay(client: number, server: number): void {
    const { tcp } = this.host.stack;
    this.#server = server;
    if (tcp.byId.get(client)?.user instanceof Relay) {
      this.#skipped = client;
      return;
    }
    this.#transferring = client;
    this.#drop(client);
    this.#drop(server);
  }

  #drop(id: number): void {
    const { tcp } = this.host.stack;
    this.kept.forget(id);
    const conn = tcp.byId.get(id);
    if (conn !== undefined) tcp.remove(conn, null);
  }

  /** The record TransferEnd. */
  endTransfer(): void {
    this.#server = 0;
    this.#skipped = 0;
    this.#transferring = 0;
    this.#end();
  }

  /** The record History: the history of the reader's connection follows. */
  begin(reader: RingReader): void {
    const { host } = this;
    const endpoint = host.endpoints.get(reader.conn);
    if (endpoint === undefined) {
      this.#skipped = reader.conn;
      return;
    }
    const { number, monoUs, wallMs } = host.time;
    const { view } = reader.ring;
    const sndUna = HistoryBody.sndUna.get(view, reader.body);
    const rcvNxt = HistoryBody.rcvNxt.get(view, reader.body);
    this.#replay = { endpoint, sndUna, rcvNxt, number, monoUs, wallMs };
    endpoint.conn.rcvNxt = 1;
    host.histories.begin(endpoint.conn);
  }

  /** An event is over. What the client has acknowledged by now is released. */
  afterEvent(): void {
    if (this.#replay === null) return;
    const { endpoint, sndUna } = this.#replay;
    const { checks } = this.host;
    const { conn } = endpoint;
    conn.sendBuffer.releaseTo(Math.min(sndUna - 1, conn.sendBuffer.end));
    conn.sndUna = Math.max(conn.sndUna, Math.min(sndUna, conn.sendBuffer.end + 1));
    conn.sndNxt = Math.max(conn.sndNxt, conn.sndUna);
    if (checks.toDetach.size === 0) return;
    this.detach(endpoint, 'it used another connection');
    for (const other of checks.toDetach) this.detach(other, 'another connection used it');
    checks.toDetach.clear();
  }

  #end(): void {
    const replay = this.#replay;
    if (replay === null) return;
    this.#replay = null;
    this.host.time.set(replay.number, replay.monoUs, replay.wallMs);
    if (replay.endpoint.conn.rcvNxt !== replay.rcvNxt)
      this.detach(replay.endpoint, 'it received something else than on the primary');
  }

  /** The primary died in a state transfer: its connection is not known here. */
  abandonTransfer(): void {
    const { host } = this;
    const id = this.#transferring;
    if (id === 0) return;
    this.#transferring = 0;
    const endpoint = host.endpoints.get(id);
    if (endpoint !== undefined) this.detach(endpoint, 'its state transfer was cut off');
    this.#end();
    this.#drop(id);
    this.#drop(this.#server);
  }

  /** The replay of the current history differs from the primary. */
  fail(reason: string): void {
    if (this.#replay !== null) this.detach(this.#replay.endpoint, reason);
  }

  /** The connection is not followed any more. */
  detach(endpoint: ReplicaEndpoint, reason: string): void {
    const { host } = this;
    const { id, conn } = endpoint;
    if (host.endpoints.get(id) !== endpoint) return;
    if (this.#replay?.endpoint === endpoint) this.#skipped = id;
    this.failures++;
    this.onDetached(id);
    host.endpoints.delete(id);
    host.histories.forget(id);
    endpoint.detach();
    host.stack.tcp.remove(conn, null);
    host.replayFailed(id, reason);
  }
}
