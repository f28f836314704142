/**
 * I4: what the log has is compared with what the wire is told. It reads the shared log as far as it
 * is stable, and knows so how much of each stream a backup would have, and has written itself;
 * nothing may be acknowledged, or sent, beyond that.
 */
import {
  CheckBody,
  OpenedBody,
  PairedBody,
  PlacedBody,
  RECORD_HEADER,
  ReceivedBody,
  RecordType,
  WroteBody,
} from '../../failover/log/records.js';
import { ReaderState, RING_HEADER, Word } from '../../failover/log/ring-header.js';

interface Stream {
  irs: number;
  received: number;
  fin: boolean;
  /** Bytes that the program has written; -1 where the log does not say so. */
  written: number;
  /** The other connection of a relay, which is sent what this one receives. */
  relaysTo?: Stream | undefined;
}

export class LogAudit {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #size: number;
  #units = 0;
  /** By connection number, and by "local port, remote port". */
  readonly #byId = new Map<number, Stream>();
  readonly #byPorts = new Map<number, Stream>();
  /** Records looked at. */
  records = 0;

  constructor(
    memory: ArrayBuffer,
    /** Output waits until the reader has processed what it depends on. */
    readonly acked: boolean,
  ) {
    this.#words = new Int32Array(memory, 0, 64);
    this.#view = new DataView(memory, RING_HEADER);
    this.#size = memory.byteLength - RING_HEADER;
  }

  /** Where the log is stable. */
  get #end(): number {
    const words = this.#words;
    const waits = this.acked && words[Word.readerState] === ReaderState.Live && words[Word.readerReady] === 1;
    return words[waits ? Word.tail : Word.head] >>> 0;
  }

  /** Reads what has become stable since. */
  advance(): void {
    const view = this.#view;
    const head = this.#end;
    // In state mode a successor takes back what was not finished.
    if (((head - this.#units) | 0) < 0) this.#units = head;
    if (((head - this.#units) | 0) * 8 > this.#size) throw new Error('The audit has not read records that are gone');
    while (this.#units !== head) {
      const at = (this.#units * 8) % this.#size;
      const length = view.getUint32(at, true);
      const type = view.getUint8(at + 4);
      if (type !== RecordType.Pad) this.#record(type, view.getUint32(at + 12, true), at + RECORD_HEADER);
      this.#units = (this.#units + length / 8) >>> 0;
    }
  }

  /** A late joiner knows nothing of older connections before it is told of them. */
  #joined(): void {
    for (const stream of this.#byId.values()) {
      stream.irs = 0;
      stream.written = -1;
      stream.relaysTo = undefined;
    }
  }

  #record(type: number, conn: number, body: number): void {
    this.records++;
    const view = this.#view;
    if (type === RecordType.Join) this.#joined();
    if (type === RecordType.Opened) {
      const irs = OpenedBody.irs.get(view, body);
      const known = this.#byId.get(conn);
      if (known !== undefined) {
        known.irs = irs;
        return;
      }
      const stream = { irs, received: 0, fin: false, written: -1 };
      const ports = OpenedBody.localPort.get(view, body) * 65_536 + OpenedBody.remotePort.get(view, body);
      this.#byId.set(conn, stream);
      this.#byPorts.set(ports, stream);
      return;
    }
    const stream = this.#byId.get(conn);
    if (stream === undefined) return;
    if (type === RecordType.Received) {
      const length = ReceivedBody.length.get(view, body);
      stream.received += length;
      if (stream.relaysTo !== undefined) stream.relaysTo.written += length;
    } else if (type === RecordType.Paired) this.#paired(stream, body);
    else if (type === RecordType.PeerFin) stream.fin = true;
    else if (type === RecordType.Check) stream.written = CheckBody.written.get(view, body);
    else if (type === RecordType.Placed) {
      // All of it is told again, to a replica that joins.
      stream.received = PlacedBody.rcvNxt.get(view, body) - 1;
      stream.fin = false;
      // And what is to be sent follows, which may have been written while there was no log.
      stream.written = PlacedBody.sendStart.get(view, body);
    } else if (type === RecordType.Wrote) {
      if (stream.written >= 0) stream.written += WroteBody.length.get(view, body);
    } else if (type === RecordType.Removed) this.#byId.delete(conn);
  }

  #paired(client: Stream, body: number): void {
    const view = this.#view;
    const server = this.#byId.get(PairedBody.server.get(view, body));
    if (server === undefined) return;
    const couple = (from: Stream, to: Stream, start: number): void => {
      to.written = Math.max(0, to.written) + from.received - (start - 1);
      from.relaysTo = to;
    };
    couple(client, server, PairedBody.clientFrom.get(view, body));
    couple(server, client, PairedBody.serverFrom.get(view, body));
  }

  #find(localPort: number, remotePort: number): Stream | undefined {
    this.advance();
    // The log has no reader, and no room: there is nobody who could go on.
    if (this.#words[Word.truncated] === 1 && this.#words[Word.readerState] !== ReaderState.Live) return undefined;
    return this.#byPorts.get(localPort * 65_536 + remotePort);
  }

  /**
   * A server sends bytes up to an offset. @returns by how much that is beyond what was written by
   * then; 0 or less is right.
   */
  ahead(localPort: number, remotePort: number, end: number): number {
    const stream = this.#find(localPort, remotePort);
    return stream === undefined || stream.written < 0 ? 0 : end - stream.written;
  }

  /**
   * A server acknowledges. @returns by how much it is beyond what the log has; 0 or less is right.
   */
  beyond(localPort: number, remotePort: number, ack: number): number {
    const stream = this.#find(localPort, remotePort);
    if (stream === undefined || stream.irs === 0) return 0;
    return ((ack - stream.irs) | 0) - 1 - stream.received - (stream.fin ? 1 : 0);
  }
}
