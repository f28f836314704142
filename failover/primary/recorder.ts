/**
 * Recording: the primary's side of replication. It turns changes of the stack into log records, in
 * the order in which they happen. Nothing here waits: the commit gate decides which output may
 * leave.
 */

import type { AddressBook } from '../../stack/core/address-book.js';
import type { Neighbour } from '../../stack/core/neighbours.js';
import { Ipv4Route } from '../../stack/ip/ipv4-route.js';
import { Ipv6Route } from '../../stack/ip/ipv6-route.js';
import type { Relay, RelayStart } from '../../stack/relay/relay.js';
import type { RelayObserver } from '../../stack/relay/relays.js';
import { AppEvent } from '../../stack/tcp/app-event.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { SEND_TARGET_UNIT } from '../../stack/tcp/connection.js';
import { marksWord } from '../../stack/tcp/loss/ecn.js';
import type { StackObserver } from '../../stack/tcp/observer.js';
import { TcpState } from '../../stack/tcp/state.js';
import type { TimeWaitEntry } from '../../stack/tcp/time-wait.js';
import { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { followOf } from '../connections/replication-policy.js';
import type { StreamCheck } from '../connections/stream-sink.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import {
  AckedBody,
  CheckBody,
  EventBody,
  type Follow,
  JoinBody,
  OpenedBody,
  OpenedFlag,
  OutOfOrderBody,
  PairedBody,
  ReceivedBody,
  RecordType,
  RemovedBody,
  RuntimeBody,
  removalNumber,
  SampleBody,
  SEND_TARGET_SHIFT,
  SentBody,
  SYN_CODEPOINT_SHIFT,
  SYN_HELD_BIT,
  TimeWaitBody,
  UNREPLICATED_BIT,
} from '../log/records.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { EventTime } from '../runtime/core/event-time.js';
import type { LoggedSample } from '../runtime/samples/samples.js';

/** Where bodies are written: the log, or a history. */
interface BodyPlace {
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

function putReceived({ view }: BodyPlace, at: number, conn: TcpConnection, length: number): void {
  ReceivedBody.length.set(view, at, length);
  ReceivedBody.marks.set(view, at, marksWord(conn));
}

function putPayload({ bytes }: BodyPlace, to: number, source: Uint8Array, from: number, length: number): void {
  // The device may have placed it there.
  if (source.buffer === bytes.buffer && source.byteOffset + from === bytes.byteOffset + to) return;
  bytes.set(source.subarray(from, from + length), to);
}

function putEvent({ view }: BodyPlace, at: number, word: number, n: number, time: EventTime): void {
  EventBody.word.set(view, at, word);
  EventBody.n.set(view, at, n);
  EventBody.monoUs.set(view, at, time.monoUs);
  EventBody.wallMs.set(view, at, time.wallMs);
  EventBody.number.set(view, at, time.number);
}

function putSample({ view, bytes }: BodyPlace, at: number, name: string, result: Uint8Array, isStart: boolean): void {
  SampleBody.resultLength.set(view, at, result.length);
  SampleBody.nameLength.set(view, at, name.length);
  SampleBody.isStart.set(view, at, isStart ? 1 : 0);
  const from = at + SampleBody.size;
  for (let i = 0; i < name.length; i++) bytes[from + i] = name.charCodeAt(i);
  bytes.set(result, from + name.length);
}

type Mark = (typeof RecordType)['Epoch' | 'Started' | 'Established' | 'TransferBegin' | 'TransferEnd' | 'AllSaved'];

/** What a {@link Recorder} works with. */
export interface RecorderOptions {
  writer: RingWriter;
  time: EventTime;
  book: AddressBook;
  histories: ConnectionHistories;
  /** How a backup that runs the program follows a connection that has no socket yet. */
  follow: (conn: TcpConnection) => Follow;
  /** Called before the removal of a connection is recorded. */
  onRemoved: (conn: TcpConnection) => void;
}

/** Records what happens to connections, and the events that the program is given. */
export class Recorder implements StackObserver, RelayObserver {
  readonly writer: RingWriter;
  readonly time: EventTime;
  readonly book: AddressBook;
  readonly histories: ConnectionHistories;
  readonly follow: (conn: TcpConnection) => Follow;
  readonly #onRemoved: (conn: TcpConnection) => void;

