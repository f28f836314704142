/**
 * An impaired path in front of a real device: loss, duplication, reordering, delay, jitter, a
 * bottleneck with a bounded queue, each way of its own and from a seed. What offload has merged is
 * cut into the segments of the wire first, so that misfortune meets segments, as it does on a real
 * path.
 *
 * It works in real time: only the decisions repeat with the seed, not the moments.
 */
import { finish, sum16 } from '../../lib/checksum.js';
import type { Clock } from '../../lib/clock.js';
import {
  type DeviceCapabilities,
  type DeviceHandler,
  type FrameDevice,
  TX_HEADROOM,
  TxFrame,
} from '../../lib/device/device.js';
import { ImpairedDirection, type Impairment, type ImpairmentCounters } from '../../lib/device/emulation/impairment.js';
import { copyFrame } from '../../lib/device/frame-copy.js';
import { RX_CSUM_OK, RX_META_WORDS, type RxBatch } from '../../lib/device/rx-batch.js';
import { RxSlab, SLOT_BYTES, slabBytes } from '../../lib/device/rx-slab.js';
import { completeChecksum, segmentTcp } from '../../lib/device/segment.js';
import type { Random } from '../../lib/random.js';

/**
 * What a frame may meet. Bits are not changed here: that is for virtual time, where checksums are
 * never left to a device.
 */
export type PathImpairment = Omit<Impairment, 'corrupt'> & {
  /**
   * Bytes in the queue from which on packets that can be are marked instead of dropped (RFC 3168).
   */
  markBytes?: number;
};

interface ImpairOptions {
  clock: Clock;
  random: Random;
  /** From the device to the stack. */
  inbound: PathImpairment;
  /** From the stack to the device. */
  outbound: PathImpairment;
}

/** What frames have met on one direction. */
export interface PathCounters extends ImpairmentCounters {
  frames: number;
  /** Segments that came out of super-segments. */
  segmented: number;
  /** Marked: congestion experienced. */
  marked: number;
}

interface Waiting {
  atUs: number;
  order: number;
  frame: Uint8Array;
  flags: number;
}

/** Frames that wait each way at most. */
const MAX_WAITING = 16_384;
const SLOTS = 64;
const ETHERNET_HEADER = 14;

/** One direction: decides what becomes of a frame, and when. */
export class Path {
  readonly counters: PathCounters = {
    frames: 0,
    segmented: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
    overflowed: 0,
    marked: 0,
  };
  /** Latest first: the next frame is taken from the end. */
  readonly #waiting: Waiting[] = [];
  readonly #direction: ImpairedDirection;
  #order = 0;

  constructor(
    readonly clock: Clock,
    random: Random,
    readonly impairment: PathImpairment,
    readonly ipAt: number,
  ) {
    this.#direction = new ImpairedDirection(impairment, random, this.counters);
  }

  nextUs(): number {
    return this.#waiting.at(-1)?.atUs ?? Number.POSITIVE_INFINITY;
  }

  /** The next frame if it is due. */
  peek(now: number): Waiting | undefined {
    const next = this.#waiting.at(-1);
    return next !== undefined && next.atUs <= now ? next : undefined;
  }

  shift(): void {
    this.#waiting.pop();
  }

  take(frame: Uint8Array, flags: number): void {
    const { counters } = this;
    const { markBytes } = this.impairment;
    const direction = this.#direction;
    counters.frames++;
    if (direction.isLost()) return;
    const now = this.clock.now();
    const queuedBytes = direction.queuedBytes(now);
    const passedUs = direction.departure(now, frame.length, this.#waiting.length >= MAX_WAITING);
    if (passedUs < 0) return;
    if (markBytes !== undefined && queuedBytes > markBytes && mark(frame, this.ipAt)) counters.marked++;
    const atUs = direction.arrival(passedUs);
    this.#insert({ atUs, order: this.#order++, frame, flags });
    if (direction.isDuplicated()) this.#insert({ atUs, order: this.#order++, frame, flags });
  }

  #insert(entry: Waiting): void {
    const waiting = this.#waiting;
    let low = 0;
    let high = waiting.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = waiting[middle];
      if (other.atUs > entry.atUs || (other.atUs === entry.atUs && other.order > entry.order)) low = middle + 1;
      else high = middle;
    }
    waiting.splice(low, 0, entry);
  }
}

/** Marks a packet whose sender understands it. @returns false when it does not. */
function mark(frame: Uint8Array, ipAt: number): boolean {
  const v6 = frame[ipAt] >>> 4 === 6;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const ecn = v6 ? (frame[ipAt + 1] >>> 4) & 3 : frame[ipAt + 1] & 3;
  if (ecn !== 1 && ecn !== 2) return false;
  if (v6) {
    frame[ipAt + 1] |= 0x30;
    return true;
  }
  frame[ipAt + 1] |= 3;
  view.setUint16(ipAt + 10, 0);
  view.setUint16(ipAt + 10, finish(sum16(frame, ipAt, (frame[ipAt] & 15) * 4, 0)));
  return true;
}

