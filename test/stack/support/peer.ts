/**
 * A peer that a test moves by hand: it sends the segments it is told to and shows what the stack
 * answered.
 */
import { finish, fold, pseudoSum4, sum16 } from '../../../lib/checksum.js';
import { ManualClock } from '../../../lib/clock.js';
import { MemoryLink } from '../../../lib/device/emulation/memory.js';
import { ARP_REPLY, ArpView, writeArp } from '../../../lib/packet/arp.js';
import { writeEthernet } from '../../../lib/packet/ethernet.js';
import { Ipv4View, writeIpv4 } from '../../../lib/packet/ipv4.js';
import {
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  TcpView,
  writeTcpHeader,
} from '../../../lib/packet/tcp.js';
import { SeededRandom } from '../../../lib/random.js';
import type { StreamEndpoint, StreamEvents } from '../../../stack/core/endpoint.js';
import { Stack } from '../../../stack/stack.js';
import { StackHost } from '../../../stack/stack-host.js';
import type { TcpOptions } from '../../../stack/tcp/tcp.js';

export const STACK_IP = 0x0a000002;
export const PEER_IP = 0x0a000001;
const STACK_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** A segment from the stack. */
export interface Seen {
  flags: string;
  seq: number;
  ack: number;
  window: number;
  length: number;
  data: string;
  mss: number;
  windowScale: number;
  sackPermitted: boolean;
  tsPresent: boolean;
  tsVal: number;
  tsEcr: number;
  sacks: number[];
  srcPort: number;
  dstPort: number;
  atUs: number;
}

export interface Send {
  flags: string;
  seq: number;
  ack?: number;
  window?: number;
  data?: string | Uint8Array;
  /** TCP options, padded to a multiple of 4 by the caller. */
  options?: number[];
  srcPort?: number;
  dstPort?: number;
  /** Urgent pointer. */
  urgent?: number;
}

const FLAGS: [string, number][] = [
  ['S', TCP_SYN],
  ['A', TCP_ACK],
  ['F', TCP_FIN],
  ['R', TCP_RST],
  ['P', TCP_PSH],
  ['U', TCP_URG],
];

function flagBits(text: string): number {
  return FLAGS.reduce((sum, [name, bit]) => (text.includes(name) ? sum | bit : sum), 0);
}

/** The application's end, which takes everything down. */
export class AppSocket implements StreamEvents {
  readonly log: string[] = [];
  data = '';
  constructor(readonly endpoint: StreamEndpoint) {
    endpoint.events = this;
    endpoint.setReading(true);
  }
  onConnect(): void {
    this.log.push('connect');
  }
  onData(chunk: Buffer): void {
    this.data += chunk.toString('latin1');
  }
  onEnd(): void {
    this.log.push('end');
  }
  onSpace(acked: number): void {
    this.log.push(`space ${acked}`);
  }
  onClose(code: string | null): void {
    this.log.push(`close ${code}`);
  }
}

export class Peer {
  readonly clock = new ManualClock(5_000_000);
  readonly link: MemoryLink;
  readonly stack: Stack;
  readonly host: StackHost;
  /** Segments from the stack that were not looked at yet. */
  readonly seen: Seen[] = [];
  /** Other frames from the stack: ARP and ICMP, whole. */
  readonly others: Uint8Array[] = [];
  readonly accepted: AppSocket[] = [];
  answerArp = true;
  port = 40_000;
  #id = 1;

  constructor(tcp: Partial<TcpOptions> = {}) {
    const random = new SeededRandom('peer');
    this.link = new MemoryLink({ clock: this.clock, random });
    this.stack = new Stack({ clock: this.clock, random, tcp });
    this.link.a.start({
      onFrames: (batch) => this.#frame(batch.bytes, batch.view, batch.meta[1]),
      onWritable: () => undefined,
    });
    this.stack.addInterface(this.link.b, { addresses: ['10.0.0.2/24'], mac: '02:00:00:00:00:02' });
    this.host = new StackHost(this.stack, null);
  }

  listen(port = 80, backlog = 511): void {
    this.host.listen({ port, backlog }, { onConnection: (endpoint) => this.accepted.push(new AppSocket(endpoint)) });
  }

  /** Lets everything happen that happens now. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = this.link.run() > 0;
      while (this.host.turn()) busy = true;
      if (this.link.nextDeadline() <= this.clock.now()) busy = true;
    }
  }

  /** Lets time pass, stopping wherever the stack has something to do. */
  pass(ms: number): void {
    const end = this.clock.now() + ms * 1000;
    for (;;) {
      this.settle();
      const next = Math.min(end, this.stack.nextDeadline(), this.link.nextDeadline());
      if (next >= end) break;
      this.clock.advance(Math.max(1, next - this.clock.now()));
    }
    this.clock.advance(end - this.clock.now());
    this.settle();
  }

  send(segment: Send): void {
    this.queue(segment);
    this.settle();
  }