  constructor({ writer, time, book, histories, follow, onRemoved }: RecorderOptions) {
    this.writer = writer;
    this.time = time;
    this.book = book;
    this.histories = histories;
    this.follow = follow;
    this.#onRemoved = onRemoved;
  }

  opened(conn: TcpConnection): void {
    this.histories.begin(conn);
    this.recordOpened(conn, this.#followOf(conn));
  }

  /** Records a connection. @param follow how a backup that runs the program follows it */
  recordOpened(conn: TcpConnection, follow: Follow): void {
    const { writer } = this;
    const at = writer.begin(RecordType.Opened, conn.id, OpenedBody.size);
    if (at < 0) return;
    const { view, bytes } = writer.ring;
    const B = OpenedBody;
    const route = conn.route;
    let mac: Neighbour | undefined;
    if (route instanceof Ipv4Route) mac = route.net.neighbours.peek(route.nextHop);
    else if (route instanceof Ipv6Route) mac = route.net.neighbours6.peek(route.nextHop);
    const known = mac?.resolved === true ? mac : undefined;
    B.state.set(view, at, conn.state);
    const options =
      (conn.sackOk ? OpenedFlag.Sack : 0) |
      (conn.tsOk ? OpenedFlag.Timestamps : 0) |
      (conn.ecnOk ? OpenedFlag.Ecn : 0) |
      (conn.accEcn ? OpenedFlag.AccurateEcn : 0) |
      ((conn.synEcn & 3) << SYN_CODEPOINT_SHIFT);
    B.flags.set(
      view,
      at,
      options | (conn.active ? OpenedFlag.Outgoing : 0) | (known === undefined ? 0 : OpenedFlag.PeerMac),
    );
    B.sndScale.set(view, at, conn.sndScale);
    B.rcvScale.set(view, at, conn.rcvScale);
    B.localPort.set(view, at, conn.localPort);
    B.remotePort.set(view, at, conn.remotePort);
    const { book } = this;
    book.write(conn.localAddress, bytes, at + B.localAddress.offset);
    book.write(conn.remoteAddress, bytes, at + B.remoteAddress.offset);
    B.iss.set(view, at, conn.iss);
    B.irs.set(view, at, conn.irs);
    B.sndMss.set(view, at, conn.sndMss);
    // A replica that takes over does not know how far the window had grown: its limit counts.
    B.receiveLimit.set(view, at, conn.receiveMax);
    B.tsOffset.set(view, at, conn.tsOffset);
    B.tsRecent.set(view, at, conn.tsRecent);
    B.sndWnd.set(view, at, conn.sndWnd);
    B.rcvNxt.set(view, at, conn.rcvNxt);
    if (known !== undefined) bytes.set(known.mac, at + B.mac.offset);
    B.follow.set(view, at, follow | (conn.synHeld ? SYN_HELD_BIT : 0));
    writer.end();
  }

  #followOf(conn: TcpConnection): Follow {
    const { user } = conn;
    return user instanceof ReplicaEndpoint ? followOf(user.policy) : this.follow(conn);
  }

  established(conn: TcpConnection): void {
    // An active open learned the peer's side with the SYN-ACK, so all of it is recorded again.
    if (conn.active) this.opened(conn);
    if (this.writer.begin(RecordType.Established, conn.id, 0) >= 0) this.writer.end();
  }

