/**
 * Captures in the pcapng format: several interfaces with their names in one file, the direction of
 * each frame, and nanoseconds. Wireshark and tcpdump read it. Written like pcap.ts: in blocks, and
 * flushed packets survive the process.
 */
import { errorCode, FtError } from '../errors.js';
import { closeSync, openSync, writeSync } from '../own-node.js';
import type { FrameDevice } from './device.js';
import type { CaptureWriter } from './pcap.js';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const LINK_ETHERNET = 1;
const LINK_RAW_IP = 101;
const OPT_NAME = 2;
const OPT_RESOLUTION = 9;
const OPT_FLAGS = 2;
const BLOCK = 1 << 20;
const INBOUND = 1;
const OUTBOUND = 2;

/** Writes a capture file in the pcapng format, several interfaces in one file. */
export class PcapngWriter implements CaptureWriter {
  readonly counters = { frames: 0, bytes: 0, errors: 0 };
  readonly #block = Buffer.allocUnsafe(BLOCK);
  readonly #snaplen: number;
  #fd: number;
  #used = 0;
  #interfaces = 0;
  // Of the frame that was begun last.
  #start = 0;
  #kept = 0;
  #outgoing = false;

  /**
   * Creates the file, or empties it. Throws FtError with the code of the file system (EACCES,
   * ENOENT, …).
   * @param snaplen bytes kept of a frame, 64 to 262144.
   */
  constructor(file: string, snaplen = 262_144) {
    this.#snaplen = Math.max(64, Math.min(262_144, snaplen));
    try {
      this.#fd = openSync(file, 'w', 0o600);
    } catch (error) {
      const code = errorCode(error) ?? 'EIO';
      throw new FtError(code, `The capture ${file} cannot be written (${code})`, 'Choose another file with --pcap');
    }
    const body = Buffer.alloc(16);
    body.writeUInt32LE(BYTE_ORDER, 0);
    body.writeUInt16LE(1, 4);
    // Length of the section: not told.
    body.fill(0xff, 8, 16);
    this.#whole(SECTION, body);
    this.flush();
  }

  /** Describes an interface. @returns its number. */
  addInterface(name: string, link: FrameDevice['link']): number {
    const text = Buffer.from(name);
    const padded = (text.length + 3) & ~3;
    const body = Buffer.alloc(8 + 4 + padded + 8 + 4);
    body.writeUInt16LE(link === 'ethernet' ? LINK_ETHERNET : LINK_RAW_IP, 0);
    body.writeUInt32LE(this.#snaplen, 4);
    body.writeUInt16LE(OPT_NAME, 8);
    body.writeUInt16LE(text.length, 10);
    text.copy(body, 12);
    body.writeUInt16LE(OPT_RESOLUTION, 12 + padded);
    body.writeUInt16LE(1, 14 + padded);
    // Ten to the minus nine.
    body[16 + padded] = 9;
    this.#whole(INTERFACE, body);
    this.flush();
    return this.#interfaces++;
  }

  begin(wallMs: number, length: number, outgoing = false, port = 0): number {
    if (this.#fd < 0) return 0;
    const kept = Math.min(length, this.#snaplen);
    if (this.#used + kept + 64 > BLOCK) this.flush();
    const block = this.#block;
    const at = this.#used;
    const ns = BigInt(Math.floor(wallMs)) * 1_000_000n + BigInt(Math.floor((wallMs % 1) * 1e6));
    block.writeUInt32LE(PACKET, at);
    block.writeUInt32LE(port, at + 8);
    block.writeUInt32LE(Number(ns >> 32n), at + 12);
    block.writeUInt32LE(Number(ns & 0xffffffffn), at + 16);
    block.writeUInt32LE(kept, at + 20);
    block.writeUInt32LE(length, at + 24);
    this.#start = at;
    this.#kept = kept;
    this.#outgoing = outgoing;
    this.#used = at + 28;
    this.counters.frames++;
    this.counters.bytes += kept;
    return kept;
  }

  add(bytes: Uint8Array, offset: number, length: number): void {
    this.#block.set(bytes.subarray(offset, offset + length), this.#used);
    this.#used += length;
  }

  end(): void {
    if (this.#fd < 0) return;
    const block = this.#block;
    while ((this.#used & 3) !== (this.#start & 3)) block[this.#used++] = 0;
    block.writeUInt16LE(OPT_FLAGS, this.#used);
    block.writeUInt16LE(4, this.#used + 2);
    block.writeUInt32LE(this.#outgoing ? OUTBOUND : INBOUND, this.#used + 4);
    block.writeUInt32LE(0, this.#used + 8);
    const total = this.#used + 16 - this.#start;
    block.writeUInt32LE(total, this.#used + 12);
    block.writeUInt32LE(total, this.#start + 4);
    this.#used += 16;
    this.#kept = 0;
  }

  /** Hands everything to the kernel. A full disk ends the capture, not the program. */
  flush(): void {
    if (this.#fd < 0 || this.#used === 0 || this.#kept > 0) return;
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

  #whole(type: number, body: Buffer): void {
    const block = this.#block;
    const total = 12 + body.length;
    block.writeUInt32LE(type, this.#used);
    block.writeUInt32LE(total, this.#used + 4);
    body.copy(block, this.#used + 8);
    block.writeUInt32LE(total, this.#used + 8 + body.length);
    this.#used += total;
  }

  #closeFile(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) closeSync(fd);
  }
}
