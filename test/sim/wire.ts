/**
 * What must hold on the wire for every sender: one observer sees every frame between the clients
 * and the replicas, and knows nothing of what goes on inside. The numbers are those of the design's
 * list of invariants.
 *
 *   I1  a byte of a stream has one value, however often and by whom it is sent
 *   I2  an acknowledgement never retreats; I3 nor does the right edge of the window
 *   I4  neither an acknowledgement nor data goes beyond what is stable in the log (audit.ts)
 *   I5  timestamps never run backwards, and echo only what was sent
 *   I6  a handshake has one initial sequence number
 *   I7  no RST for a connection that the program has not aborted; nothing follows a RST
 *   I8  nothing is sent beyond FIN, which stays where it is
 *   I9  a selective acknowledgement is for what was sent, and is not taken back
 *   I10 options and addresses of a connection stay what they were
 *   I11 nothing is sent beyond the peer's window
 */

import { EthernetView } from '../../lib/packet/ethernet.js';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TcpView } from '../../lib/packet/tcp.js';
import type { LogAudit } from './audit.js';

/** One direction of a connection. */
class Half {
  isn = -1;
  /** Other ones that were offered before the client took one. */
  others: number[] = [];
  /** Offsets from the initial sequence number, as far as they have been sent. */
  end = 0;
  dataEnd = 0;
  finAt = -1;
  ack = -1;
  edge = -1;
  tsVal = -1;
  scale = -1;
  timestamps = false;
  reset = false;
  /** Bytes that were sent again, and those that may be. */
  resent = 0;
  mayResend = 0;
  /** The most that was under way at once. */
  flight = 0;
  /** Ranges acknowledged selectively, beyond `ack`. */
  sacked: [number, number][] = [];
  /** Bytes by offset from 1. */
  bytes = new Uint8Array(4096);
  known = new Uint8Array(4096);

  room(end: number): void {
    if (end <= this.bytes.length) return;
    const size = 2 ** Math.ceil(Math.log2(end));
    const grown = new Uint8Array(size);
    grown.set(this.bytes);
    this.bytes = grown;
    const known = new Uint8Array(size);
    known.set(this.known);
    this.known = known;
  }
}

interface Flow {
  client: Half;
  server: Half;
  /** The server's side of the connection before on these ports. */
  former?: Half;
}

/** Streams longer than this are not compared byte by byte. */
const MOST_BYTES = 64 * 1024 * 1024;

export class Wire {
  readonly violations: string[] = [];
  readonly flows = new Map<string, Flow>();
  /** Data bytes from the servers, and those of them that had been sent before. */
  sentBytes = 0;
  /** Which process speaks; and those that have spoken before. */
  #speaker = -1;
  readonly #spoke = new Set<number>();
  resentBytes = 0;
  frames = 0;
  /** When a server last said something, by the clock that is handed in. */
  lastServerUs = 0;
  readonly #eth = new EthernetView();
  readonly #seg = new TcpView();

  constructor(
    readonly nowUs: () => number,
    /** RSTs that the program means to send: only then are they right. */
    readonly mayReset: (port: number) => boolean,
    readonly audit: LogAudit | null = null,
    /** Backlogs are so short that handshakes are answered with and without a cookie. */
    readonly cookies = false,
  ) {}

