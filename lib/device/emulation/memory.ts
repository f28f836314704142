/**
 * A link between two devices in memory, on a clock that is handed in and with misfortune from a
 * seed: loss, duplication, reordering, corruption, delay, a bottleneck with a bounded queue. The
 * same seed gives the same run.
 *
 * Nothing arrives by itself: the owner calls {@link MemoryLink.run}, and again at {@link
 * MemoryLink.nextDeadline}.
 */
import type { Clock } from '../../clock.js';
import type { Random } from '../../random.js';
import { type DeviceCapabilities, type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from '../device.js';
import { type FrameLender, RX_CSUM_OK, type RxBatch } from '../rx-batch.js';
import { completeChecksum, segmentTcp } from '../segment.js';
import { Bottleneck } from './bottleneck.js';

/** Impairments of one direction. Probabilities are 0 to 1; an absent one does not happen. */
export interface Impairment {
  loss?: number;
  duplicate?: number;
  /** Part of the frames that come `reorderUs` later than they should. */
  reorder?: number;
  reorderUs?: number;
  /** Part of the frames in which one bit changes. */
  corrupt?: number;
  /** One-way delay in microseconds. */
  delayUs?: number;
  /** Evenly distributed on top of the delay. */
  jitterUs?: number;
  /** Bits per second of the bottleneck; absent: no bottleneck. */
  bandwidth?: number;
  /** Bytes that wait before the bottleneck; more are dropped (default 256 KiB). */
  queueBytes?: number;
  /** A bottleneck that other links use too, instead of one of its own. */
  bottleneck?: Bottleneck;
}

/**
 * What became of a frame: 'sent' is on its way, 'lost' met misfortune, 'overflow' found a queue
 * full.
 */
export type Fate = 'sent' | 'lost' | 'overflow';

/** What the emulated link does to frames. */
export interface MemoryLinkOptions {
  clock: Clock;
  random: Random;
  /** From the first device to the second. */
  forward?: Impairment;
  /** From the second to the first; as forward if absent. */
  backward?: Impairment;
  /** Largest IP packet (default 1500). */
  mtu?: number;
  /** Checksum and segmentation offload at both ends, or that of checksums only (default false). */
  offload?: boolean | 'checksum';
  /** Maximum number of frames in flight (default 65,536); more are lost. */
  maxInFlight?: number;
  /** Told of every frame that a device sends; must not keep it. */
  watch?: (from: MemoryDevice, frame: Uint8Array, fate: Fate) => void;
}

interface Arrival {
  atUs: number;
  /** Breaks ties: frames that arrive together keep their order. */
  order: number;
  to: MemoryDevice;
  frame: Uint8Array;
  flags: number;
  gsoSize: number;
}

/** Frames that a link or a device that pauses holds; more are lost. */
const MAX_IN_FLIGHT = 65_536;
const ETHERNET_HEADER = 14;

/** An emulated link between two devices, in virtual time. */
export class MemoryLink {
  readonly a: MemoryDevice;
  readonly b: MemoryDevice;
  readonly counters = { sent: 0, delivered: 0, lost: 0, duplicated: 0, reordered: 0, corrupted: 0, overflowed: 0 };
  readonly clock: Clock;
  readonly random: Random;
  /**
   * A heap, the next arrival first: frames mostly come in order, so that adding one costs nothing.
   */
  readonly #queue: Arrival[] = [];
  readonly #maxInFlight: number;
  readonly #watch: MemoryLinkOptions['watch'];
  #order = 0;

  constructor(options: MemoryLinkOptions) {
    this.clock = options.clock;
    this.random = options.random;
    const forward = options.forward ?? {};
    const mtu = options.mtu ?? 1500;
    const offload = options.offload ?? false;
    this.#maxInFlight = options.maxInFlight ?? MAX_IN_FLIGHT;
    this.#watch = options.watch;
    this.a = new MemoryDevice(this, forward, mtu, offload);
    this.b = new MemoryDevice(this, options.backward ?? forward, mtu, offload);
    this.a.peer = this.b;
    this.b.peer = this.a;
  }

  /** Frames on their way. */
  get inFlight(): number {
    return this.#queue.length;
  }

  /** When the next frame arrives, in microseconds; Infinity when none is on its way. */
  nextDeadline(): number {
    return this.#queue[0]?.atUs ?? Number.POSITIVE_INFINITY;
  }

  /** Delivers the frames that have arrived by now. @returns how many */
  run(): number {
    const now = this.clock.now();
    let count = 0;
    for (let next = this.#queue[0]; next !== undefined && next.atUs <= now; next = this.#queue[0]) {
      this.#removeFirst();
      this.counters.delivered++;
      next.to.deliver(next.frame, next.flags, next.gsoSize);
      count++;
    }
    return count;
  }

  /** Takes a frame from a device and decides what becomes of it. */
  carry(from: MemoryDevice, frame: Uint8Array, flags: number, gsoSize: number): void {
    const { random, counters } = this;
    const { impairment } = from;
    counters.sent++;
    const chance = (p: number | undefined): boolean => p !== undefined && p > 0 && random.float() < p;
    if (chance(impairment.loss)) {
      counters.lost++;
      this.#watch?.(from, frame, 'lost');
      return;
    }
    let atUs = from.departure(frame.length);
    if (atUs < 0 || this.#queue.length >= this.#maxInFlight) {
      counters.overflowed++;
      this.#watch?.(from, frame, 'overflow');
      return;
    }
    this.#watch?.(from, frame, 'sent');
    atUs += (impairment.delayUs ?? 0) + Math.floor(random.float() * (impairment.jitterUs ?? 0));
    if (chance(impairment.reorder)) {
      counters.reordered++;
      atUs += impairment.reorderUs ?? 1000;
    }
    if (chance(impairment.corrupt)) {
      counters.corrupted++;
      const bit = random.u32() % (frame.length * 8);
      frame[bit >> 3] ^= 1 << (bit & 7);
      flags = 0;
    }
    this.#insert({ atUs, order: this.#order++, to: from.peer, frame, flags, gsoSize });
    if (chance(impairment.duplicate)) {
      counters.duplicated++;
      this.#insert({ atUs, order: this.#order++, to: from.peer, frame: frame.slice(), flags, gsoSize });
    }
  }

  #insert(arrival: Arrival): void {
    const queue = this.#queue;
    let at = queue.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!sooner(arrival, queue[above])) break;
      queue[at] = queue[above];
      at = above;
    }
    queue[at] = arrival;
  }

  #removeFirst(): void {
    const queue = this.#queue;
    const last = queue.pop()!;
    const { length } = queue;
    if (length === 0) return;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && sooner(queue[child + 1], queue[child])) child++;
      if (!sooner(queue[child], last)) break;
      queue[at] = queue[child];
      at = child;
    }
    queue[at] = last;
  }
}

