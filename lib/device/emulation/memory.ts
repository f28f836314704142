/**
 * A link between two devices in memory, on a clock that is handed in and with impairments from a
 * seed (impairment.ts). The same seed gives the same run.
 *
 * Nothing arrives by itself: the owner calls {@link MemoryLink.run}, and again at {@link
 * MemoryLink.nextDeadline}.
 */
import type { Clock } from '../../clock.js';
import type { Random } from '../../random.js';
import type { DeviceCapabilities, DeviceHandler, FrameDevice, TxFrame } from '../device.js';
import { copyFrame } from '../frame-copy.js';
import { type FrameLender, RX_CSUM_OK, type RxBatch } from '../rx-batch.js';
import { completeChecksum, segmentTcp } from '../segment.js';
import { ImpairedDirection, type Impairment } from './impairment.js';

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
    const { path } = from;
    const now = this.clock.now();
    this.counters.sent++;
    if (path.isLost()) {
      this.#watch?.(from, frame, 'lost');
      return;
    }
    const passedUs = path.departure(now, frame.length, this.#queue.length >= this.#maxInFlight);
    if (passedUs < 0) {
      this.#watch?.(from, frame, 'overflow');
      return;
    }
    this.#watch?.(from, frame, 'sent');
    const atUs = path.arrival(passedUs);
    if (path.corrupt(frame)) flags = 0;
    this.#insert({ atUs, order: this.#order++, to: from.peer, frame, flags, gsoSize });
    if (path.isDuplicated())
      this.#insert({ atUs, order: this.#order++, to: from.peer, frame: frame.slice(), flags, gsoSize });
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
  /** What happens to the frames that it sends. */
  readonly path: ImpairedDirection;
  readonly #waiting: Arrival[] = [];
  readonly #meta = new Int32Array(4);

  constructor(
    readonly owner: MemoryLink,
    readonly impairment: Impairment,
    readonly mtu: number,
    offload: boolean | 'checksum',
  ) {
    this.capabilities = { checksum: offload !== false, tso4: offload === true, tso6: offload === true };
    this.path = new ImpairedDirection(impairment, owner.random, owner.counters);
  }

  start(handler: DeviceHandler): void {
    this.#handler = handler;
  }

  send(frame: TxFrame): boolean {
    if (this.#closed) return true;
    const bytes = copyFrame(frame);
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
