/** What the log says of connections, applied to a backup's own: the stack's changes, and what a program that is not repeated did. */
import { setMarksWord } from '../../stack/tcp/loss/ecn.js';
import { TcpState } from '../../stack/tcp/state.js';
import * as calls from '../../stack/tcp/user-calls.js';
import type { UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import {
  AckedBody,
  Closing,
  ClosingBody,
  ContextBody,
  OutOfOrderBody,
  PlacedBody,
  ReceivedBody,
  RecordType,
  SentBody,
  TimeWaitBody,
  WroteBody,
} from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { BorrowedLog } from './borrowed-log.js';
import type { ReplayHost } from './replay-host.js';

/** Whose they are. */
export interface Keeping {
  readonly host: ReplayHost;
  readonly kept: UnclaimedConnections;
  readonly lent: BorrowedLog;
  keeps(conn: number): boolean;
}

export class ConnectionRecords {
  readonly #keeping: Keeping;

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
  }

  /** Applies the reader's record, whose body is `at`; one of another kind has no effect. */
  apply(reader: RingReader, at: number): void {
    const { host } = this.#keeping;
    const { tcp } = host.stack;
    const { view } = reader.ring;
    switch (reader.type) {
      case RecordType.Established: {
        const conn = tcp.byId.get(reader.conn);
        if (conn === undefined || conn.established) return;
        conn.state = TcpState.Established;
        conn.established = true;
        conn.sndUna = 1;
        conn.sndNxt = 1;
        tcp.connectionEstablished(conn);
        if (conn.finQueued) conn.enterFinState();
        return;
      }
      case RecordType.Received: {
        const conn = tcp.byId.get(reader.conn);
        if (conn === undefined) return;
        const length = view.getUint32(at + ReceivedBody.length, true);
        this.#keeping.lent.enqueue(conn, at + ReceivedBody.size, length);
        conn.rcvNxt += length;
        conn.reassembly.dropBelow(conn.rcvNxt);
        setMarksWord(conn, view.getUint32(at + ReceivedBody.marks, true));
        conn.lastReceiveUs = host.stack.clock.now();
        return;
      }
      case RecordType.OutOfOrder: {
        const conn = tcp.byId.get(reader.conn);
        if (conn === undefined) return;
        const length = view.getUint32(at + OutOfOrderBody.length, true);
        conn.reassembly.insert(
          view.getFloat64(at + OutOfOrderBody.start, true),
          reader.ring.bytes,
          at + OutOfOrderBody.size,
          length,
        );
        return;
      }
      case RecordType.Wrote:
      case RecordType.Closing:
      case RecordType.Context:
        if (this.#keeping.keeps(reader.conn)) this.#state(reader, at);
        return;
      case RecordType.Placed:
        this.#placed(reader, at);
        return;
      case RecordType.Sent: {
        const conn = tcp.byId.get(reader.conn);
        if (conn === undefined) return;
        conn.inheritedSndNxt = view.getFloat64(at + SentBody.sndNxt, true);
        conn.cc.cwnd = view.getFloat64(at + SentBody.cwnd, true);
        conn.cc.ssthresh = view.getFloat64(at + SentBody.ssthresh, true);
        conn.rtt.srttUs = view.getFloat64(at + SentBody.srttUs, true);
        conn.rtt.rttvarUs = view.getFloat64(at + SentBody.rttvarUs, true);
        return;
      }
      case RecordType.PeerFin: {
        const conn = tcp.byId.get(reader.conn);
        if (conn === undefined || conn.peerFin) return;
        conn.rcvNxt += 1;
        conn.peerFin = true;
        if (conn.state === TcpState.Established) conn.state = TcpState.CloseWait;
        else if (conn.state === TcpState.FinWait1) conn.state = TcpState.Closing;
        return;
      }
      case RecordType.Acked:
        this.#acked(reader, at);
        return;
      case RecordType.TimeWait:
        this.#timeWait(reader, at);
        return;
      default:
    }
  }

  #placed(reader: RingReader, at: number): void {
    const { host, kept } = this.#keeping;
    const { view } = reader.ring;
    const conn = host.stack.tcp.byId.get(reader.conn);
    if (conn === undefined) return;
    const start = view.getFloat64(at + PlacedBody.sendStart, true);
    conn.sendBuffer.load(start, new Uint8Array(0));
    conn.sndUna = start + 1;
    conn.sndNxt = conn.sndUna;
    conn.rcvNxt = view.getFloat64(at + PlacedBody.rcvNxt, true);
    conn.sndWnd = view.getFloat64(at + PlacedBody.sndWnd, true);
    if (this.#keeping.keeps(conn.id)) kept.of(conn.id).accepted = view.getUint32(at + PlacedBody.accepted, true) === 1;
  }

  #state(reader: RingReader, at: number): void {
    const { host, kept } = this.#keeping;
    const { view, bytes } = reader.ring;
    const conn = host.stack.tcp.byId.get(reader.conn);
    if (conn === undefined) return;
    switch (reader.type) {
      case RecordType.Wrote: {
        const from = at + WroteBody.size;
        calls.send(conn, bytes.slice(from, from + view.getUint32(at + WroteBody.length, true)));
        return;
      }
      case RecordType.Closing: {
        const what = view.getUint32(at + ClosingBody.what, true);
        if (what === Closing.Shutdown) calls.shutdown(conn);
        else if (what === Closing.Close) calls.close(conn);
        else calls.abort(conn);
        return;
      }
      default: {
        const from = at + ContextBody.size;
        const length = view.getUint32(at + ContextBody.length, true);
        kept.of(conn.id).context = length === 0 ? null : bytes.slice(from, from + length);
      }
    }
  }

  #acked(reader: RingReader, at: number): void {
    const { host } = this.#keeping;
    const { view } = reader.ring;
    const conn = host.stack.tcp.byId.get(reader.conn);
    if (conn === undefined) return;
    const sndUna = view.getFloat64(at + AckedBody.sndUna, true);
    if (sndUna > conn.sndLimit) {
      host.diverged(
        `connection ${conn.id}: the client acknowledged ${sndUna - conn.sndLimit} bytes that this replica's program has not written`,
      );
      return;
    }
    conn.sndWnd = view.getFloat64(at + AckedBody.sndWnd, true);
    if (conn.sndWnd > conn.maxSndWnd) conn.maxSndWnd = conn.sndWnd;
    conn.sndWl1 = view.getFloat64(at + AckedBody.sndWl1, true);
    conn.rtt.srttUs = view.getFloat64(at + AckedBody.srttUs, true);
    conn.rtt.rttvarUs = conn.rtt.srttUs / 2;
    conn.tsRecent = view.getUint32(at + AckedBody.tsRecent, true);
    conn.tsRecentAtUs = host.stack.now();
    conn.sndWl2 = sndUna - view.getUint32(at + AckedBody.sndWl2Lag, true);
    if (sndUna <= conn.sndUna) return;
    conn.sndUna = sndUna;
    if (conn.sndNxt < sndUna) conn.sndNxt = sndUna;
    conn.sendBuffer.releaseTo(Math.min(sndUna - 1, conn.sendBuffer.end));
    if (conn.state === TcpState.FinWait1 && conn.finQueued && sndUna === conn.sndEnd + 1)
      conn.state = TcpState.FinWait2;
  }

  #timeWait(reader: RingReader, at: number): void {
    const { host } = this.#keeping;
    const { view, bytes } = reader.ring;
    const B = TimeWaitBody;
    const localAddress = host.stack.book.fromBytes(bytes, at + B.localAddress);
    const remoteAddress = host.stack.book.fromBytes(bytes, at + B.remoteAddress);
    const localPort = view.getUint16(at + B.localPort, true);
    const remotePort = view.getUint16(at + B.remotePort, true);
    host.stack.tcp.timeWaits.add({
      localAddress,
      remoteAddress,
      localPort,
      remotePort,
      sndNxt: view.getUint32(at + B.sndNxt, true),
      rcvNxt: view.getUint32(at + B.rcvNxt, true),
      tsOk: view.getUint32(at + B.tsOk, true) === 1,
      tsRecent: view.getUint32(at + B.tsRecent, true),
      tsOffset: view.getUint32(at + B.tsOffset, true),
      rcvWindow: view.getUint32(at + B.rcvWindow, true),
      expiresUs: host.time.nowUs() + view.getFloat64(at + B.lifeUs, true),
    });
  }
}
