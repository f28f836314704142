/**
 * Replay: the backup's side of replication. Changes of connections are applied to the backup's own
 * (frozen) stack. Events are delivered to the program one at a time. What the program writes goes
 * to the send queues of the frozen connections, and its checksum is compared with the primary's.
 */

import { AppEvent } from '../../stack/tcp/app-event.js';
import { SEND_TARGET_UNIT, type TcpConnection } from '../../stack/tcp/connection.js';
import { readFirst } from '../../stack/tcp/user-calls.js';
import type { UnclaimedConnections } from '../connections/checkpoint/unclaimed-connections.js';
import type { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { NumberField } from '../log/fields.js';
import {
  CheckBody,
  EVENT_KIND_MASK,
  EventBody,
  JoinBody,
  OpenedBody,
  OpenedFlag,
  RECORD_HEADER,
  RecordType,
  RelayBeginBody,
  RemovedBody,
  RuntimeBody,
  removalCode,
  SavedBody,
  SEND_TARGET_SHIFT,
  UNREPLICATED_BIT,
} from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { NextSample } from '../runtime/samples/samples.js';
import { BorrowedLog } from './borrowed-log.js';
import { ConnectionRecords } from './connection-records.js';
import { EventTrace } from './event-trace.js';
import { HistoryReplay } from './history-replay.js';
import { applyOpened, type OpenedHost } from './opened-record.js';
import type { ReplayHost, Step } from './replay-host.js';
import { ReplayedSamples } from './replayed-samples.js';

/** Replays the log on a backup. */
export class Replayer implements OpenedHost {
  readonly counters = { events: 0, skipped: 0, checks: 0 };
  /** The last events that were repeated. */
  readonly trace = new EventTrace();
  /** This replica did not see the beginning: records of unknown connections are skipped. */
  joinedLate = false;
  /** The primary died in an event that is not replayed here: the log ends before it. */
  discardedEvent = false;
  #unchecked = new Map<number, ReplicaEndpoint>();

  constructor(
    readonly reader: RingReader,
    readonly host: ReplayHost,
    /** Connections that are kept without a program. */
    readonly kept: UnclaimedConnections,
    /** State mode of the whole group: no program runs here. */
    readonly stateMode: boolean,
    minInPlace?: number,
  ) {
    this.historyReplay = new HistoryReplay(host, kept, (conn) => this.#unchecked.delete(conn));
    this.borrowedLog = new BorrowedLog(reader, minInPlace);
    this.#records = new ConnectionRecords(this);
    this.#samples = new ReplayedSamples(this);
  }

  readonly borrowedLog: BorrowedLog;
  readonly #records: ConnectionRecords;
  readonly #samples: ReplayedSamples;
  /** State transfers of connections that are older than this replica. */
  readonly historyReplay: HistoryReplay;

  /** Whether a connection is kept without a program, instead of being replayed. */
  keepsState(conn: number): boolean {
    return this.stateMode || this.kept.has(conn);
  }

  /**
   * The connection that the primary's program opened at this point of the current event.
   * @returns undefined when the log ends here: the connection is to be opened by this replica
   */
  outgoing(): { id: number; localAddress: number; localPort: number } | undefined {
    const { reader, host } = this;
    const { view, bytes } = reader.ring;
    for (let skip = 0; ; skip++) {
      const at = reader.peek(RecordType.Opened, skip);
      if (at < 0) return undefined;
      const id = view.getUint32(at - RECORD_HEADER + 12, true);
      if ((OpenedBody.flags.get(view, at) & OpenedFlag.Outgoing) !== 0 && !host.stack.tcp.byId.has(id)) {
        return {
          id,
          localAddress: host.stack.book.fromBytes(bytes, at + OpenedBody.localAddress.offset),
          localPort: OpenedBody.localPort.get(view, at),
        };
      }
    }
  }

  /** Applies records until one event has been delivered or the log has no more. Throws LogError. */
  step(): Step {
    const { reader, host } = this;
    // The last event is over. Each is released by itself, so that a reader that is behind shows
    // progress.
    this.borrowedLog.releaseRead();
    reader.release();
    for (let endpoint = host.checks.shift(); endpoint !== undefined; endpoint = host.checks.shift())
      if (this.historyReplay.conn === 0) this.#unchecked.set(endpoint.id, endpoint);
    this.historyReplay.afterEvent();
    while (!this.discardedEvent && reader.next()) {
      if (this.historyReplay.skips(reader.conn) && reader.type !== RecordType.TransferEnd) continue;
      if (this.#apply()) {
        this.counters.events++;
        return 'event';
      }
    }
    reader.release();
    return 'idle';
  }

  /** @returns true when an event was delivered to the program. */
  #apply(): boolean {
    const { reader } = this;
    const at = reader.body;
    switch (reader.type) {
      case RecordType.Opened:
        this.opened(at);
        return false;
      case RecordType.TransferBegin:
        this.historyReplay.beginTransfer(reader.conn);
        return false;
      case RecordType.RelayBegin:
        this.historyReplay.beginRelay(reader.conn, RelayBeginBody.server.get(reader.ring.view, at));
        return false;
      case RecordType.TransferEnd:
        this.historyReplay.endTransfer();
        return false;
      case RecordType.History:
        this.historyReplay.begin(reader);
        return false;
      case RecordType.Saved:
        this.#saved(at);
        return false;
      case RecordType.AllSaved:
        return this.#allSaved();
      case RecordType.Removed:
        this.#removed(at);
        return false;
      case RecordType.Event:
        return this.#event(at);
      case RecordType.Runtime:
        return !this.stateMode && this.#runtimeEvent(at);
      case RecordType.Check:
        if (!this.keepsState(reader.conn)) this.#check(at);
        return false;
      case RecordType.Join:
        // Before version 4 the records of all connections follow, also of those that are known.
        if (this.stateMode && reader.version < 4) this.#removeAll();
        if (this.joinedLate && this.counters.events === 0) this.#setTime(at, JoinBody);
        return false;
      case RecordType.Sample:
        this.#samples.passed();
        this.#appendToHistory(reader.conn);
        return false;
      case RecordType.Started:
        return false;
      default:
        this.#records.apply(reader, at);
        if (reader.type === RecordType.Received || reader.type === RecordType.PeerFin)
          this.#appendToHistory(reader.conn);
        return false;
    }
  }

  /** Applies a record Opened. */
  protected opened(at: number): void {
    applyOpened(this, at);
  }

  #removed(at: number): void {
    const { reader, host } = this;
    const { tcp } = host.stack;
    this.kept.forget(reader.conn);
    host.histories.forget(reader.conn);
    // Its socket may still have to be told of data, or of the end.
    if (host.endpoints.get(reader.conn)?.finished === true) host.endpoints.delete(reader.conn);
    const conn = tcp.byId.get(reader.conn);
    if (conn !== undefined) tcp.remove(conn, removalCode(RemovedBody.code.get(reader.ring.view, at)));
  }

  /**
   * Appends the record to a connection's history.
   * @returns the connection, 0 where no history is kept
   */
  #appendToHistory(conn: number): number {
    const { reader, host } = this;
    const { histories } = host;
    if (histories.get(conn) === undefined) return 0;
    const body = reader.ring.bytes.subarray(reader.body, reader.body + reader.bodyLength);
    return histories.copy(conn, reader.type, body) ? conn : 0;
  }

  /** Takes the group's time from an event. */
  #setTime(at: number, body: { number: NumberField; monoUs: NumberField; wallMs: NumberField }): void {
    const { view } = this.reader.ring;
    const number = body.number.get(view, at);
    this.host.time.set(number, body.monoUs.get(view, at), body.wallMs.get(view, at));
  }

  #saved(at: number): void {
    const { view, bytes } = this.reader.ring;
    const length = SavedBody.length.get(view, at);
    const units = SavedBody.nameLength.get(view, at);
    const name = Buffer.from(bytes.subarray(at + SavedBody.size, at + SavedBody.size + 2 * units)).toString('utf16le');
    const from = at + SavedBody.size + 2 * units;
    this.host.saved.adopt(name, bytes.slice(from, from + length));
  }

  /**
   * The end of the saved values, where this replica joined.
   * @returns true when the program was given them
   */
  #allSaved(): boolean {
    const { host } = this;
    if (!this.joinedLate || this.stateMode || this.counters.events > 0 || host.saved.size === 0) return false;
    host.restoreSaved();
    return true;
  }

  /** The program is loaded: its start-up needs no samples any more. */
  get programLoaded(): boolean {
    return this.host.programLoaded;
  }

  /** The running event's next sample. */
  nextSample(): NextSample {
    const next = this.#samples.next();
    if (next !== 'missing' || this.historyReplay.conn === 0) return next;
    this.differs('it calls a function that the program on the primary did not call');
    return 'unlogged';
  }

  /** The program calls something else than the primary's did. */
  differs(reason: string): void {
    if (this.historyReplay.conn !== 0) this.historyReplay.fail(reason);
    else this.host.diverged(reason);
  }

  get transferring(): boolean {
    return this.historyReplay.transferring;
  }

  // --- State mode ---

  /** The log repeats all connections from here on. */
  #removeAll(): void {
    const { tcp } = this.host.stack;
    const all: TcpConnection[] = [];
    tcp.table.forEach((conn) => {
      all.push(conn);
    });
    for (const conn of all) {
      this.kept.forget(conn.id);
      tcp.remove(conn, null);
    }
  }

  /**
   * The dead primary did not finish an event that is not replayed here: the event, and what is
   * behind it, is discarded.
   * @returns true when it is so
   */
  #discardUnfinished(): boolean {
    if (!this.reader.unfinished) return false;
    this.reader.unread();
    this.discardedEvent = true;
    return true;
  }

  /**
   * An event that is not replayed here: what the primary's program read is dropped from the queue.
   */
  #applyUnreplicated(at: number, kind: AppEvent): void {
    const { reader, host } = this;
    if (this.#discardUnfinished()) return;
    const conn = host.stack.tcp.byId.get(reader.conn);
    this.#setTime(at, EventBody);
    this.counters.events++;
    if (conn === undefined) return;
    if (kind === AppEvent.Accept || kind === AppEvent.Restore) this.kept.of(conn.id).accepted = true;
    else if (kind === AppEvent.Data) this.#dropRead(conn, EventBody.n.get(this.reader.ring.view, at));
  }

  #dropRead(conn: TcpConnection, bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const { receiveQueue } = conn;
      if (receiveQueue.length === 0) return;
      const bytes = receiveQueue.sourceAt(0);
      left -= receiveQueue.lengthAt(0);
      readFirst(conn);
      conn.tcp.borrowedBuffers.recycle(bytes);
    }
  }

  /**
   * The primary restored the connection to its own program: from here on it is kept without the
   * program here.
   */
  #keepState(endpoint: ReplicaEndpoint): void {
    const { host, kept } = this;
    Object.assign(kept.of(endpoint.id), { context: endpoint.context, accepted: endpoint.accepted });
    this.#unchecked.delete(endpoint.id);
    host.endpoints.delete(endpoint.id);
    endpoint.detach();
  }

  #event(at: number): boolean {
    const { reader, host } = this;
    this.#samples.beginEvent(false);
    const { view } = reader.ring;
    const word = EventBody.word.get(view, at);
    const kind = (word & EVENT_KIND_MASK) as AppEvent;
    const unreplicated = (word & UNREPLICATED_BIT) !== 0;
    const endpoint = host.endpoints.get(reader.conn);
    if (unreplicated || this.keepsState(reader.conn)) {
      if (endpoint !== undefined && !reader.unfinished) this.#keepState(endpoint);
      this.#applyUnreplicated(at, kind);
      return false;
    }
    if (endpoint === undefined) {
      if (this.joinedLate && this.#discardUnfinished()) return false;
      this.counters.skipped++;
      if (!this.joinedLate)
        host.diverged(`the primary has an event of connection ${reader.conn}, which this replica does not have`);
      return false;
    }
    if (word > 0xff) endpoint.conn.sendTarget = (word >>> SEND_TARGET_SHIFT) * SEND_TARGET_UNIT;
    const n = EventBody.n.get(view, at);
    if (kind === AppEvent.Data && !endpoint.conn.hasChunksOf(n)) {
      if (this.historyReplay.conn !== 0) {
        this.historyReplay.fail('its next chunks differ from those on the primary');
        return false;
      }
      host.diverged(`connection ${reader.conn}: the next chunks differ from those that the primary's program read`);
      return false;
    }
    if (!this.#allChecked()) return false;
    this.#setTime(at, EventBody);
    const owner = this.#appendToHistory(reader.conn);
    if (this.historyReplay.conn === 0) host.time.begin('live', owner);
    else host.time.begin('historical', reader.conn);
    this.#samples.beginEvent(true);
    this.trace.add(host.time.number, kind, reader.conn, n);
    const code = kind === AppEvent.Close ? removalCode(n) : null;
    if (reader.unfinished) {
      host.unfinishedEvent(reader.conn, () => {
        endpoint.deliver(kind, n, code);
        return true;
      });
    } else endpoint.deliver(kind, n, code);
    return true;
  }

  #runtimeEvent(at: number): boolean {
    const { reader, host } = this;
    this.#samples.beginEvent(false);
    const { view, bytes } = reader.ring;
    const id = RuntimeBody.id.get(view, at);
    if (id < 0) {
      if (this.#discardUnfinished()) return false;
      this.#setTime(at, RuntimeBody);
      return false;
    }
    if (!this.#allChecked()) return false;
    const kind = RuntimeBody.kind.get(view, at);
    const length = RuntimeBody.resultLength.get(view, at);
    const result = length === 0 ? null : bytes.slice(at + RuntimeBody.size, at + RuntimeBody.size + length);
    this.#setTime(at, RuntimeBody);
    const replayed = this.historyReplay.conn;
    const owner = this.#appendToHistory(replayed === 0 ? host.ownerOfRuntimeEvent(kind, id) : replayed);
    host.time.begin(replayed === 0 ? 'live' : 'historical', replayed === 0 ? owner : replayed);
    this.#samples.beginEvent(true);
    this.trace.add(host.time.number, host.nameOfRuntimeEvent(kind, id), id, 0);
    const delivered = reader.unfinished
      ? host.unfinishedEvent(owner, () => host.deliverRuntimeEvent(kind, id, result))
      : host.deliverRuntimeEvent(kind, id, result);
    if (delivered) return true;
    this.#samples.beginEvent(false);
    if (replayed !== 0) {
      this.historyReplay.fail('it has not begun an operation that has finished on the primary');
      return false;
    }
    this.counters.skipped++;
    if (!this.joinedLate)
      host.diverged("the primary's program has a timer or operation that this replica's program does not have");
    return false;
  }

  #check(at: number): void {
    const { reader, host } = this;
    const { view } = reader.ring;
    this.#unchecked.delete(reader.conn);
    const endpoint = host.endpoints.get(reader.conn);
    if (endpoint === undefined) return;
    this.counters.checks++;
    const written = CheckBody.written.get(view, at);
    const crc = CheckBody.crc.get(view, at);
    if (endpoint.written !== written || endpoint.crc !== crc) {
      if (this.historyReplay.conn !== 0) {
        this.historyReplay.fail('its output differs from that on the primary');
        return;
      }
      host.diverged(
        `connection ${reader.conn}: the program wrote ${endpoint.written} bytes (CRC ${endpoint.crc.toString(16)}), on the primary ${written} bytes (CRC ${crc.toString(16)})`,
        reader.conn,
      );
    }
  }

  /** Takes the connections that were written to in the last event, and have no Check record. */
  takeUnchecked(): ReplicaEndpoint[] {
    const out = [...this.#unchecked.values()];
    this.#unchecked.clear();
    return out;
  }

  /**
   * Before the next event: everything that this program wrote in the last one must have been
   * checked.
   */
  #allChecked(): boolean {
    if (this.#unchecked.size === 0) return true;
    const [id] = this.#unchecked.keys();
    this.#unchecked.clear();
    this.host.diverged(`connection ${id}: this replica's program wrote something that the primary's did not`, id);
    return false;
  }
}
