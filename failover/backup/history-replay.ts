/**
 * What the log says of a connection that began before this replica did, between two records (coverage.ts): the replica skips what it knows
 * already, or takes it over; of an independent one it is the history (histories.ts), which the program here repeats at the numbers
 * and times of then. What does not come out as it did on the primary is left to the primary alone.
 */

import type { UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import type { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { HistoryBody } from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { ReplayHost } from './replay-host.js';

/** An independent connection that is brought to where it is on the primary. */
interface Replay {
  endpoint: ReplicaEndpoint;
  /** What the client has acknowledged, and sent. */
  sndUna: number;
  rcvNxt: number;
  /** Where the group's time is meanwhile. */
  number: number;
  monoUs: number;
  wallMs: number;
}

export class HistoryReplay {
  /** Connections that could not be repeated. */
  failures = 0;
  /** The connection that the log tells us of; of `#skipped` nothing is taken. 0 for none. */
  #transferring = 0;
  #skipped = 0;
  #replay: Replay | null = null;

  constructor(
    readonly host: ReplayHost,
    readonly kept: UnclaimedConnections,
    /** The connection is not followed any more. */
    readonly onDetached: (conn: number) => void,
  ) {}

  /** The independent connection whose past is repeated, 0 for none. */
  get conn(): number {
    return this.#replay === null ? 0 : this.#replay.endpoint.id;
  }

  /** The log tells us of a connection that is older than we are. */
  get transferring(): boolean {
    return this.#transferring !== 0;
  }

  skips(conn: number): boolean {
    return this.#skipped !== 0 && conn === this.#skipped;
  }

  beginTransfer(conn: number): void {
    if (this.host.stack.tcp.byId.has(conn)) this.#skipped = conn;
    else this.#transferring = conn;
  }

  endTransfer(): void {
    this.#skipped = 0;
    this.#transferring = 0;
    this.#end();
  }

  /** What follows is the history of the reader's connection. @returns false when the program is not there yet */
  begin(reader: RingReader): boolean {
    const { host } = this;
    if (!host.programLoaded) return false;
    const endpoint = host.endpoints.get(reader.conn);
    if (endpoint === undefined) {
      this.#skipped = reader.conn;
      return true;
    }
    const { number, monoUs, wallMs } = host.time;
    const { view } = reader.ring;
    const sndUna = HistoryBody.sndUna.get(view, reader.body);
    const rcvNxt = HistoryBody.rcvNxt.get(view, reader.body);
    this.#replay = { endpoint, sndUna, rcvNxt, number, monoUs, wallMs };
    endpoint.conn.rcvNxt = 1;
    host.histories.begin(endpoint.conn);
    return true;
  }

  /** An event is over. What the client has acknowledged since need not be kept. */
  afterEvent(): void {
    if (this.#replay === null) return;
    const { endpoint, sndUna } = this.#replay;
    const { checks } = this.host;
    const { conn } = endpoint;
    conn.sendBuffer.releaseTo(Math.min(sndUna - 1, conn.sendBuffer.end));
    conn.sndUna = Math.max(conn.sndUna, Math.min(sndUna, conn.sendBuffer.end + 1));
    conn.sndNxt = Math.max(conn.sndNxt, conn.sndUna);
    if (checks.toDetach.size === 0) return;
    this.detach(endpoint, 'it has to do with other connections');
    for (const other of checks.toDetach) this.detach(other, 'another one had to do with it');
    checks.toDetach.clear();
  }

  #end(): void {
    const past = this.#replay;
    if (past === null) return;
    this.#replay = null;
    this.host.time.set(past.number, past.monoUs, past.wallMs);
    if (past.endpoint.conn.rcvNxt !== past.rcvNxt) this.detach(past.endpoint, 'it has received something else');
  }

  /** The primary died while it told us of a connection: we do not know it. */
  abandonTransfer(): void {
    const { host, kept } = this;
    const id = this.#transferring;
    if (id === 0) return;
    this.#transferring = 0;
    const endpoint = host.endpoints.get(id);
    if (endpoint !== undefined) this.detach(endpoint, 'its history was cut');
    this.#end();
    kept.forget(id);
    const conn = host.stack.tcp.byId.get(id);
    if (conn !== undefined) host.stack.tcp.remove(conn, null);
  }

  /** Our program is not where the primary's is with the connection whose past it repeats. */
  fail(why: string): void {
    if (this.#replay !== null) this.detach(this.#replay.endpoint, why);
  }

  /** A connection is left to the primary alone. */
  detach(endpoint: ReplicaEndpoint, why: string): void {
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
    host.replayFailed(id, why);
  }
}
