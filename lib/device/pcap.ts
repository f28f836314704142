/**
 * Captures in the classic pcap format with nanoseconds, which tcpdump and Wireshark read. Frames
 * are as they pass the device: super-segments whole, and checksums that the device was to complete
 * not completed.
 *
 * Writing is synchronous and in blocks: flushed packets are in the file even if the process is
 * killed.
 */
import bufferLayout from 'buffer-layout';
import { errorCode, FtError } from '../errors.js';
import { closeSync, openSync, writeSync } from '../own-node.js';
import { DeviceDecorator } from './decorator.js';
import { type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from './device.js';
import { RX_META_WORDS, type RxBatch } from './rx-batch.js';

const { s32, struct, u16, u32 } = bufferLayout;
const MAGIC_NS = 0xa1b23c4d;
const LINK_ETHERNET = 1;
const LINK_RAW_IP = 101;
const fileHeader = struct<Record<'magic' | 'major' | 'minor' | 'zone' | 'accuracy' | 'snaplen' | 'network', number>>([
  u32('magic'),
  u16('major'),
  u16('minor'),
  s32('zone'),
  u32('accuracy'),
  u32('snaplen'),
  u32('network'),
]);
const RECORD_HEADER = 16;
const BLOCK = 1 << 20;

/** Where captured frames go: classic pcap here, pcapng in pcapng.ts. */
export interface CaptureWriter {
  /**
   * Begins a frame of `length` bytes that came in, or goes out, through the interface of that
   * number.
   * @returns how many of them to add, 0 when the file is closed.
   */
  begin(wallMs: number, length: number, outgoing?: boolean, port?: number): number;
  add(bytes: Uint8Array, offset: number, length: number): void;
  /** The frame begun last is complete. */
  end(): void;
  flush(): void;
  close(): void;
}

/** Writes a capture file in the pcap format, with nanoseconds. */
export class PcapWriter implements CaptureWriter {
  readonly counters = { frames: 0, bytes: 0, errors: 0 };
  readonly #snaplen: number;
  readonly #block = Buffer.allocUnsafe(BLOCK);
  #fd: number;
  #used = 0;

  /**
   * Creates the file, or empties it. Throws FtError with the code of the file system (EACCES,
   * ENOENT, …).
   * @param snaplen bytes kept of a frame, 64 to 262144.
   */
  constructor(file: string, link: FrameDevice['link'], snaplen = 262_144) {
    this.#snaplen = Math.max(64, Math.min(262_144, snaplen));
    try {
      this.#fd = openSync(file, 'w', 0o600);
    } catch (error) {
      const code = errorCode(error) ?? 'EIO';
      throw new FtError(code, `The capture ${file} cannot be written (${code})`, 'Choose another file with --pcap');
    }
    const network = link === 'ethernet' ? LINK_ETHERNET : LINK_RAW_IP;
    const header = { magic: MAGIC_NS, major: 2, minor: 4, zone: 0, accuracy: 0, snaplen: this.#snaplen, network };
    this.#used = fileHeader.encode(header, this.#block);
    this.flush();
  }

  /**
   * Begins a frame of `length` bytes.
   * @returns how many of them to add, 0 when the file is closed.
   */
  begin(wallMs: number, length: number): number {
    if (this.#fd < 0) return 0;
    const kept = Math.min(length, this.#snaplen);
    if (this.#used + RECORD_HEADER + kept > BLOCK) this.flush();
    const block = this.#block;
    const at = this.#used;
    const seconds = Math.floor(wallMs / 1000);
    block.writeUInt32LE(seconds, at);
    block.writeUInt32LE(Math.floor((wallMs - seconds * 1000) * 1e6), at + 4);
    block.writeUInt32LE(kept, at + 8);
    block.writeUInt32LE(length, at + 12);
    this.#used = at + RECORD_HEADER;
    this.counters.frames++;
    this.counters.bytes += kept;
    return kept;
  }

  /** Adds a part of the frame begun last. */
  add(bytes: Uint8Array, offset: number, length: number): void {
    this.#block.set(bytes.subarray(offset, offset + length), this.#used);
    this.#used += length;
  }

  end(): void {}

  /** Hands everything to the kernel. A full disk ends the capture, not the program. */
  flush(): void {
    if (this.#fd < 0 || this.#used === 0) return;
    try {
      for (let at = 0; at < this.#used; ) at += writeSync(this.#fd, this.#block, at, this.#used - at);
    } catch {
      this.counters.errors++;
      this.#closeFile();
    }
    this.#used = 0;
  }

  close(): void {
    this.flush();
    this.#closeFile();
  }

  #closeFile(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) closeSync(fd);
  }
}

/** A device in front of a device that captures both directions. */
export class CapturedDevice extends DeviceDecorator {
  constructor(
    device: FrameDevice,
    readonly writer: CaptureWriter,
    readonly wallMs: () => number,
    /** Number of the interface in the capture. */
    readonly port = 0,
  ) {
    super(device);
  }

  override start(handler: DeviceHandler): void {
    this.device.start({
      onFrames: (batch) => {
        this.#received(batch);
        handler.onFrames(batch);
      },
      onWritable: () => handler.onWritable(),
    });
  }

  override send(frame: TxFrame): boolean {
    const sent = this.device.send(frame);
    if (sent) this.#sent(frame);
    return sent;
  }

  override close(): void {
    this.writer.close();
    super.close();
  }

  #received(batch: RxBatch): void {
    const now = this.wallMs();
    for (let i = 0; i < batch.count; i++) {
      const length = batch.meta[i * RX_META_WORDS + 1];
      const kept = this.writer.begin(now, length, false, this.port);
      if (kept === 0) continue;
      this.writer.add(batch.bytes, batch.meta[i * RX_META_WORDS], kept);
      this.writer.end();
    }
    this.writer.flush();
  }

  #sent(frame: TxFrame): void {
    let left = this.writer.begin(this.wallMs(), frame.headerLength + frame.payloadLength, true, this.port);
    if (left === 0) return;
    const head = Math.min(left, frame.headerLength);
    this.writer.add(frame.header, TX_HEADROOM, head);
    left -= head;
    for (let i = 0; i < frame.pieceCount && left > 0; i++) {
      const part = Math.min(left, frame.spans[2 * i + 1]);
      this.writer.add(frame.pieces[i], frame.spans[2 * i], part);
      left -= part;
    }
    this.writer.end();
    this.writer.flush();
  }
}