function sooner(one: Arrival, other: Arrival): boolean {
  return one.atUs < other.atUs || (one.atUs === other.atUs && one.order < other.order);
}

/** One end of an emulated link. */
export class MemoryDevice implements FrameDevice, FrameLender {
  readonly link = 'ethernet' as const;
  readonly capabilities: DeviceCapabilities;
  peer!: MemoryDevice;
  #handler: DeviceHandler | undefined;
  #paused = false;
  #giveBack: (() => void) | null = null;
  #closed = false;
  readonly #bottleneck: Bottleneck | undefined;
  readonly #waiting: Arrival[] = [];
  readonly #meta = new Int32Array(4);

  constructor(
    readonly owner: MemoryLink,
    readonly impairment: Impairment,
    readonly mtu: number,
    offload: boolean | 'checksum',
  ) {
    this.capabilities = { checksum: offload !== false, tso4: offload === true, tso6: offload === true };
    const { bandwidth, queueBytes } = impairment;
    if (impairment.bottleneck !== undefined) this.#bottleneck = impairment.bottleneck;
    else if (bandwidth !== undefined) this.#bottleneck = new Bottleneck(bandwidth, queueBytes ?? 262_144);
  }

  start(handler: DeviceHandler): void {
    this.#handler = handler;
  }

  send(frame: TxFrame): boolean {
    if (this.#closed) return true;
    const bytes = new Uint8Array(frame.headerLength + frame.payloadLength);
    bytes.set(frame.header.subarray(TX_HEADROOM, TX_HEADROOM + frame.headerLength));
    let at = frame.headerLength;
    for (let i = 0; i < frame.pieceCount; i++) {
      const from = frame.spans[2 * i];
      const length = frame.spans[2 * i + 1];
      bytes.set(frame.pieces[i].subarray(from, from + length), at);
      at += length;
    }
    const { impairment } = this;
    // Misfortune meets the segments of the wire; a perfect link may carry super-segments as they
    // are.
    const whole = this.peer.capabilities.tso4 && (impairment.loss ?? 0) === 0 && (impairment.corrupt ?? 0) === 0;
    if (frame.gsoSize > 0 && !whole) {
      for (const part of segmentTcp(bytes, ETHERNET_HEADER, frame.gsoSize)) this.owner.carry(this, part, 0, 0);
      return true;
    }
    let flags = 0;
    if (frame.csumStart >= 0) {
      if (this.peer.capabilities.checksum && (impairment.corrupt ?? 0) === 0) flags = RX_CSUM_OK;
      else completeChecksum(bytes, frame.csumStart, frame.csumOffset);
    }
    this.owner.carry(this, bytes, flags, frame.gsoSize);
    return true;
  }

  /** Puts raw bytes on the link, as this device's. */
  inject(bytes: Uint8Array): void {
    this.owner.carry(this, bytes, 0, 0);
  }

  /** When a frame leaves the bottleneck, or -1 when its queue is full. */
  departure(length: number): number {
    const now = this.owner.clock.now();
    return this.#bottleneck === undefined ? now : this.#bottleneck.departure(now, length);
  }

  borrow(giveBack: () => void): void {
    this.#giveBack = giveBack;
  }

  /** A frame has arrived. */
  deliver(frame: Uint8Array, flags: number, gsoSize: number): void {
    if (this.#closed || this.#handler === undefined) return;
    if (this.#paused) {
      if (this.#waiting.length >= MAX_IN_FLIGHT) this.owner.counters.overflowed++;
      else this.#waiting.push({ atUs: 0, order: 0, to: this, frame, flags, gsoSize });
      return;
    }
    const meta = this.#meta;
    meta[0] = 0;
    meta[1] = frame.length;
    meta[2] = flags;
    meta[3] = gsoSize;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    this.#giveBack?.();
    this.#giveBack = null;
    const batch: RxBatch = { lender: this, bytes: frame, view, meta, count: 1 };
    this.#handler.onFrames(batch);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const held of this.#waiting.splice(0)) this.deliver(held.frame, held.flags, held.gsoSize);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
  }
}
