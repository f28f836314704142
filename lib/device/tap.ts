/** TAP and TUN devices of the kernel, through the native addon. */
import { getSystemErrorName } from 'node:util';
import { errorCode, FtError } from '../errors.js';
import { type NativeAddon, type NativeHandle, native, type TapOpened, type TapRequest } from '../native/native.js';
import { type DeviceCapabilities, type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from './device.js';
import { DirectPayload } from './direct-placement.js';
import { type FrameLender, type PayloadPlace, RX_META_WORDS, type RxBatch } from './rx-batch.js';
import { RxSlab, SLOT_BYTES, slabBytes } from './rx-slab.js';

export interface TapOptions {
  /** Interface name, at most 15 bytes; `%d` in it lets the kernel choose a number. */
  name: string;
  /** 'tap' (Ethernet frames, the default) or 'tun' (IP packets). */
  mode?: 'tap' | 'tun';
  /** Several processes may open the device, one queue each. All must ask for the same `offload`. */
  multiQueue?: boolean;
  /** Checksum and segmentation offload, as far as the kernel grants it. Default true. */
  offload?: boolean;
  /** With multiQueue: open a queue that receives nothing until `attach()`. */
  detached?: boolean;
  /** Frames that one batch can hold (default 64, which is also the most). */
  slots?: number;
  /** Memory to receive into, slabBytes(slots) of it; own memory if absent. */
  slab?: ArrayBuffer;
  /** The addon, if it is not this machine's. */
  native?: NativeAddon;
  /**
   * A thread hands small frames to the device, and looks for so long for more before it sleeps, microseconds; without it the
   * caller of `send` does. Not for devices without offload.
   */
  sender?: { lookUs: number } | undefined;
  /** The device has ceased to exist or to work; no frames will follow. */
  onError?: (error: FtError) => void;
}

export interface TapCounters {
  rxFrames: number;
  rxBytes: number;
  rxBatches: number;
  /** Frames whose payload was read to where it is wanted (`readInto`). */
  rxDirect: number;
  txFrames: number;
  txBytes: number;
  /** Times the device could not take a frame at once. */
  txBusy: number;
  /** Super-segments of which the device took only the first frames; the rest is lost. */
  txCut: number;
  /** Frames that the kernel refused, and which are therefore lost like on any link. */
  txErrors: number;
}

const DEFAULT_SLOTS = 64;
/** Bits of a batch's count; one above them says that the device has more at hand. */
const COUNT_BITS = 0xffff;
/** Where virtio_net_hdr (10 bytes) begins in the headroom. */
const VNET_OFFSET = TX_HEADROOM - 10;
const VNET_NEEDS_CSUM = 1;
const VNET_GSO_TCP4 = 1;
const VNET_GSO_TCP6 = 4;
/** What a sender says of itself: frames refused, the errno of the last of them, and frames whose lease was over. */
const SENDER_STATS = 3;
const SENDER_ERRORS = 0;
const SENDER_LAST_ERROR = 1;
const SENDER_SILENCED = 2;
/** Batches after a large frame that another one may follow. */
const OFFERS = 8;
/** virtio_net_hdr is in the byte order of the machine. */
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const EAGAIN = 11;
const EBADFD = 77;
const ENOBUFS = 105;

export class TapDevice implements FrameDevice, FrameLender {
  readonly name: string;
  readonly link: 'ethernet' | 'ip';
  /** As it was when the device was opened. */
  readonly mtu: number;
  readonly capabilities: DeviceCapabilities;
  readonly #counters: TapCounters = {
    rxFrames: 0,
    rxBytes: 0,
    rxBatches: 0,
    rxDirect: 0,
    txFrames: 0,
    txBytes: 0,
    txBusy: 0,
    txCut: 0,
    txErrors: 0,
  };
  readonly #txErrorCodes = new Map<string, number>();

  readonly #native: NativeAddon;
  #fd: number;
  readonly #vnet: boolean;
  readonly #split: boolean;
  /** Where in the header buffer the native send begins, and by how much that lengthens the header. */
  readonly #txOffset: number;
  readonly #txExtra: number;
  #reader: NativeHandle;
  #sender: NativeHandle | null = null;
  readonly #lookUs: number;
  /** What the sender says of itself, and what has been counted of that. */
  readonly #senderStats = new Int32Array(SENDER_STATS);
  readonly #senderSeen = new Int32Array(SENDER_STATS);
  #lease: { words: Int32Array; index: number; offset: Float64Array } | null = null;
  readonly #slab: ArrayBuffer;
  readonly #batch: RxBatch;
  readonly #onBatch = (count: number): boolean => this.#received(count);
  #direct: DirectPayload | null = null;
  /** Batches for which it is still worth saying where payload may be put. */
  #offers = 0;
  /** Who still looks at frames that were received. */
  #giveBack: (() => void) | null = null;
  readonly #onWritable = (): void => this.#handler?.onWritable();
  readonly #onError: ((error: FtError) => void) | undefined;
  #handler: DeviceHandler | undefined;
  #attached: boolean;
  #paused = false;
  #closed = false;

  /** Opens the device, creating the interface if there is none of that name. Throws FtError. */
  static open(options: TapOptions): TapDevice {
    const request: TapRequest = {
      name: options.name,
      mode: options.mode ?? 'tap',
      multiQueue: options.multiQueue ?? false,
      offload: options.offload ?? true,
      detached: options.detached ?? false,
    };
    const slots = options.slots ?? DEFAULT_SLOTS;
    checkOptions(request, slots);
    const addon = options.native ?? native();
    let opened: TapOpened;
    try {
      opened = addon.tapOpen(request);
    } catch (error) {
      throw explainOpen(error, request);
    }
    try {
      return new TapDevice(addon, request, opened, slots, options);
    } catch (error) {
      addon.closeFd(opened.fd);
      throw explain(error, `Cannot use ${opened.name}`);
    }
  }

  private constructor(addon: NativeAddon, request: TapRequest, opened: TapOpened, slots: number, options: TapOptions) {
    this.#native = addon;
    this.#fd = opened.fd;
    this.#vnet = opened.vnetHdr;
    this.#txOffset = opened.vnetHdr ? VNET_OFFSET : TX_HEADROOM;
    this.#txExtra = TX_HEADROOM - this.#txOffset;
    this.#attached = !request.detached;
    this.#onError = options.onError;
    this.name = opened.name;
    this.link = request.mode === 'tap' ? 'ethernet' : 'ip';
    this.mtu = addon.ifMtu(opened.name);
    // Without offload its work is done in one go just before the frames leave (native/split.c).
    this.#split = opened.split === true;
    this.capabilities = this.#split
      ? { checksum: true, tso4: true, tso6: true }
      : { checksum: opened.csum, tso4: opened.tso4, tso6: opened.tso6 };
    this.#lookUs = options.sender === undefined || this.#split ? -1 : options.sender.lookUs;
    const slab = new RxSlab(options.slab ?? new ArrayBuffer(slabBytes(slots)), this);
    this.#slab = slab.buffer;
    this.#batch = slab.batch;
    this.#reader = addon.readerOpen(opened.fd, opened.vnetHdr, slab.buffer, SLOT_BYTES, slab.batch.meta, this.#onBatch);
    this.#openSender();
  }

  /** txErrors by error name ('EIO': the interface is down, …); with a sender, by the last of those since it was asked before. */
  get txErrorCodes(): ReadonlyMap<string, number> {
    this.#countSender();
    return this.#txErrorCodes;
  }

  get counters(): Readonly<TapCounters> {
    this.#countSender();
    return this.#counters;
  }

  /** Whether this queue takes part in receiving. */
  get attached(): boolean {
    return this.#attached;
  }

  /** The descriptor of this queue, for a replica that copies it. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Goes on with another queue of the same interface in place of this one: a copy of another process's descriptor, with
   * all frames that wait in it.
   */
  switchQueue(fd: number): void {
    this.#assertOpen();
    this.#reuse();
    this.#closeSender();
    const reader = this.#native.readerOpen(fd, this.#vnet, this.#slab, SLOT_BYTES, this.#batch.meta, this.#onBatch);
    this.#native.readerClose(this.#reader, true);
    this.#reader = reader;
    this.#fd = fd;
    if (this.#direct !== null) this.readInto(this.#direct.place);
    this.#openSender();
    this.#attached = true;
    this.#run();
  }

  /**
   * What was sent does not leave once `words[index]`, milliseconds modulo 2^32 of a clock that is CLOCK_MONOTONIC and
   * `offset[0]` microseconds, is over; frames are then counted as errors (ESTALE). Without a sender there is nothing to look at:
   * what is sent has left.
   */
  obeyLease(words: Int32Array, index: number, offset: Float64Array): void {
    this.#lease = { words, index, offset };
    if (this.#sender !== null) this.#native.senderLease(this.#sender, words, index, offset);
  }

  /** Returns when what was sent has left, or the device takes no more. */
  finishSending(): void {
    if (this.#sender !== null) this.#native.senderFinish(this.#sender);
  }

  #openSender(): void {
    if (this.#lookUs < 0) return;
    this.#senderStats.fill(0);
    this.#senderSeen.fill(0);
    this.#sender = this.#native.senderOpen(this.#fd, this.#lookUs, this.#senderStats);
    if (this.#lease !== null) this.obeyLease(this.#lease.words, this.#lease.index, this.#lease.offset);
  }

  #closeSender(): void {
    if (this.#sender === null) return;
    this.#native.senderClose(this.#sender);
    this.#countSender();
    this.#sender = null;
  }

  /** Frames that were taken, and did not leave. */
  #countSender(): void {
    const stats = this.#senderStats;
    const seen = this.#senderSeen;
    const errors = stats[SENDER_ERRORS] - seen[SENDER_ERRORS];
    const silenced = stats[SENDER_SILENCED] - seen[SENDER_SILENCED];
    seen[SENDER_ERRORS] = stats[SENDER_ERRORS];
    seen[SENDER_SILENCED] = stats[SENDER_SILENCED];
    if (errors > 0) this.#refused(errnoName(-stats[SENDER_LAST_ERROR]), errors);
    if (silenced > 0) this.#refused('ESTALE', silenced);
  }

  #refused(code: string, frames: number): void {
    this.#counters.txErrors += frames;
    this.#txErrorCodes.set(code, (this.#txErrorCodes.get(code) ?? 0) + frames);
  }

  /** Takes a batch that another process has read from the same interface as if it had come here. */
  receive(batch: RxBatch): void {
    if (batch.count > 0) this.#handler?.onFrames(batch);
  }

  /** From now on the payload of large TCP segments is read to where its owner wants it, when it says so. */
  readInto(place: PayloadPlace): void {
    this.#assertOpen();
    const { bytes, next, gap, least } = place;
    this.#direct = new DirectPayload(this.#batch, place, this.#native.storeRelease);
    this.#batch.direct = this.#direct;
    place.parked = this.#direct;
    this.#native.readerDirect(this.#reader, bytes, next, gap, least, this.link === 'ethernet');
  }

  borrow(giveBack: () => void): void {
    this.#giveBack = giveBack;
  }

  /** The memory of the frames is about to be used again. */
  #reuse(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = null;
    giveBack?.();
  }

  start(handler: DeviceHandler): void {
    this.#assertOpen();
    if (this.#handler !== undefined) throw new FtError('ERR_FT_STATE', `${this.name} has been started already`);
    this.#handler = handler;
    this.#run();
  }

  /** Lets the kernel steer frames to this queue; only for queues of a multi-queue device. */
  attach(): void {
    this.#assertOpen();
    if (this.#attached) return;
    this.#queueCall('attach', () => this.#native.tapAttach(this.#fd));
    this.#attached = true;
    this.#run();
  }

  /**
   * Keeps the queue but receives nothing; frames that wait in it are lost. The carrier stays up. The kernel still lets a
   * detached queue send, so this is no fence: only the end of the process is.
   */
  detach(): void {
    this.#assertOpen();
    if (!this.#attached) return;
    this.#queueCall('detach', () => this.#native.tapDetach(this.#fd));
    this.#attached = false;
    this.#run();
  }

  send(frame: TxFrame): boolean {
    if (this.#closed) return true;
    const sent = this.#split && frame.csumStart >= 0 ? this.#sendSplit(frame) : this.#sendWhole(frame);
    const counters = this.#counters;
    if (sent >= 0) {
      counters.txFrames++;
      counters.txBytes += sent - this.#txExtra;
      if (sent < this.#txExtra + frame.headerLength + frame.payloadLength) counters.txCut++;
      return true;
    }
    if (sent === -EAGAIN || sent === -ENOBUFS) {
      counters.txBusy++;
      this.#native.readerArmWritable(this.#reader, this.#onWritable);
      return false;
    }
    this.#refused(errnoName(sent), 1);
    return true;
  }

  #sendWhole(frame: TxFrame): number {
    if (this.#vnet) fillVnetHeader(frame);
    const sender = this.#sender;
    if (sender !== null) {
      return this.#native.senderSend(
        sender,
        frame.header,
        this.#txOffset,
        this.#txExtra + frame.headerLength,
        frame.pieces,
        frame.spans,
        frame.pieceCount,
      );
    }
    return this.#native.send(
      this.#fd,
      frame.header,
      this.#txOffset,
      this.#txExtra + frame.headerLength,
      frame.pieces,
      frame.spans,
      frame.pieceCount,
    );
  }

  #sendSplit(frame: TxFrame): number {
    return this.#native.sendSplit(
      this.#fd,
      frame.header,
      TX_HEADROOM,
      frame.headerLength,
      frame.pieces,
      frame.spans,
      frame.pieceCount,
      frame.csumStart,
      frame.csumOffset,
      frame.gsoVersion,
      frame.gsoSize,
      this.link === 'ethernet',
    );
  }

  pause(): void {
    this.#paused = true;
    this.#run();
  }

  resume(): void {
    this.#paused = false;
    this.#run();
  }

  /** Gives the device up; an interface that is not persistent disappears with its last user. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeSender();
    this.#native.readerClose(this.#reader, true);
  }

  #run(): void {
    if (this.#closed) return;
    this.#native.readerRun(this.#reader, this.#handler !== undefined && this.#attached && !this.#paused);
  }

  /** @returns whether somebody still looks at the frames. */
  #received(count: number): boolean {
    const direct = this.#direct;
    if (count === 0) {
      this.#reuse();
      direct?.place.offer();
      return false;
    }
    if (count < 0) {
      const code = errnoName(count);
      this.#onError?.(new FtError(code, `${this.name} can no longer be read (${code})`, 'Was the interface deleted?'));
      return false;
    }
    const batch = this.#batch;
    const counters = this.#counters;
    const frames = count & COUNT_BITS;
    let bytes = 0;
    let longest = 0;
    for (let i = 0; i < frames; i++) {
      const length = batch.meta[i * RX_META_WORDS + 1];
      bytes += length;
      if (length > longest) longest = length;
    }
    counters.rxFrames += frames;
    counters.rxBytes += bytes;
    counters.rxBatches++;
    batch.count = frames;
    batch.more = count > COUNT_BITS;
    if (direct === null) this.#handler!.onFrames(batch);
    else this.#receivedDirect(direct, frames, longest);
    return this.#giveBack !== null;
  }

  #receivedDirect(direct: DirectPayload, frames: number, longest: number): void {
    this.#counters.rxDirect += direct.begin(frames);
    this.#handler!.onFrames(this.#batch);
    direct.end();
    if (longest >= direct.place.least) this.#offers = OFFERS;
    if (this.#offers === 0) return;
    this.#offers--;
    direct.place.offer();
  }

  #queueCall(what: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      throw explain(
        error,
        `Cannot ${what} this queue of ${this.name}`,
        errorCode(error) === 'EINVAL'
          ? 'Only devices opened with multiQueue: true have queues to attach and detach.'
          : '',
      );
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new FtError('ERR_FT_CLOSED', `${this.name} is closed`);
  }
}

