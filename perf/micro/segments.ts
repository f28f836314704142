/**
 * Segments through the stack: one in (with the ACKs that it causes), one out (and its ACK in), over
 * a device that is none.
 */
import { finish, fold, pseudoSum4, sum16 } from '../../lib/checksum.js';
import { ManualClock } from '../../lib/clock.js';
import type { DeviceHandler, FrameDevice } from '../../lib/device/device.js';
import { RX_CSUM_OK, type RxBatch } from '../../lib/device/rx-batch.js';
import { writeArp } from '../../lib/packet/arp.js';
import { writeEthernet } from '../../lib/packet/ethernet.js';
import { type Ipv4Fields, writeIpv4 } from '../../lib/packet/ipv4.js';
import { TCP_ACK, TCP_SYN, type TcpFields, writeTcpHeader } from '../../lib/packet/tcp.js';
import { SeededRandom } from '../../lib/random.js';
import { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { readFirst, receive, send } from '../../stack/tcp/user-calls.js';

const STACK = 0x0a000002;
const PEER = 0x0a000001;
const STACK_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const PAYLOAD = 1448;

/** Discards all frames. */
class NullDevice implements FrameDevice {
  readonly link = 'ethernet' as const;
  readonly mtu = 1500;
  readonly capabilities = { checksum: true, tso4: true, tso6: true };
  handler!: DeviceHandler;
  start(handler: DeviceHandler): void {
    this.handler = handler;
  }
  send(): boolean {
    return true;
  }
  pause(): void {}
  resume(): void {}
  close(): void {}
}

class Bench {
  readonly clock = new ManualClock(1e6);
  readonly device = new NullDevice();
  readonly stack = new Stack({ clock: this.clock, random: new SeededRandom(3) });
  readonly bytes = new Uint8Array(54 + PAYLOAD);
  readonly view = new DataView(this.bytes.buffer);
  batch: RxBatch = { bytes: this.bytes, view: this.view, meta: new Int32Array(4), count: 1 };
  conn!: TcpConnection;
  /** One object for all segments: the peer's headers must not count as allocated by the stack. */
  readonly #ip: Ipv4Fields = {
    tos: 0,
    totalLength: 0,
    id: 1,
    fragment: 0x4000,
    ttl: 64,
    protocol: 6,
    src: PEER,
    dst: STACK,
  };
  readonly #tcp: TcpFields = {
    srcPort: 40_000,
    dstPort: 80,
    seq: 0,
    ack: 0,
    flags: 0,
    window: 65_535,
    urgent: 0,
    headerLength: 20,
  };

  constructor() {
    this.stack.addInterface(this.device, { addresses: ['10.0.0.2/24'], mac: '02:00:00:00:00:02' });
    writeEthernet(this.bytes, 0, STACK_MAC, PEER_MAC, 0x0806);
    writeArp(this.bytes, this.view, 14, {
      op: 1,
      senderMac: PEER_MAC,
      senderIp: PEER,
      targetMac: null,
      targetIp: STACK,
    });
    this.#arrive(42);
    this.stack.tcp.listen(0, 80, 10, (conn) => {
      this.conn = conn;
    });
    this.segment(TCP_SYN, 0, 0, 0);
    let iss = 0;
    this.stack.tcp.table.forEach((conn) => {
      iss = conn.iss;
    });
    this.segment(TCP_ACK, 1, iss + 1, 0);
  }

  /** A segment from the peer. */
  segment(flags: number, seq: number, ack: number, length: number): void {
    const { bytes, view } = this;
    writeEthernet(bytes, 0, STACK_MAC, PEER_MAC, 0x0800);
    this.#ip.totalLength = 40 + length;
    writeIpv4(bytes, view, 14, this.#ip);
    const fields = this.#tcp;
    fields.seq = seq >>> 0;
    fields.ack = ack >>> 0;
    fields.flags = flags;
    writeTcpHeader(bytes, view, 34, fields);
    if (length === 0) {
      view.setUint16(50, finish(sum16(bytes, 34, 20, fold(pseudoSum4(PEER, STACK, 6, 20)))));
    }
    this.#arrive(54 + length);
  }

  #arrive(length: number): void {
    const { meta } = this.batch;
    meta[0] = 0;
    meta[1] = length;
    meta[2] = RX_CSUM_OK;
    meta[3] = 0;
    this.clock.advance(10);
    this.device.handler.onFrames(this.batch);
    this.stack.flush();
  }
}

export function segmentOperations(): Record<string, () => void> {
  const inward = new Bench();
  let seq = 1;
  // As of a device that lends its memory, to a program that only looks.
  const looked = new Bench();
  looked.batch = { ...looked.batch, lender: { borrow: () => undefined } };
  looked.conn.peeked = true;
  let lookedSeq = 1;
  const outward = new Bench();
  const data = Buffer.alloc(PAYLOAD);
  const { conn } = outward;
  return {
    'segment in: 1448 bytes, read at once': () => {
      inward.segment(TCP_ACK, seq, (inward.conn.iss + 1) >>> 0, PAYLOAD);
      seq = (seq + PAYLOAD) >>> 0;
      receive(inward.conn);
    },
    'segment in, looked at: 1448 bytes, where they are': () => {
      looked.segment(TCP_ACK, lookedSeq, (looked.conn.iss + 1) >>> 0, PAYLOAD);
      lookedSeq = (lookedSeq + PAYLOAD) >>> 0;
      readFirst(looked.conn);
    },
    'segment out: 1448 bytes, acknowledged at once': () => {
      send(conn, data);
      outward.stack.flush();
      outward.segment(TCP_ACK, 1, (conn.iss + conn.sndNxt) >>> 0, 0);
    },
  };
}
