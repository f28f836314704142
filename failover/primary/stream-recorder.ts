/**
 * Shipping: beside the stack's changes the log has what the program wrote, what it closed, and the
 * context that it saved for each connection. A backup needs no program to keep a connection's
 * state. A new program, or another version of it, is given the connection with that state
 * (docs/guides/state-mode.md). State transfers are written here, too.
 */
import type { Relay } from '../../stack/relay/relay.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { ProcessCheckpoint } from '../connections/checkpoint/process-checkpoint.js';
import type { StreamSink, TransferredEndpoint } from '../connections/stream-sink.js';
import type { ConnectionHistory } from '../log/connection-history.js';
import type { NumberField } from '../log/fields.js';
import {
  Closing,
  ClosingBody,
  ContextBody,
  Follow,
  HistoryBody,
  PlacedBody,
  RecordType,
  RelayBeginBody,
  SavedBody,
  WroteBody,
} from '../log/records.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { Recorder } from './recorder.js';

/** Most bytes of data in one record. */
const MAX_PIECE_BYTES = 65_536;

/** Records shipped streams, contexts, saved values and state transfers. */
export class StreamRecorder implements StreamSink {
  constructor(
    readonly recorder: Recorder,
    readonly writer: RingWriter,
  ) {}

  /** The program wrote something to a connection. */
  wrote(conn: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) {
      const part = bytes.length <= MAX_PIECE_BYTES ? bytes : bytes.subarray(at, at + MAX_PIECE_BYTES);
      this.#bytes(RecordType.Wrote, conn, WroteBody, part);
    }
  }

  closing(conn: number, what: Closing): void {
    const at = this.writer.begin(RecordType.Closing, conn, ClosingBody.size);
    if (at < 0) return;
    ClosingBody.what.set(this.writer.ring.view, at, what);
    this.writer.end();
  }

  /** What the program saved with the connection, for its restore handler. */
  context(conn: number, context: Uint8Array): void {
    this.#bytes(RecordType.Context, conn, ContextBody, context);
  }

  #bytes(type: RecordType, conn: number, body: { size: number; length: NumberField }, bytes: Uint8Array): void {
    const { writer } = this;
    const at = writer.begin(type, conn, body.size + bytes.length);
    if (at < 0) return;
    body.length.set(writer.ring.view, at, bytes.length);
    writer.ring.bytes.set(bytes, at + body.size);
    writer.end();
  }

  /** A value that the program saved of itself. */
  saved(name: string, bytes: Uint8Array): void {
    const { writer } = this;
    const from = SavedBody.size + 2 * name.length;
    const at = writer.begin(RecordType.Saved, 0, from + bytes.length);
    if (at < 0) return;
    const { ring } = writer;
    SavedBody.length.set(ring.view, at, bytes.length);
    SavedBody.nameLength.set(ring.view, at, name.length);
    for (let i = 0; i < name.length; i++) ring.view.setUint16(at + SavedBody.size + 2 * i, name.charCodeAt(i), true);
    ring.bytes.set(bytes, at + from);
    writer.end();
  }

  /** All values that the program has saved so far. */
  savedAll(values: ProcessCheckpoint): void {
    values.forEach((name, bytes) => {
      this.saved(name, bytes);
    });
    this.recorder.mark(RecordType.AllSaved);
  }

  /** State transfer of a connection that began before the backup joined. */
  transfer(conn: TcpConnection, endpoint: TransferredEndpoint | null): void {
    this.recorder.mark(RecordType.TransferBegin, conn.id);
    this.#connection(conn, endpoint);
    this.recorder.mark(RecordType.TransferEnd, conn.id);
  }

  /**
   * State transfer of a relay, whose bytes are in the send buffers. A replica that knows one of the
   * connections, and not the pair, begins anew with both.
   */
  transferRelay(relay: Relay): void {
    const { recorder, writer } = this;
    const { client, server } = relay;
    const at = writer.begin(RecordType.RelayBegin, client.id, RelayBeginBody.size);
    if (at < 0) return;
    RelayBeginBody.server.set(writer.ring.view, at, server.id);
    writer.end();
    for (const conn of [client, server]) if (!conn.removed) this.#connection(conn, null);
    if (!client.removed && !server.removed)
      recorder.paired(relay, { client: nextUnread(client), server: nextUnread(server) });
    recorder.mark(RecordType.TransferEnd, client.id);
  }

  /**
   * State transfer of an independent connection: its history, from which the backup's program gets
   * its state.
   */
  transferHistory(conn: TcpConnection, endpoint: TransferredEndpoint | null, history: ConnectionHistory): void {
    const { recorder, writer } = this;
    recorder.mark(RecordType.TransferBegin, conn.id);
    recorder.recordOpened(conn, Follow.Replay);
    recorder.mark(RecordType.Established, conn.id);
    const at = writer.begin(RecordType.History, conn.id, HistoryBody.size);
    if (at < 0) return;
    HistoryBody.sndUna.set(writer.ring.view, at, conn.sndUna);
    HistoryBody.rcvNxt.set(writer.ring.view, at, conn.rcvNxt);
    writer.end();
    history.forEach((type, body) => {
      const at = writer.begin(type, conn.id, body.length);
      if (at < 0) return;
      writer.ring.bytes.set(body, at);
      writer.end();
    });
    this.#outOfOrder(conn);
    if (endpoint !== null) recorder.check(conn.id, endpoint);
    recorder.acked(conn);
    recorder.mark(RecordType.TransferEnd, conn.id);
  }

  #outOfOrder(conn: TcpConnection): void {
    for (const { start, bytes } of conn.reassembly.save().pieces) this.recorder.outOfOrder(conn, start, bytes);
  }

  #connection(conn: TcpConnection, endpoint: TransferredEndpoint | null): void {
    const { recorder, writer } = this;
    recorder.opened(conn);
    if (!conn.established) {
      this.#written(conn);
      return;
    }
    if (conn.listener !== null) recorder.established(conn);
    else recorder.mark(RecordType.Established, conn.id);
    const at = writer.begin(RecordType.Placed, conn.id, PlacedBody.size);
    if (at < 0) return;
    const { view } = writer.ring;
    const start = conn.sendBuffer.start;
    PlacedBody.sendStart.set(view, at, start);
    PlacedBody.rcvNxt.set(view, at, nextUnread(conn));
    PlacedBody.sndWnd.set(view, at, conn.sndWnd);
    PlacedBody.accepted.set(view, at, endpoint?.accepted === true ? 1 : 0);
    writer.end();
    const { receiveQueue } = conn;
    for (let i = 0; i < receiveQueue.length; i++)
      recorder.received(conn, receiveQueue.sourceAt(i), receiveQueue.fromAt(i), receiveQueue.lengthAt(i));
    this.#outOfOrder(conn);
    if (conn.peerFin) recorder.peerFin(conn);
    this.#written(conn);
    recorder.acked(conn);
    if (endpoint?.context) this.context(conn.id, endpoint.context);
  }

  /** What is to be sent, and that nothing follows. */
  #written(conn: TcpConnection): void {
    this.wrote(conn.id, conn.sendBuffer.toBytes());
    if (conn.orphan) this.closing(conn.id, Closing.Close);
    else if (conn.finQueued) this.closing(conn.id, Closing.Shutdown);
  }
}

/** The first byte of the receive queue, or behind the last one received, as an offset from IRS. */
function nextUnread(conn: TcpConnection): number {
  return conn.rcvNxt - (conn.peerFin ? 1 : 0) - conn.receiveQueue.bytes;
}
