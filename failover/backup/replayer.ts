/**
 * The backup's side of replication: reads the log and repeats what happened. Changes of connections are applied to the
 * backup's own (frozen) stack; events are delivered to the program one at a time. What the program writes goes to the
 * frozen connections' send queues, and its checksum is compared with the primary's.
 */

import { Ipv4Route } from '../../stack/ip/ipv4-route.js';
import { Ipv6Route } from '../../stack/ip/ipv6-route.js';
import { AppEvent } from '../../stack/tcp/app-event.js';
import { SEND_TARGET_UNIT, type TcpConnection } from '../../stack/tcp/connection.js';
import { FIRST_MARKS_WORD, setMarksWord } from '../../stack/tcp/loss/ecn.js';
import { TcpState } from '../../stack/tcp/state.js';
import { readFirst } from '../../stack/tcp/user-calls.js';
import type { UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import type { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { NumberField } from '../log/fields.js';
import { invariants } from '../log/invariants.js';
import {
  CheckBody,
  EVENT_KIND_MASK,
  EventBody,
  Follow,
  JoinBody,
  OpenedBody,
  OpenedFlag,
  RECORD_HEADER,
  RecordType,
  RemovedBody,
  RuntimeBody,
  removalCode,
  SavedBody,
  SEND_TARGET_SHIFT,
  SYN_CODEPOINT_SHIFT,
  UNREPLICATED_BIT,
} from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import { BorrowedLog } from './borrowed-log.js';
import { ConnectionRecords } from './connection-records.js';
import { HistoryReplay } from './history-replay.js';
import type { ReplayHost, Step } from './replay-host.js';

export class Replayer {
  readonly counters = { events: 0, skipped: 0, checks: 0 };
  /** The primary's start-up is complete as far as the log has been read. */
  started = false;
  /** This replica did not see the beginning: what it does not know is skipped. */
  joiner = false;
  /** The primary died in an event that is not repeated here: it has not happened. */
  cut = false;
  #unchecked = new Map<number, ReplicaEndpoint>();
  #delivered = 0;

  constructor(
    readonly reader: RingReader,
    readonly host: ReplayHost,
    /** Connections that are kept without a program. */
    readonly kept: UnclaimedConnections,
    /** State mode of the whole group: no program runs here. */
    readonly stateMode: boolean,
    leastInPlace?: number,
  ) {
    this.past = new HistoryReplay(host, kept, (conn) => this.#unchecked.delete(conn));
    this.lent = new BorrowedLog(reader, leastInPlace);
    this.#records = new ConnectionRecords(this);
  }

  readonly lent: BorrowedLog;
  readonly #records: ConnectionRecords;
  /** Connections that are older than this replica. */
  readonly past: HistoryReplay;

  /** Whether it is kept here instead of being repeated. */
  keeps(conn: number): boolean {
    return this.stateMode || this.kept.has(conn);
  }

  /**
   * The program makes an outgoing connection: which one did the primary make at this point? Its record follows the event
   * that is being delivered. Undefined when the log ends here, and the connection is ours to make.
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
    // The last event is over. Each is told by itself: a reader that is behind shows that it gets on.
    this.lent.look();
    reader.release();
    for (let endpoint = host.checks.shift(); endpoint !== undefined; endpoint = host.checks.shift())
      if (this.past.conn === 0) this.#unchecked.set(endpoint.id, endpoint);
    this.past.afterEvent();
    while (!this.cut && reader.next()) {
      if (this.past.skips(reader.conn) && reader.type !== RecordType.TransferEnd) continue;
      if (this.#apply()) {
        this.counters.events++;
        return 'event';
      }
      if (this.#delivered < 0) break;
    }
    this.#delivered = 0;
    reader.release();
    return 'idle';
  }

  /** @returns true when an event was delivered to the program. */
  #apply(): boolean {
    const { reader, host } = this;
    const tcp = host.stack.tcp;
    const view = reader.ring.view;
    const at = reader.body;
    switch (reader.type) {
      case RecordType.Opened:
        this.#opened(at);
        return false;
      case RecordType.TransferBegin:
        this.past.cover(reader.conn);
        return false;
      case RecordType.TransferEnd:
        this.past.covered();
        return false;
      case RecordType.History:
        if (!this.past.begin(reader)) this.#wait();
        return false;
      case RecordType.Saved:
        this.#saved(at);
        return false;
      case RecordType.AllSaved:
        return this.#allSaved();
      case RecordType.Removed: {
        const conn = tcp.byId.get(reader.conn);
        this.kept.forget(reader.conn);
        host.histories.forget(reader.conn);
        // Its socket may still have to be told of data, or of the end.
        if (host.endpoints.get(reader.conn)?.settled === true) host.endpoints.delete(reader.conn);
        const code = RemovedBody.code.get(view, at);
        if (conn !== undefined) tcp.remove(conn, removalCode(code));
        return false;
      }
      case RecordType.Event:
        return this.#event(at);
      case RecordType.Runtime:
        return !this.stateMode && this.#world(at);
      case RecordType.Check:
        if (!this.keeps(reader.conn)) this.#check(at);
        return false;
      case RecordType.Join:
        // Before version 4 all connections followed, also those that are known.
        if (this.stateMode && reader.version < 4) this.#forgetAll();
        if (this.joiner && this.counters.events === 0) this.#setTime(at, JoinBody);
        return false;
      case RecordType.Started:
        if (!host.programLoaded && !this.stateMode) this.#wait();
        else this.started = true;
        return false;
      default:
        this.#records.apply(reader, at);
        if (reader.type === RecordType.Received || reader.type === RecordType.PeerFin) this.#remember(reader.conn);
        return false;
    }
  }

  /** The record belongs to a connection's history. @returns whose event it is: 0 where no history is kept */
  #remember(conn: number): number {
    const { reader, host } = this;
    const { histories } = host;
    if (histories.get(conn) === undefined) return 0;
    const body = reader.ring.bytes.subarray(reader.body, reader.body + reader.bodyLength);
    return histories.copy(conn, reader.type, body) ? conn : 0;
  }

  /** The group's time is that of an event, wherever it ran. */
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
    this.host.saved.take(name, bytes.slice(from, from + length));
  }

  /** Where we joined, everything that the program does from here on builds on it. @returns true when the program was told */
  #allSaved(): boolean {
    const { host } = this;
    if (!this.joiner || this.stateMode || this.counters.events > 0 || host.saved.size === 0) return false;
    if (!host.programLoaded) {
      this.#wait();
      return false;
    }
    host.giveSaved();
    return true;
  }

  /** The record must be read again later: the program is not there yet. */
  #wait(): void {
    this.reader.unread();
    this.#delivered = -1;
  }

  #opened(at: number): void {
    const { reader, host } = this;
    const { stack } = host;
    const tcp = stack.tcp;
    const { view, bytes } = reader.ring;
    const B = OpenedBody;
    const flags = B.flags.get(view, at);
    const localAddress = host.stack.book.fromBytes(bytes, at + B.localAddress.offset);
    const remoteAddress = host.stack.book.fromBytes(bytes, at + B.remoteAddress.offset);
    const localPort = B.localPort.get(view, at);
    const remotePort = B.remotePort.get(view, at);
    const follow = reader.version < 4 ? Follow.Replay : (B.follow.get(view, at) as Follow);
    if (follow === Follow.Not && !this.stateMode) return;
    // What this program has opened itself it goes on repeating.
    const strange = this.joiner && !host.endpoints.has(reader.conn);
    const kept = this.stateMode || follow === Follow.State || (follow === Follow.Either && strange);
    if (kept) this.kept.of(reader.conn);
    let conn = tcp.byId.get(reader.conn);
    if (conn === undefined) {
      const listener = kept || (flags & OpenedFlag.Outgoing) !== 0 ? null : tcp.findListener(localAddress, localPort);
      if ((flags & OpenedFlag.Outgoing) === 0 && listener === null && !kept) {
        if (!host.programLoaded) {
          this.#wait();
          return;
        }
        if (!this.joiner)
          host.diverged(`the primary accepted a connection on port ${localPort}, where this replica does not listen`);
        return;
      }
      // A joiner's program never made the call that this outgoing connection belongs to.
      if ((flags & OpenedFlag.Outgoing) !== 0 && !kept) return;
      const route = tcp.host.tcpRoute(localAddress, remoteAddress);
      if (route === null) {
        host.diverged('the primary has a connection on an address that this replica does not have');
        return;
      }
      tcp.timeWaits.delete(localAddress, localPort, remoteAddress, remotePort);
      conn = tcp.create(reader.conn, localAddress, localPort, remoteAddress, remotePort, route);
      conn.active = (flags & OpenedFlag.Outgoing) !== 0;
      conn.listener = listener;
      if (listener !== null) listener.halfOpen++;
      if (!kept && !this.past.covering && reader.version >= 4) host.histories.begin(conn);
    }
    conn.state = B.state.get(view, at) === TcpState.SynSent ? TcpState.SynSent : TcpState.SynRcvd;
    conn.iss = B.iss.get(view, at);
    conn.irs = B.irs.get(view, at);
    conn.sackOk = (flags & OpenedFlag.Sack) !== 0;
    conn.tsOk = (flags & OpenedFlag.Timestamps) !== 0;
    conn.ecnOk = (flags & OpenedFlag.Ecn) !== 0;
    conn.accEcn = (flags & OpenedFlag.AccurateEcn) !== 0;
    conn.synEcn = conn.listener !== null && conn.ecnOk ? flags >> SYN_CODEPOINT_SHIFT : -1;
    if (conn.accEcn) setMarksWord(conn, FIRST_MARKS_WORD);
    conn.sndScale = B.sndScale.get(view, at);
    conn.rcvScale = B.rcvScale.get(view, at);
    conn.receiveMax = B.receiveLimit.get(view, at);
    // How far the window had grown is not known: as far as it can.
    if (invariants.A2) conn.receiveLimit = conn.receiveMax;
    conn.tsOffset = invariants.T1 ? B.tsOffset.get(view, at) : 0;
    conn.tsRecent = B.tsRecent.get(view, at);
    conn.tsRecentAtUs = tcp.now;
    conn.sndWnd = B.sndWnd.get(view, at);
    conn.maxSndWnd = Math.max(conn.maxSndWnd, conn.sndWnd);
    conn.rcvNxt = B.rcvNxt.get(view, at);
    conn.rcvAdv = conn.rcvNxt;
    conn.sndMss = B.sndMss.get(view, at);
    conn.cc = tcp.options.congestion(conn.sndMss);
    conn.sndNxt = 1;
    const { route } = conn;
    if ((flags & OpenedFlag.PeerMac) === 0) return;
    if (route instanceof Ipv4Route) route.net.neighbours.learn(route.nextHop, bytes, at + B.mac.offset, true);
    else if (route instanceof Ipv6Route) route.net.neighbours6.learn(route.nextHop, bytes, at + B.mac.offset, true);
  }

  // --- State mode ---

  /** All connections follow. */
  #forgetAll(): void {
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
   * An event that is not repeated here, and that the dead primary did not finish: it has not happened, and nothing behind it.
   * @returns true when it is so
   */
  #unhappened(): boolean {
    if (!this.reader.unfinished) return false;
    this.reader.unread();
    this.cut = true;
    return true;
  }

  /** The primary's program was told something: what it read is no longer to be read. */
  #noteEvent(at: number, kind: AppEvent): void {
    const { reader, host } = this;
    if (this.#unhappened()) return;
    const conn = host.stack.tcp.byId.get(reader.conn);
    this.#setTime(at, EventBody);
    this.counters.events++;
    if (conn === undefined) return;
    if (kind === AppEvent.Accept || kind === AppEvent.Restore) this.kept.of(conn.id).accepted = true;
    else if (kind === AppEvent.Data) this.#readAway(conn, EventBody.n.get(this.reader.ring.view, at));
  }

  #readAway(conn: TcpConnection, bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const { receiveQueue } = conn;
      if (receiveQueue.length === 0) return;
      const bytes = receiveQueue.sourceAt(0);
      left -= receiveQueue.lengthAt(0);
      readFirst(conn);
      conn.tcp.borrowedBuffers.recycle(bytes);
    }
  }

  /** The primary does not repeat it any more, as it was given the connection itself: it is kept from here on, without our program. */
  #keep(endpoint: ReplicaEndpoint): void {
    const { host, kept } = this;
    Object.assign(kept.of(endpoint.id), { context: endpoint.context, accepted: endpoint.accepted });
    this.#unchecked.delete(endpoint.id);
    host.endpoints.delete(endpoint.id);
    endpoint.detach();
  }

  #event(at: number): boolean {
    const { reader, host } = this;
    const { view } = reader.ring;
    const word = EventBody.word.get(view, at);
    const kind = (word & EVENT_KIND_MASK) as AppEvent;
    const apart = (word & UNREPLICATED_BIT) !== 0;
    const endpoint = host.endpoints.get(reader.conn);
    if (apart || this.keeps(reader.conn)) {
      if (endpoint !== undefined && !reader.unfinished) this.#keep(endpoint);
      this.#noteEvent(at, kind);
      return false;
    }
    if (endpoint === undefined) {
      if (this.joiner && this.#unhappened()) return false;
      this.counters.skipped++;
      if (!this.joiner)
        host.diverged(
          `the primary's program was told something about connection ${reader.conn}, which this replica does not have`,
        );
      return false;
    }
    if (word > 0xff) endpoint.conn.sendTarget = (word >>> SEND_TARGET_SHIFT) * SEND_TARGET_UNIT;
    const n = EventBody.n.get(view, at);
    if (kind === AppEvent.Data && !endpoint.conn.hasChunksOf(n)) {
      if (this.past.conn !== 0) {
        this.past.differs('it was told something else');
        return false;
      }
      host.diverged(`connection ${reader.conn}: the next chunks are not those that the primary's program read`);
      return false;
    }
    if (!this.#allChecked()) return false;
    this.#setTime(at, EventBody);
    const owner = this.#remember(reader.conn);
    if (this.past.conn === 0) host.time.begin('live', owner);
    else host.time.begin('historical', reader.conn);
    if (reader.unfinished) host.beforeLast(reader.conn);
    endpoint.deliver(kind, n, kind === AppEvent.Close ? removalCode(n) : null);
    return true;
  }

  #world(at: number): boolean {
    const { reader, host } = this;
    const { view, bytes } = reader.ring;
    const id = RuntimeBody.id.get(view, at);
    if (id < 0) {
      if (this.#unhappened()) return false;
      this.#setTime(at, RuntimeBody);
      return false;
    }
    if (!this.#allChecked()) return false;
    const kind = RuntimeBody.kind.get(view, at);
    const length = RuntimeBody.resultLength.get(view, at);
    const result = length === 0 ? null : bytes.slice(at + RuntimeBody.size, at + RuntimeBody.size + length);
    const { number, monoUs, wallMs } = host.time;
    this.#setTime(at, RuntimeBody);
    const past = this.past.conn;
    const owner = this.#remember(past === 0 ? host.ownerOfWorld(kind, id) : past);
    host.time.begin(past === 0 ? 'live' : 'historical', past === 0 ? owner : past);
    if (reader.unfinished) host.beforeLast(0);
    if (host.deliverWorld(kind, id, result)) return true;
    if (past !== 0) {
      this.past.differs('it has not begun what the primary’s had finished');
      return false;
    }
    if (!this.started && !this.joiner && !host.programLoaded) {
      host.time.set(number, monoUs, wallMs);
      this.#wait();
      return false;
    }
    this.counters.skipped++;
    if (!this.joiner) host.diverged('the primary’s program had a timer or operation that this replica’s does not have');
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
      if (this.past.conn !== 0) {
        this.past.differs('what it has been told does not make it say what the primary’s has said');
        return;
      }
      host.diverged(
        `connection ${reader.conn}: the program wrote ${endpoint.written} bytes (sum ${endpoint.crc.toString(16)}), on the primary ${written} bytes (sum ${crc.toString(16)})`,
      );
    }
  }

  /** Connections that were written to in the last event, without a word of the primary about it. */
  takeUnchecked(): ReplicaEndpoint[] {
    const out = [...this.#unchecked.values()];
    this.#unchecked.clear();
    return out;
  }

  /** Before the next event: all that this program wrote in the last one must have been written by the primary's too. */
  #allChecked(): boolean {
    if (this.#unchecked.size === 0) return true;
    const [id] = this.#unchecked.keys();
    this.#unchecked.clear();
    this.host.diverged(`connection ${id}: this replica's program wrote something that the primary's did not`);
    return false;
  }
}