  /** A process sends a frame. A process that has a successor is silent for good. */
  speaker(process: number): void {
    if (process === this.#speaker) return;
    if (this.#spoke.has(process)) this.#bad('I12', `process ${process} speaks after process ${this.#speaker}`);
    this.#spoke.add(process);
    // A successor may send again what was under way, once: its word of what arrived may be a
    // flight old.
    if (this.#speaker >= 0) for (const { server } of this.flows.values()) server.mayResend += server.flight;
    this.#speaker = process;
  }

  /** A pause has held frames that were sent, while their timers ran. */
  heldFrames = false;

  /**
   * I16: without loss, nothing is sent again but a flight at each takeover or pause. Called at the
   * end.
   */
  judgeResent(): void {
    for (const [key, { server }] of this.flows) {
      const mayResend = server.mayResend + (this.heldFrames ? server.flight : 0);
      if (server.resent > mayResend)
        this.#bad('I16', `${key}: ${server.resent} bytes were sent again, ${mayResend} are a flight per takeover`);
    }
  }

  /** Connections that are over have been judged. */
  forget(): void {
    for (const [key, flow] of this.flows) if (this.#over(flow)) this.flows.delete(key);
  }

  frame(bytes: Uint8Array, fromServer: boolean): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const eth = this.#eth;
    if (eth.parse(bytes, view, 0, bytes.length) !== 0) return;
    let at = eth.payloadOffset;
    let length: number;
    let addresses: string;
    if (eth.etherType === 0x0800) {
      if (bytes[at + 9] !== 6) return;
      const header = (bytes[at] & 15) * 4;
      length = view.getUint16(at + 2) - header;
      const [from, to] = [view.getUint32(at + 12), view.getUint32(at + 16)];
      addresses = fromServer ? `${to} ${from}` : `${from} ${to}`;
      at += header;
    } else if (eth.etherType === 0x86dd) {
      if (bytes[at + 6] !== 6) return;
      length = view.getUint16(at + 4);
      const text = (from: number): string => Buffer.from(bytes.subarray(from, from + 16)).toString('hex');
      addresses = fromServer ? `${text(at + 24)} ${text(at + 8)}` : `${text(at + 8)} ${text(at + 24)}`;
      at += 40;
    } else return;
    const seg = this.#seg;
    if (seg.parse(bytes, view, at, length) !== 0) return;
    this.frames++;
    if (fromServer) this.lastServerUs = this.nowUs();
    const ports = fromServer ? `${seg.dstPort} ${seg.srcPort}` : `${seg.srcPort} ${seg.dstPort}`;
    this.#segment(`${addresses} ${ports}`, seg, bytes, fromServer);
  }

  #segment(key: string, seg: TcpView, bytes: Uint8Array, fromServer: boolean): void {
    let flow = this.flows.get(key);
    const syn = (seg.flags & TCP_SYN) !== 0;
    const opening = syn && (seg.flags & TCP_ACK) === 0;
    const side = fromServer ? 'server' : 'client';
    if (flow === undefined || (opening && flow[side].isn >= 0 && flow[side].isn !== seg.seq && this.#over(flow))) {
      if (!opening) {
        this.#unknownConnection(key, seg, fromServer);
        return;
      }
      // What is left of a former connection on these ports must not be taken for this one's (RFC
      // 9293 section 3.4.1).
      const former = flow?.server;
      flow = { client: new Half(), server: new Half(), ...(former && former.isn >= 0 && { former }) };
      this.flows.set(key, flow);
    }
    const own = flow[side];
    const other = flow[fromServer ? 'client' : 'server'];
    const bad = (rule: string, what: string): void => this.#bad(rule, `${key} ${side}: ${what}`);
    if (own.reset && !(seg.flags & TCP_RST) && fromServer) bad('I7', 'something follows a RST');
    if (syn) {
      if (own.isn >= 0 && own.isn !== seg.seq) {
        // One that is a SYN cookie, and one of a repeated SYN for which there is room by then: the
        // client takes the one that comes first.
        if (fromServer && this.cookies && other.isn >= 0) {
          // It has taken one already: this answers a SYN that was repeated before.
          if (other.ack >= 0) return;
          own.others.push(own.isn);
        } else bad('I6', `two initial sequence numbers, ${own.isn} and ${seg.seq}`);
      }
      const former = fromServer ? flow.former : undefined;
      if (own.isn < 0 && former !== undefined && ((seg.seq - former.isn - former.end) | 0) <= 0)
        bad('I17', `begins at ${seg.seq}, the connection before ended at ${(former.isn + former.end) >>> 0}`);
      own.isn = seg.seq;
      own.end = Math.max(own.end, 1);
      if (seg.windowScale >= 0) {
        if (own.scale >= 0 && own.scale !== seg.windowScale) bad('I10', 'another window scale');
        own.scale = seg.windowScale;
      }
      own.timestamps = seg.tsPresent;
    }
    if ((seg.flags & TCP_RST) !== 0) {
      // A late duplicate for a connection that is over is answered so (RFC 9293 section 3.10.7.1).
      const over = own.finAt >= 0 && other.finAt >= 0 && other.ack > own.finAt;
      if (fromServer && !other.reset && !over && !this.mayReset(seg.srcPort) && !this.mayReset(seg.dstPort))
        bad('I7', 'a RST that nobody has ordered');
      own.reset = true;
      return;
    }
    if (own.isn < 0) return;
    this.#options(own, other, seg, bad);
    if (fromServer && this.audit !== null && (seg.flags & TCP_ACK) !== 0) {
      const beyond = this.audit.beyond(seg.srcPort, seg.dstPort, seg.ack);
      if (beyond > 0) bad('I4', `${beyond} bytes are acknowledged that the log does not have`);
    }
    if (!fromServer && !syn && own.ack < 0 && other.others.includes((seg.ack - 1) >>> 0))
      other.isn = (seg.ack - 1) >>> 0;
    if ((seg.flags & TCP_ACK) !== 0 && other.isn >= 0) this.#acknowledgement(own, other, seg, syn, bad);
    this.#data(own, other, { seg, bytes, fromServer }, bad);
  }

  #options(own: Half, other: Half, seg: TcpView, bad: (rule: string, what: string) => void): void {
    if (!own.timestamps || !other.timestamps) return;
    if (!seg.tsPresent) {
      bad('I10', 'no timestamp, though they were agreed on');
      return;
    }
    if (own.tsVal >= 0 && ((seg.tsVal - own.tsVal) | 0) < 0)
      bad('I5', `the timestamp ran backwards by ${(own.tsVal - seg.tsVal) | 0}`);
    own.tsVal = seg.tsVal;
    if (seg.tsEcr !== 0 && other.tsVal >= 0 && ((seg.tsEcr - other.tsVal) | 0) > 0)
      bad('I5', 'a timestamp is echoed that was not sent');
  }

  #acknowledgement(
    own: Half,
    other: Half,
    seg: TcpView,
    syn: boolean,
    bad: (rule: string, what: string) => void,
  ): void {
    const ack = (seg.ack - other.isn) | 0;
    if (ack > other.end) bad('I2', `${ack} is acknowledged, ${other.end} was sent`);
    if (ack < own.ack) bad('I2', `the acknowledgement retreated from ${own.ack} to ${ack}`);
    own.ack = Math.max(own.ack, ack);
    const scale = syn || own.scale < 0 || other.scale < 0 ? 0 : own.scale;
    const edge = ack + seg.window * 2 ** scale;
    // The scale's granularity is no retreat.
    if (edge < own.edge - 2 ** scale) bad('I3', `the right edge retreated from ${own.edge} to ${edge}`);
    own.edge = Math.max(own.edge, edge);
    for (const [start, end] of own.sacked)
      if (ack >= start && ack < end)
        bad('I9', `${ack} is acknowledged, though ${start} to ${end} had been, selectively`);
    own.sacked = own.sacked.filter(([, end]) => end > ack);
    for (let i = 0; i < seg.sackCount; i++) {
      const start = (seg.sackEdges[2 * i] - other.isn) | 0;
      const end = (seg.sackEdges[2 * i + 1] - other.isn) | 0;
      // The first may tell of a duplicate (RFC 2883).
      if (start > ack && own.sacked.length < 1000) own.sacked.push([start, end]);
      if (end > other.end) bad('I9', `${end} is acknowledged selectively, ${other.end} was sent`);
    }
  }

  #data(
    own: Half,
    other: Half,
    { seg, bytes, fromServer }: { seg: TcpView; bytes: Uint8Array; fromServer: boolean },
    bad: (rule: string, what: string) => void,
  ): void {
    const start = ((seg.seq - own.isn) | 0) + ((seg.flags & TCP_SYN) !== 0 ? 1 : 0);
    const length = seg.payloadLength;
    const end = start + length;
    if (own.finAt >= 0 && length > 0 && end > own.finAt) bad('I8', `data up to ${end}, behind FIN at ${own.finAt}`);
    if ((seg.flags & TCP_FIN) !== 0) {
      if (own.finAt >= 0 && own.finAt !== end) bad('I8', `FIN at ${end}, once at ${own.finAt}`);
      if (end < own.dataEnd) bad('I8', `FIN at ${end}, before data up to ${own.dataEnd}`);
      own.finAt = end;
    }
    // Byte 1 beyond a window of zero is a probe.
    if (length > 1 && other.edge >= 0 && end > other.edge + 1)
      bad('I11', `data up to ${end}, the window ends at ${other.edge}`);
    if (fromServer) {
      this.sentBytes += length;
      const again = Math.max(0, Math.min(own.dataEnd, end) - start);
      this.resentBytes += again;
      own.resent += again;
    }
    if (end < MOST_BYTES && length > 0 && start >= 0) {
      own.room(end);
      for (let i = 0; i < length; i++) {
        const value = bytes[seg.payloadOffset + i];
        if (own.known[start + i] === 1 && own.bytes[start + i] !== value) {
          bad('I1', `byte ${start + i} was ${own.bytes[start + i]}, is ${value}`);
          break;
        }
        own.bytes[start + i] = value;
        own.known[start + i] = 1;
      }
    }
    if (fromServer && this.audit !== null && length > 0) {
      const ahead = this.audit.ahead(seg.srcPort, seg.dstPort, end - 1);
      if (ahead > 0) bad('I4', `${ahead} bytes are sent that the log does not have`);
    }
    if (length > 0) own.dataEnd = Math.max(own.dataEnd, end);
    own.end = Math.max(own.end, end + ((seg.flags & TCP_FIN) !== 0 ? 1 : 0));
    own.flight = Math.max(own.flight, own.dataEnd - Math.max(1, other.ack));
  }

  #unknownConnection(key: string, seg: TcpView, fromServer: boolean): void {
    if (fromServer && (seg.flags & TCP_RST) === 0) this.#bad('I6', `${key}: the server speaks first`);
  }

  /** Both sides have said FIN, or one RST: a new connection may have the same ports. */
  #over(flow: Flow): boolean {
    const { client, server } = flow;
    return client.reset || server.reset || (client.finAt >= 0 && server.finAt >= 0);
  }

  #bad(rule: string, what: string): void {
    if (this.violations.length < 20) this.violations.push(`${rule}: ${what} (at ${this.nowUs()} us)`);
  }
}
