/**
 * I4: what the log has is compared with what the wire is told. It reads the shared log as it is published, and knows so how much of
 * each stream a backup would have; no acknowledgement may go beyond that.
 */
import { OpenedBody, PlacedBody, RECORD_HEADER, ReceivedBody, RecordType } from '../../failover/log/record.js';
import { ReaderState, RING_HEADER, Word } from '../../failover/log/ring.js';

interface Stream {
  irs: number;
  received: number;
  fin: boolean;
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

  constructor(memory: ArrayBuffer) {
    this.#words = new Int32Array(memory, 0, 64);
    this.#view = new DataView(memory, RING_HEADER);
    this.#size = memory.byteLength - RING_HEADER;
  }

  /** Reads what has been published since. */
  advance(): void {
    const view = this.#view;
    const head = this.#words[Word.head]! >>> 0;
    // In state mode a successor takes back what was not finished.
    if (((head - this.#units) | 0) < 0) this.#units = head;
    while (this.#units !== head) {
      const at = (this.#units * 8) % this.#size;
      const length = view.getUint32(at, true);
      const type = view.getUint8(at + 4);
      if (type !== RecordType.Pad) this.#record(type, view.getUint32(at + 12, true), at + RECORD_HEADER);
      this.#units = (this.#units + length / 8) >>> 0;
    }
  }

  #record(type: number, conn: number, body: number): void {
    this.records++;
    const view = this.#view;
    if (type === RecordType.Opened) {
      const irs = view.getUint32(body + OpenedBody.irs, true);
      const known = this.#byId.get(conn);
      if (known !== undefined) {
        known.irs = irs;
        return;
      }
      const stream = { irs, received: 0, fin: false };
      const ports =
        view.getUint16(body + OpenedBody.localPort, true) * 65_536 + view.getUint16(body + OpenedBody.remotePort, true);
      this.#byId.set(conn, stream);
      this.#byPorts.set(ports, stream);
      return;
    }
    const stream = this.#byId.get(conn);
    if (stream === undefined) return;
    if (type === RecordType.Received) stream.received += view.getUint32(body + ReceivedBody.length, true);
    else if (type === RecordType.PeerFin) stream.fin = true;
    else if (type === RecordType.Placed) {
      // All of it is told again, to a replica that joins.
      stream.received = view.getFloat64(body + PlacedBody.rcvNxt, true) - 1;
      stream.fin = false;
    } else if (type === RecordType.Removed) this.#byId.delete(conn);
  }

  /** A server acknowledges. @returns by how much it is beyond what the log has; 0 or less is right. */
  beyond(localPort: number, remotePort: number, ack: number): number {
    this.advance();
    // The log has no reader, and no room: there is nobody who could go on.
    if (this.#words[Word.historyLost] === 1 && this.#words[Word.readerState] !== ReaderState.Live) return 0;
    const stream = this.#byPorts.get(localPort * 65_536 + remotePort);
    if (stream === undefined || stream.irs === 0) return 0;
    return ((ack - stream.irs) | 0) - 1 - stream.received - (stream.fin ? 1 : 0);
  }
}