  received(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void {
    const { writer } = this;
    const size = ReceivedBody.size + length;
    const at = writer.begin(RecordType.Received, conn.id, size);
    if (at >= 0) {
      putReceived(writer.ring, at, conn, length);
      putPayload(writer.ring, at + ReceivedBody.size, bytes, from, length);
      writer.end();
    }
    if (bytes.buffer === writer.ring.buffer) {
      const { borrowedBuffers } = conn.tcp;
      // Without a record the memory may be overwritten at any time.
      if (at >= 0) writer.placement.borrow(borrowedBuffers);
      else borrowedBuffers.giveBack();
    }
    const history = this.histories.open(conn.id, size);
    if (history !== null) {
      const at = history.append(RecordType.Received, size);
      putReceived(history, at, conn, length);
      putPayload(history, at + ReceivedBody.size, bytes, from, length);
    }
  }

  outOfOrder(conn: TcpConnection, start: number, bytes: Uint8Array): void {
    const { writer } = this;
    const at = writer.begin(RecordType.OutOfOrder, conn.id, OutOfOrderBody.size + bytes.length);
    if (at < 0) return;
    OutOfOrderBody.start.set(writer.ring.view, at, start);
    OutOfOrderBody.length.set(writer.ring.view, at, bytes.length);
    writer.ring.bytes.set(bytes, at + OutOfOrderBody.size);
    writer.end();
  }

  /** At a switchover: how far a connection has sent, so that its successor sends nothing twice. */
  sent(conn: TcpConnection): void {
    const { writer } = this;
    if (conn.state < TcpState.Established) return;
    const at = writer.begin(RecordType.Sent, conn.id, SentBody.size);
    if (at < 0) return;
    const { view } = writer.ring;
    SentBody.sndNxt.set(view, at, conn.sndNxt);
    SentBody.cwnd.set(view, at, conn.cc.cwnd);
    SentBody.ssthresh.set(view, at, conn.cc.ssthresh);
    SentBody.srttUs.set(view, at, conn.rtt.srttUs);
    SentBody.rttvarUs.set(view, at, conn.rtt.rttvarUs);
    writer.end();
  }

  peerFin(conn: TcpConnection): void {
    if (this.writer.begin(RecordType.PeerFin, conn.id, 0) >= 0) this.writer.end();
    this.histories.open(conn.id, 0)?.append(RecordType.PeerFin, 0);
  }

  acked(conn: TcpConnection): void {
    const { writer } = this;
    if (conn.state < TcpState.Established) return;
    const at = writer.begin(RecordType.Acked, conn.id, AckedBody.size);
    if (at < 0) return;
    const { view } = writer.ring;
    AckedBody.sndUna.set(view, at, conn.sndUna);
    AckedBody.sndWnd.set(view, at, conn.sndWnd);
    AckedBody.sndWl1.set(view, at, conn.sndWl1);
    AckedBody.srttUs.set(view, at, conn.rtt.srttUs);
    AckedBody.tsRecent.set(view, at, conn.tsRecent);
    AckedBody.sndWl2Lag.set(view, at, Math.max(0, conn.sndUna - conn.sndWl2));
    writer.end(true);
  }

  removed(conn: TcpConnection, code: string | null): void {
    const { writer } = this;
    this.#onRemoved(conn);
    this.histories.forget(conn.id);
    const at = writer.begin(RecordType.Removed, conn.id, RemovedBody.size);
    if (at < 0) return;
    RemovedBody.code.set(writer.ring.view, at, removalNumber(code));
    writer.end();
  }

  timeWait(entry: TimeWaitEntry): void {
    const { writer } = this;
    const at = writer.begin(RecordType.TimeWait, 0, TimeWaitBody.size);
    if (at < 0) return;
    const { view, bytes } = writer.ring;
    const B = TimeWaitBody;
    this.book.write(entry.localAddress, bytes, at + B.localAddress.offset);
    this.book.write(entry.remoteAddress, bytes, at + B.remoteAddress.offset);
    B.localPort.set(view, at, entry.localPort);
    B.remotePort.set(view, at, entry.remotePort);
    B.sndNxt.set(view, at, entry.sndNxt);
    B.rcvNxt.set(view, at, entry.rcvNxt);
    B.tsOk.set(view, at, entry.tsOk ? 1 : 0);
    B.tsRecent.set(view, at, entry.tsRecent);
    B.tsOffset.set(view, at, entry.tsOffset);
    B.rcvWindow.set(view, at, entry.rcvWindow);
    B.lifeUs.set(view, at, entry.expiresUs - this.time.nowUs());
    writer.end();
  }

  deliver(conn: TcpConnection, event: AppEvent, n: number): void {
    const { writer, time } = this;
    time.next();
    const unreplicated = (conn.user as ReplicaEndpoint).policy.unreplicated;
    if (event === AppEvent.Close && n === 0) n = removalNumber(conn.error);
    const limit = event === AppEvent.Space ? conn.sendTarget / SEND_TARGET_UNIT : 0;
    const word = event | (unreplicated ? UNREPLICATED_BIT : 0) | (limit << SEND_TARGET_SHIFT);
    const at = writer.begin(RecordType.Event, conn.id, EventBody.size);
    if (at >= 0) {
      putEvent(writer.ring, at, word, n, time);
      writer.end();
      writer.beginEvent();
    }
    const history = this.histories.open(conn.id, EventBody.size);
    if (history !== null) putEvent(history, history.append(RecordType.Event, EventBody.size), word, n, time);
    time.begin(unreplicated ? 'unreplicated' : 'live', history === null ? 0 : conn.id);
  }

  /**
   * A timer, immediate or operation is about to be delivered.
   * @param owner its independent connection, 0: none
   */
  runtimeEvent(kind: number, id: number, result: Uint8Array | null, owner = 0): void {
    const { writer, time } = this;
    time.next();
    const size = RuntimeBody.size + (result === null ? 0 : result.length);
    const at = writer.begin(RecordType.Runtime, 0, size);
    if (at >= 0) {
      this.#putRuntimeEvent(writer.ring, at, kind, id, result);
      writer.end();
      writer.beginEvent();
    }
    const history = this.histories.open(owner, size);
    if (history !== null) this.#putRuntimeEvent(history, history.append(RecordType.Runtime, size), kind, id, result);
    time.begin(id < 0 ? 'unreplicated' : 'live', history === null ? 0 : owner);
  }

  #putRuntimeEvent({ view, bytes }: BodyPlace, at: number, kind: number, id: number, result: Uint8Array | null): void {
    const { time } = this;
    RuntimeBody.kind.set(view, at, kind);
    RuntimeBody.resultLength.set(view, at, result === null ? 0 : result.length);
    RuntimeBody.id.set(view, at, id);
    RuntimeBody.monoUs.set(view, at, time.monoUs);
    RuntimeBody.wallMs.set(view, at, time.wallMs);
    RuntimeBody.number.set(view, at, time.number);
    if (result !== null) bytes.set(result, at + RuntimeBody.size);
  }