  /** Puts a segment on the wire that the stack has not looked at yet. */
  queue(segment: Send): void {
    const options = segment.options ?? [];
    const data = typeof segment.data === 'string' ? Buffer.from(segment.data, 'latin1') : (segment.data ?? []);
    const header = 20 + options.length;
    const frame = new Uint8Array(34 + header + data.length);
    const view = new DataView(frame.buffer);
    writeEthernet(frame, 0, STACK_MAC, PEER_MAC, 0x0800);
    writeIpv4(frame, view, 14, {
      tos: 0,
      totalLength: 20 + header + data.length,
      id: this.#id++ & 0xffff,
      fragment: 0x4000,
      ttl: 64,
      protocol: 6,
      src: PEER_IP,
      dst: STACK_IP,
    });
    const [src, dst] = [segment.srcPort ?? this.port, segment.dstPort ?? 80];
    const flags = flagBits(segment.flags);
    writeTcpHeader(frame, view, 34, {
      srcPort: src,
      dstPort: dst,
      seq: segment.seq >>> 0,
      ack: (segment.ack ?? 0) >>> 0,
      flags,
      window: segment.window ?? 65_535,
      urgent: segment.urgent ?? 0,
      headerLength: header,
    });
    frame.set(options, 54);
    frame.set(data, 34 + header);
    const length = header + data.length;
    view.setUint16(50, finish(sum16(frame, 34, length, fold(pseudoSum4(PEER_IP, STACK_IP, 6, length)))));
    this.link.a.inject(frame);
  }

  /** The segments since the last look. */
  take(): Seen[] {
    this.settle();
    return this.seen.splice(0);
  }

  /** The only segment since the last look; throws when there are none or several. */
  one(): Seen {
    const all = this.take();
    if (all.length !== 1)
      throw new Error(`${all.length} segments: ${all.map((s) => `${s.flags} ${s.seq}`).join(', ')}`);
    return all[0];
  }

  /** A three-way handshake. @returns the stack's initial sequence number. */
  open(iss: number, options: number[] = [], window = 65_535): number {
    this.send({ flags: 'S', seq: iss, options, window });
    const answer = this.one();
    if (answer.flags !== 'SA') throw new Error(`answered with ${answer.flags}`);
    // On a connection with timestamps every segment has them (RFC 7323 section 3.2).
    const ts = answer.tsPresent ? options.findIndex((byte, i) => byte === 8 && options[i + 1] === 10) : -1;
    const again = ts < 0 ? [] : [1, 1, ...options.slice(ts, ts + 10)];
    this.send({ flags: 'A', seq: iss + 1, ack: answer.seq + 1, window, options: again });
    return answer.seq;
  }

  #frame(bytes: Uint8Array, view: DataView, length: number): void {
    const type = view.getUint16(12);
    if (type === 0x0806) {
      this.others.push(bytes.slice());
      this.#arp(bytes, view, length);
      return;
    }
    const ip = new Ipv4View();
    if (type !== 0x0800 || ip.parse(bytes, view, 14, length - 14) !== 0) throw new Error('the stack sent nonsense');
    if (ip.protocol !== 6) {
      this.others.push(bytes.slice());
      return;
    }
    const pseudo = fold(pseudoSum4(ip.src, ip.dst, 6, ip.payloadLength));
    if (sum16(bytes, ip.payloadOffset, ip.payloadLength, pseudo) !== 0xffff) throw new Error('wrong checksum');
    const tcp = new TcpView();
    if (tcp.parse(bytes, view, ip.payloadOffset, ip.payloadLength) !== 0) throw new Error('not a segment');
    const data = Buffer.from(bytes.subarray(tcp.payloadOffset, tcp.payloadOffset + tcp.payloadLength));
    this.seen.push({
      flags: FLAGS.filter(([, bit]) => (tcp.flags & bit) !== 0)
        .map(([name]) => name)
        .join(''),
      seq: tcp.seq,
      ack: tcp.ack,
      window: tcp.window,
      length: tcp.payloadLength,
      data: data.toString('latin1'),
      mss: tcp.mss,
      windowScale: tcp.windowScale,
      sackPermitted: tcp.sackPermitted,
      tsPresent: tcp.tsPresent,
      tsVal: tcp.tsVal,
      tsEcr: tcp.tsEcr,
      sacks: Array.from(tcp.sackEdges.subarray(0, 2 * tcp.sackCount)),
      srcPort: tcp.srcPort,
      dstPort: tcp.dstPort,
      atUs: this.clock.now(),
    });
  }

  #arp(bytes: Uint8Array, view: DataView, length: number): void {
    const arp = new ArpView();
    if (arp.parse(bytes, view, 14, length - 14) !== 0 || !this.answerArp || arp.op !== 1 || arp.targetIp !== PEER_IP)
      return;
    const frame = new Uint8Array(42);
    const out = new DataView(frame.buffer);
    writeEthernet(frame, 0, STACK_MAC, PEER_MAC, 0x0806);
    writeArp(frame, out, 14, {
      op: ARP_REPLY,
      senderMac: PEER_MAC,
      senderIp: PEER_IP,
      targetMac: STACK_MAC,
      targetIp: STACK_IP,
    });
    this.link.a.inject(frame);
  }
}
