/** TAP and TUN devices of the kernel, through the native addon. */
import { errorCode, FtError } from '../errors.js';
import { type NativeAddon, type NativeHandle, native, type TapOpened, type TapRequest } from '../native/native.js';
import { type DeviceCapabilities, type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from './device.js';
import { DirectPayload } from './direct-placement.js';
import { type FrameLender, type PayloadPlace, RX_META_WORDS, type RxBatch } from './rx-batch.js';
import { RxSlab, SLOT_BYTES, slabBytes } from './rx-slab.js';
import { checkOptions, errnoName, explain, explainOpen, MAX_SLOTS } from './tap-errors.js';
import { type SenderOptions, TapSender } from './tap-sender.js';

/** How a TAP or TUN device is opened. */
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
  /** Frames that one batch can hold, 1 to 64 (default 64). */
  slots?: number;
  /** Memory to receive into, slabBytes(slots) bytes; allocated if absent. */
  slab?: ArrayBuffer;
  /** Another addon than this machine's, for tests. */
  native?: NativeAddon;
  /**
   * A thread hands small frames to the kernel. Without it the caller of `send` does so. Not for
   * devices without offload.
   */
  sender?: SenderOptions | undefined;
  /** The device no longer exists or works; no frames will follow. */
  onError?: (error: FtError) => void;
}

/** What a device has received and sent. */
export interface TapCounters {
  rxFrames: number;
  rxBytes: number;
  rxBatches: number;
  /** Frames whose payload was placed in the memory of `readInto`. */
  rxDirect: number;
  txFrames: number;
  txBytes: number;
  /** Times the device could not take a frame at once. */
  txBusy: number;
  /** Super-segments of which the device took only the first frames; the others are lost. */
  txCut: number;
  /** Frames that the kernel refused; they are lost, as on any link. */
  txErrors: number;
}

/** Bits of a batch's count; a bit above them says that the device has more at hand. */
const COUNT_BITS = 0xffff;
/** Where virtio_net_hdr (10 bytes) begins in the headroom. */
const VNET_OFFSET = TX_HEADROOM - 10;
const VNET_NEEDS_CSUM = 1;
const VNET_GSO_TCP4 = 1;
const VNET_GSO_TCP6 = 4;
/** Batches after a large frame in which another one is expected. */
const MAX_OFFERS = 8;
/**
 * After a switch of the queue a thread would have to start while the kernel frees the memory of the
 * process that had it, which can take every CPU: frames waited for 15 ms.
 */
const SWITCHED_START_MS = 200;
/** virtio_net_hdr is in the byte order of the machine. */
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const EAGAIN = 11;
const ENOBUFS = 105;

/** A TAP or TUN device, or one queue of it. */
export class TapDevice implements FrameDevice, FrameLender {
  readonly name: string;
  readonly link: 'ethernet' | 'ip';
  /** Bytes, as it was when the device was opened. */
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
  /**
   * Where in the header buffer the native send begins, and by how much that lengthens the header.
   */
  readonly #txOffset: number;
  readonly #txExtra: number;
  #reader: NativeHandle;
  /** Null where the caller of `send` hands frames to the kernel itself. */
  readonly #sender: TapSender | null;
  readonly #slab: ArrayBuffer;
  readonly #batch: RxBatch;
  readonly #onBatch = (count: number): boolean => this.#received(count);
  #direct: DirectPayload | null = null;
  /** Batches in which the place for payload is still offered. */
  #offers = 0;
  /** Ends the loan of the last batch's frames; null when they are not borrowed. */
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
    const slots = options.slots ?? MAX_SLOTS;
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
    const refused = (code: string, frames: number): void => this.#refused(code, frames);
    const { sender } = options;
    this.#sender = sender === undefined || this.#split ? null : new TapSender(addon, sender, refused);
    const slab = new RxSlab(options.slab ?? new ArrayBuffer(slabBytes(slots)), this);
    this.#slab = slab.buffer;
    this.#batch = slab.batch;
    this.#reader = addon.readerOpen(opened.fd, opened.vnetHdr, slab.buffer, SLOT_BYTES, slab.batch.meta, this.#onBatch);
    this.#sender?.open(opened.fd);
  }

  /**
   * txErrors by error name ('EIO': the interface is down, …); with a sender, by the last error
   * since the last call.
   */
  get txErrorCodes(): ReadonlyMap<string, number> {
    this.#sender?.count();
    return this.#txErrorCodes;
  }

  get counters(): Readonly<TapCounters> {
    this.#sender?.count();
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
   * Uses another queue of the same interface instead of this one: a copy of another process's
   * descriptor, with all frames that wait in it.
   */
  switchQueue(fd: number): void {
    this.#assertOpen();
    this.#reuse();
    this.#sender?.close();
    const reader = this.#native.readerOpen(fd, this.#vnet, this.#slab, SLOT_BYTES, this.#batch.meta, this.#onBatch);
    this.#native.readerClose(this.#reader, true);
    this.#reader = reader;
    this.#fd = fd;
    if (this.#direct !== null) this.readInto(this.#direct.place);
    this.#sender?.open(fd, SWITCHED_START_MS);
    this.#attached = true;
    this.#run();
  }

  /**
   * Frames in the sender do not leave any more once the time `words[index]` has come (see {@link
   * SendLease}); they are then counted as errors (ESTALE). Without a sender this has no effect:
   * sent frames have left.
   */
  obeyLease(words: Int32Array, index: number, offset: Float64Array): void {
    this.#sender?.obey({ words, index, offset });
  }

  /** Returns when all frames have left, or the device takes no more. */
  finishSending(): void {
    this.#sender?.finish();
  }

  #refused(code: string, frames: number): void {
    this.#counters.txErrors += frames;
    this.#txErrorCodes.set(code, (this.#txErrorCodes.get(code) ?? 0) + frames);
  }

  /** Delivers a batch that another process has read from the same interface. */
  receive(batch: RxBatch): void {
    if (batch.count > 0) this.#handler?.onFrames(batch);
  }

  /** From now on the payload of large TCP segments is read into `place`, while it offers room. */
  readInto(place: PayloadPlace): void {
    this.#assertOpen();
    const { bytes, next, headerBytes: gap, minFrameBytes: least } = place;
    this.#direct = new DirectPayload(this.#batch, place, this.#native.storeRelease);
    this.#batch.direct = this.#direct;
    place.placed = this.#direct;
    this.#native.readerDirect(this.#reader, bytes, next, gap, least, this.link === 'ethernet');
  }

  borrow(giveBack: () => void): void {
    this.#giveBack = giveBack;
  }

  /** Tells the borrower that the memory of the frames will be used again. */
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
   * Keeps the queue but receives nothing; frames that wait in it are lost. The carrier stays up.
   * The kernel lets a detached queue send, so this is no fence: only the end of the process is.
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
    if (sender !== null) return sender.send(frame, this.#txOffset, this.#txExtra + frame.headerLength);
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

  /** Closes the device; an interface that is not persistent disappears with its last user. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sender?.close();
    this.#native.readerClose(this.#reader, true);
  }

  #run(): void {
    if (this.#closed) return;
    this.#native.readerRun(this.#reader, this.#handler !== undefined && this.#attached && !this.#paused);
  }

  /** @returns whether the frames are borrowed */
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
    if (longest >= direct.place.minFrameBytes) this.#offers = MAX_OFFERS;
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