/** The name of a negative errno; Node does not know the one that a device without an interface gives. */
function errnoName(errno: number): string {
  return errno === -EBADFD ? 'EBADFD' : getSystemErrorName(errno);
}

function fillVnetHeader(frame: TxFrame): void {
  const header = frame.header;
  const view = frame.view;
  const checksum = frame.csumStart >= 0;
  const version = frame.gsoVersion;
  header[VNET_OFFSET] = checksum ? VNET_NEEDS_CSUM : 0;
  header[VNET_OFFSET + 1] = version === 0 ? 0 : version === 4 ? VNET_GSO_TCP4 : VNET_GSO_TCP6;
  view.setUint16(VNET_OFFSET + 2, version === 0 ? 0 : frame.headerLength, LITTLE_ENDIAN);
  view.setUint16(VNET_OFFSET + 4, version === 0 ? 0 : frame.gsoSize, LITTLE_ENDIAN);
  view.setUint16(VNET_OFFSET + 6, checksum ? frame.csumStart : 0, LITTLE_ENDIAN);
  view.setUint16(VNET_OFFSET + 8, checksum ? frame.csumOffset : 0, LITTLE_ENDIAN);
}

function checkOptions(request: TapRequest, slots: number): void {
  const bytes = Buffer.byteLength(request.name);
  if (bytes < 1 || bytes > 15 || /[\s/:\0]/.test(request.name) || request.name === '.' || request.name === '..') {
    throw new FtError(
      'EINVAL',
      `'${request.name}' is not a name for a network interface`,
      'Choose 1 to 15 bytes without spaces, slashes and colons, such as ft0.',
    );
  }
  if (!Number.isInteger(slots) || slots < 1 || slots > DEFAULT_SLOTS) {
    throw new FtError('ERR_OUT_OF_RANGE', `slots must be a whole number from 1 to ${DEFAULT_SLOTS}`);
  }
  if (request.detached && !request.multiQueue) {
    throw new FtError('EINVAL', 'A device with a single queue cannot be opened detached', 'Add multiQueue: true.');
  }
}

