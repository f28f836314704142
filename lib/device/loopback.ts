/** A device that gives back what it is given: the stack's way to itself. Frames wait until `run`, so that no call nests. */
import { type DeviceCapabilities, type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from './device.js';
import { RX_CSUM_OK, RX_META_WORDS } from './rx-batch.js';

/** Frames that wait at most; more are dropped, and TCP sends them again. */
const MAX_WAITING = 4096;

export class LoopbackDevice implements FrameDevice {
  readonly link = 'ip' as const;
  readonly mtu = 65_535;
  // What never leaves memory needs no checksum.
  readonly capabilities: DeviceCapabilities = { checksum: true, tso4: false, tso6: false };
  dropped = 0;
  #handler: DeviceHandler | undefined;
  #waiting: Uint8Array[] = [];
  readonly #meta = new Int32Array(RX_META_WORDS);

  /** Frames to deliver. */
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
    const copy = new Uint8Array(frame.headerLength + frame.payloadLength);
    copy.set(frame.header.subarray(TX_HEADROOM, TX_HEADROOM + frame.headerLength));
    let at = frame.headerLength;
    for (let i = 0; i < frame.pieceCount; i++) {
      const from = frame.spans[2 * i];
      const length = frame.spans[2 * i + 1];
      copy.set(frame.pieces[i].subarray(from, from + length), at);
      at += length;
    }
    this.#waiting.push(copy);
    return true;
  }

  /** Delivers what waits now; what that causes waits for the next call. @returns the number of frames. */
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