  paired({ client, server }: Relay, start: RelayStart): void {
    const { writer } = this;
    const at = writer.begin(RecordType.Paired, client.id, PairedBody.size);
    if (at < 0) return;
    const { view } = writer.ring;
    PairedBody.server.set(view, at, server.id);
    PairedBody.clientFrom.set(view, at, start.client);
    PairedBody.serverFrom.set(view, at, start.server);
    writer.end();
  }

  /**
   * The program has read a value in the running event.
   * @param isStart the program's start-up is not complete
   */
  sample({ name, result }: LoggedSample, isStart: boolean): void {
    const { writer, time } = this;
    const size = SampleBody.size + name.length + result.length;
    const at = writer.begin(RecordType.Sample, time.owner, size);
    if (at >= 0) {
      putSample(writer.ring, at, name, result, isStart);
      writer.end();
    }
    const history = this.histories.open(time.owner, size);
    if (history !== null) putSample(history, history.append(RecordType.Sample, size), name, result, isStart);
  }

  /** What the program wrote to a connection so far, as a checksum. */
  check(conn: number, check: StreamCheck): void {
    const { writer } = this;
    const at = writer.begin(RecordType.Check, conn, CheckBody.size);
    if (at < 0) return;
    CheckBody.written.set(writer.ring.view, at, check.written);
    CheckBody.crc.set(writer.ring.view, at, check.crc);
    writer.end();
  }

  /** A backup that did not see the beginning joins here. */
  join(): void {
    const { writer, time } = this;
    const at = writer.begin(RecordType.Join, 0, JoinBody.size);
    if (at < 0) return;
    JoinBody.number.set(writer.ring.view, at, time.number);
    JoinBody.monoUs.set(writer.ring.view, at, time.monoUs);
    JoinBody.wallMs.set(writer.ring.view, at, time.wallMs);
    writer.end();
  }

  /** A record without a body. */
  mark(type: Mark, conn = 0): void {
    if (this.writer.begin(type, conn, 0) >= 0) this.writer.end();
  }
}
