/**
 * Records of connections, applied to the connections of a backup: changes of the stack, and what a
 * program did that no backup repeats (state mode).
 */

import type { TcpConnection } from '../../stack/tcp/connection.js';
import { setMarksWord } from '../../stack/tcp/loss/ecn.js';
import { TcpState } from '../../stack/tcp/state.js';
import * as calls from '../../stack/tcp/user-calls.js';
import type { UnclaimedConnections } from '../connections/checkpoint/unclaimed-connections.js';
import {
  AckedBody,
  Closing,
  ClosingBody,
  ContextBody,
  OutOfOrderBody,
  PairedBody,
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

/** What the records need of the replayer. */
export interface RecordsHost {
  readonly host: ReplayHost;
  /** Connections that are kept without a program. */
  readonly kept: UnclaimedConnections;
  readonly borrowedLog: BorrowedLog;
  /** Whether a connection is kept without a program, instead of being replayed. */
  keepsState(conn: number): boolean;
}

/** Applies records of connections. A record whose connection is not here has no effect. */
export class ConnectionRecords {
  readonly #replayer: RecordsHost;

  constructor(replayer: RecordsHost) {
    this.#replayer = replayer;
  }

  /** Applies the reader's record, whose body is `at`; one of another kind has no effect. */
  apply(reader: RingReader, at: number): void {
    const { host } = this.#replayer;
    if (reader.type === RecordType.TimeWait) {
      this.#timeWait(reader, at);
      return;
    }
    const conn = host.stack.tcp.byId.get(reader.conn);
    if (conn === undefined) return;
    switch (reader.type) {
      case RecordType.Established:
        this.#established(conn);
        return;
      case RecordType.Received:
        this.#received(conn, reader, at);
        return;
      case RecordType.OutOfOrder:
        this.#outOfOrder(conn, reader, at);
        return;
      case RecordType.Wrote:
      case RecordType.Closing:
      case RecordType.Context:
        if (this.#replayer.keepsState(conn.id)) this.#shipped(conn, reader, at);
        return;
      case RecordType.Placed:
        this.#placed(conn, reader, at);
        return;
      case RecordType.Sent:
        this.#sent(conn, reader, at);
        return;
      case RecordType.Paired:
        this.#paired(conn, reader, at);
        return;
      case RecordType.PeerFin:
        this.#peerFin(conn);
        return;
      case RecordType.Acked:
        this.#acked(conn, reader, at);
        return;
      default:
    }
  }

  #established(conn: TcpConnection): void {
    if (conn.established) return;
    conn.state = TcpState.Established;
    conn.established = true;
    conn.sndUna = 1;
    conn.sndNxt = 1;
    conn.tcp.connectionEstablished(conn);
    if (conn.finQueued) conn.enterFinState();
  }

  #received(conn: TcpConnection, { ring }: RingReader, at: number): void {
    const length = ReceivedBody.length.get(ring.view, at);
    this.#replayer.borrowedLog.enqueue(conn, at + ReceivedBody.size, length);
    conn.rcvNxt += length;
    conn.reassembly.dropBelow(conn.rcvNxt);
    setMarksWord(conn, ReceivedBody.marks.get(ring.view, at));
    conn.lastReceiveUs = this.#replayer.host.stack.clock.now();
    conn.user?.onProgress(conn);
  }

  #paired(client: TcpConnection, { ring }: RingReader, at: number): void {
    const { stack } = this.#replayer.host;
    const server = stack.tcp.byId.get(PairedBody.server.get(ring.view, at));
    if (server === undefined) return;
    stack.relays.pair(client, server, {
      client: PairedBody.clientFrom.get(ring.view, at),
      server: PairedBody.serverFrom.get(ring.view, at),
    });
  }

  #outOfOrder(conn: TcpConnection, { ring }: RingReader, at: number): void {
    const start = OutOfOrderBody.start.get(ring.view, at);
    const length = OutOfOrderBody.length.get(ring.view, at);
    conn.reassembly.insert(start, ring.bytes, at + OutOfOrderBody.size, length);
  }

  #sent(conn: TcpConnection, { ring }: RingReader, at: number): void {
    const { view } = ring;
    conn.inheritedSndNxt = SentBody.sndNxt.get(view, at);
    conn.cc.cwnd = SentBody.cwnd.get(view, at);
    conn.cc.ssthresh = SentBody.ssthresh.get(view, at);
    conn.rtt.srttUs = SentBody.srttUs.get(view, at);
    conn.rtt.rttvarUs = SentBody.rttvarUs.get(view, at);
  }

  #peerFin(conn: TcpConnection): void {
    if (conn.peerFin) return;
    conn.rcvNxt += 1;
    conn.peerFin = true;
    if (conn.state === TcpState.Established) conn.state = TcpState.CloseWait;
    else if (conn.state === TcpState.FinWait1) conn.state = TcpState.Closing;
    conn.user?.onProgress(conn);
  }

  #placed(conn: TcpConnection, reader: RingReader, at: number): void {
    const { kept } = this.#replayer;
    const { view } = reader.ring;
    const start = PlacedBody.sendStart.get(view, at);
    conn.sendBuffer.load(start, new Uint8Array(0));
    conn.sndUna = start + 1;
    conn.sndNxt = conn.sndUna;
    conn.rcvNxt = PlacedBody.rcvNxt.get(view, at);
    conn.sndWnd = PlacedBody.sndWnd.get(view, at);
    if (this.#replayer.keepsState(conn.id)) kept.of(conn.id).accepted = PlacedBody.accepted.get(view, at) === 1;
  }

  /** What the program wrote, closed or saved (state mode). */
  #shipped(conn: TcpConnection, reader: RingReader, at: number): void {
    const { kept } = this.#replayer;
    const { view, bytes } = reader.ring;
    switch (reader.type) {
      case RecordType.Wrote: {
        const from = at + WroteBody.size;
        calls.send(conn, bytes.slice(from, from + WroteBody.length.get(view, at)));
        return;
      }
      case RecordType.Closing: {
        const what = ClosingBody.what.get(view, at);
        if (what === Closing.Shutdown) calls.shutdown(conn);
        else if (what === Closing.Close) calls.close(conn);
        else calls.abort(conn);
        return;
      }
      default: {
        const from = at + ContextBody.size;
        const length = ContextBody.length.get(view, at);
        kept.of(conn.id).context = length === 0 ? null : bytes.slice(from, from + length);
      }
    }
  }

  #acked(conn: TcpConnection, reader: RingReader, at: number): void {
    const { host } = this.#replayer;
    const { view } = reader.ring;
    const sndUna = AckedBody.sndUna.get(view, at);
    if (sndUna > conn.sndLimit) {
      host.diverged(
        `connection ${conn.id}: the client acknowledged ${sndUna - conn.sndLimit} bytes that this replica's program has not written`,
      );
      return;
    }
    conn.sndWnd = AckedBody.sndWnd.get(view, at);
    if (conn.sndWnd > conn.maxSndWnd) conn.maxSndWnd = conn.sndWnd;
    conn.sndWl1 = AckedBody.sndWl1.get(view, at);
    conn.rtt.srttUs = AckedBody.srttUs.get(view, at);
    conn.rtt.rttvarUs = conn.rtt.srttUs / 2;
    conn.tsRecent = AckedBody.tsRecent.get(view, at);
    conn.tsRecentAtUs = host.stack.now();
    conn.sndWl2 = sndUna - AckedBody.sndWl2Lag.get(view, at);
    if (sndUna <= conn.sndUna) return;
    conn.sndUna = sndUna;
    if (conn.sndNxt < sndUna) conn.sndNxt = sndUna;
    conn.sendBuffer.releaseTo(Math.min(sndUna - 1, conn.sendBuffer.end));
    if (conn.state === TcpState.FinWait1 && conn.finQueued && sndUna === conn.sndEnd + 1)
      conn.state = TcpState.FinWait2;
    conn.user?.onProgress(conn);
  }

  #timeWait(reader: RingReader, at: number): void {
    const { host } = this.#replayer;
    const { view, bytes } = reader.ring;
    const B = TimeWaitBody;
    const localAddress = host.stack.book.fromBytes(bytes, at + B.localAddress.offset);
    const remoteAddress = host.stack.book.fromBytes(bytes, at + B.remoteAddress.offset);
    const localPort = B.localPort.get(view, at);
    const remotePort = B.remotePort.get(view, at);
    host.stack.tcp.timeWaits.add({
      localAddress,
      remoteAddress,
      localPort,
      remotePort,
      sndNxt: B.sndNxt.get(view, at),
      rcvNxt: B.rcvNxt.get(view, at),
      tsOk: B.tsOk.get(view, at) === 1,
      tsRecent: B.tsRecent.get(view, at),
      tsOffset: B.tsOffset.get(view, at),
      rcvWindow: B.rcvWindow.get(view, at),
      expiresUs: host.time.nowUs() + B.lifeUs.get(view, at),
    });
  }
}