export class ImpairedDevice implements FrameDevice {
  readonly link: 'ethernet' | 'ip';
  readonly mtu: number;
  readonly capabilities: DeviceCapabilities;
  readonly #inner: FrameDevice;
  readonly #clock: Clock;
  readonly #in: Path;
  readonly #out: Path;
  readonly #batch: RxBatch;
  readonly #frame = new TxFrame();
  #handler: DeviceHandler | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerUs = Number.POSITIVE_INFINITY;
  /** The inner device was busy; it says when it is not. */
  #blocked = false;
  #closed = false;

  constructor(inner: FrameDevice, options: ImpairOptions) {
    this.#inner = inner;
    this.link = inner.link;
    this.mtu = inner.mtu;
    this.capabilities = inner.capabilities;
    this.#clock = options.clock;
    const ipAt = inner.link === 'ethernet' ? ETHERNET_HEADER : 0;
    this.#in = new Path(options.clock, options.random, options.inbound, ipAt);
    this.#out = new Path(options.clock, options.random, options.outbound, ipAt);
    this.#batch = new RxSlab(new ArrayBuffer(slabBytes(SLOTS))).batch;
  }

  get counters(): { inbound: PathCounters; outbound: PathCounters } {
    return { inbound: this.#in.counters, outbound: this.#out.counters };
  }

  start(handler: DeviceHandler): void {
    this.#handler = handler;
    this.#inner.start({ onFrames: (batch) => this.#arrive(batch), onWritable: () => this.#writable() });
  }

  send(frame: TxFrame): boolean {
    if (this.#closed) return true;
    const bytes = copyFrame(frame);
    if (frame.gsoSize > 0) this.#cut(this.#out, bytes, frame.gsoSize);
    else {
      if (frame.csumStart >= 0) completeChecksum(bytes, frame.csumStart, frame.csumOffset);
      this.#out.take(bytes, 0);
    }
    this.#run();
    return true;
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#inner.close();
  }

  #arrive(batch: RxBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const at = i * RX_META_WORDS;
      const from = batch.meta[at];
      const bytes = batch.bytes.slice(from, from + batch.meta[at + 1]);
      const gsoSize = batch.meta[at + 3];
      if (gsoSize > 0) this.#cut(this.#in, bytes, gsoSize);
      else this.#in.take(bytes, batch.meta[at + 2] & RX_CSUM_OK);
    }
    this.#run();
  }

  #cut(path: Path, bytes: Uint8Array, gsoSize: number): void {
    const parts = segmentTcp(bytes, this.link === 'ethernet' ? ETHERNET_HEADER : 0, gsoSize);
    path.counters.segmented += parts.length;
    for (const part of parts) path.take(part, 0);
  }

  #writable(): void {
    this.#blocked = false;
    this.#run();
    this.#handler?.onWritable();
  }

  /** Lets pass what is due, and comes back for the rest. */
  #run(): void {
    if (this.#closed) return;
    const now = this.#clock.now();
    this.#deliver(now);
    this.#transmit(now);
    const next = Math.min(this.#in.nextUs(), this.#blocked ? Number.POSITIVE_INFINITY : this.#out.nextUs());
    if (next >= this.#timerUs || next === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.#timer);
    this.#timerUs = next;
    this.#timer = setTimeout(
      () => {
        this.#timerUs = Number.POSITIVE_INFINITY;
        this.#run();
      },
      Math.max(0, (next - now) / 1000),
    );
  }

  #deliver(now: number): void {
    const batch = this.#batch;
    for (;;) {
      batch.count = 0;
      for (let next = this.#in.peek(now); next !== undefined && batch.count < SLOTS; next = this.#in.peek(now)) {
        this.#in.shift();
        const slot = batch.count * SLOT_BYTES;
        batch.bytes.set(next.frame, slot);
        batch.meta.set([slot, next.frame.length, next.flags, 0], batch.count * RX_META_WORDS);
        batch.count++;
      }
      if (batch.count === 0) return;
      this.#handler?.onFrames(batch);
    }
  }

  #transmit(now: number): void {
    const frame = this.#frame;
    for (let next = this.#out.peek(now); next !== undefined && !this.#blocked; next = this.#out.peek(now)) {
      const bytes = next.frame;
      frame.reset();
      frame.header.set(bytes.subarray(0, ETHERNET_HEADER), TX_HEADROOM);
      frame.headerLength = ETHERNET_HEADER;
      if (bytes.length > ETHERNET_HEADER) frame.addPiece(bytes, ETHERNET_HEADER, bytes.length - ETHERNET_HEADER);
      if (this.#inner.send(frame)) this.#out.shift();
      else this.#blocked = true;
    }
  }
}