function explain(error: unknown, message: string, hint = ''): FtError {
  if (error instanceof FtError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new FtError(errorCode(error) ?? 'ERR_FT_DEVICE', `${message} (${text})`, hint);
}

function explainOpen(error: unknown, request: TapRequest): FtError {
  const hints: Record<string, string> = {
    EPERM:
      'Creating a network interface needs CAP_NET_ADMIN: run as root, or inside `unshare -Urn` (a network of your own), or ' +
      'have root create it for you: ip tuntap add dev ' +
      `${request.name} mode ${request.mode} user $USER${request.multiQueue ? ' multi_queue' : ''}${request.offload ? ' vnet_hdr' : ''}.`,
    EACCES: 'The device file may not be opened: run as root, or have root run: chmod 666 /dev/net/tun.',
    EBUSY: request.multiQueue
      ? 'Another process holds the interface with a single queue: stop it, or open it with multiQueue: true there too.'
      : 'Another process holds the interface: stop it, choose another name, or open it with multiQueue: true in both.',
    ENOENT: 'There is no /dev/net/tun: load the module (modprobe tun), or give the container --device /dev/net/tun.',
    ENODEV: 'The kernel has no driver for /dev/net/tun: load the module (modprobe tun).',
    EINVAL:
      `Is ${request.name} an interface of another kind? Its type (${request.mode}) and number of queues ` +
      `(multiQueue: ${request.multiQueue}) must be as it was created; ip -d link show ${request.name} tells.`,
    E2BIG: 'All queues of the interface are in use.',
  };
  const code = errorCode(error) ?? '';
  return explain(error, `Cannot open the ${request.mode} device '${request.name}'`, hints[code] ?? '');
}
