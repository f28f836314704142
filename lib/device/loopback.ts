/**
 * A device that receives what it sends: the stack's path to itself. Frames wait until `run`, so
 * that no call nests.
 */
import type { DeviceCapabilities, DeviceHandler, FrameDevice, TxFrame } from './device.js';
import { copyFrame } from './frame-copy.js';
import { RX_CSUM_OK, RX_META_WORDS } from './rx-batch.js';

/** Frames in the queue; more are dropped, and TCP sends them again. */
const MAX_WAITING = 4096;

/** The loopback device; without Ethernet headers. */
export class LoopbackDevice implements FrameDevice {
  readonly link = 'ip' as const;
  readonly mtu = 65_535;
  // Data that never leaves memory needs no checksum.
  readonly capabilities: DeviceCapabilities = { checksum: true, tso4: false, tso6: false };
  /** Frames dropped because the queue was full. */
  dropped = 0;
  #handler: DeviceHandler | undefined;
  #waiting: Uint8Array[] = [];
  readonly #meta = new Int32Array(RX_META_WORDS);

  /** Frames in the queue. */
  get pending(): number {
    return this.#waiting.length;
  }

  start(handler: DeviceHandler): void {
    this.#handler = handler;
  }

  send(frame: TxFrame): boolean {
    if (this.#waiting.length >= MAX_WAITING) {
      this.dropped++;
      return true;
    }
    this.#waiting.push(copyFrame(frame));
    return true;
  }

  /** Delivers the frames that are in the queue now. @returns how many */
  run(): number {
    const frames = this.#waiting;
    if (frames.length === 0) return 0;
    this.#waiting = [];
    for (const bytes of frames) {
      this.#meta.set([0, bytes.length, RX_CSUM_OK, 0]);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#handler?.onFrames({ bytes, view, meta: this.#meta, count: 1 });
    }
    return frames.length;
  }

  pause(): void {}
  resume(): void {}

  close(): void {
    this.#waiting = [];
    this.#handler = undefined;
  }
}
