/**
 * The device of the control server: raw IP, one packet in at a time, packets out as the stack sends
 * them.
 */
import { type DeviceHandler, type FrameDevice, RX_META_WORDS, TX_HEADROOM, type TxFrame } from '../../lib/index.js';

/** Packets that wait for `emit` at most; more are dropped and counted. */
const MAX_WAITING = 65_536;

export class Wire implements FrameDevice {
  readonly link = 'ip' as const;
  readonly capabilities = { checksum: false, tso4: false, tso6: false };
  readonly sent: { atUs: number; packet: Buffer }[] = [];
  dropped = 0;
  #handler: DeviceHandler | undefined;
  readonly #meta = new Int32Array(RX_META_WORDS);

  constructor(
    readonly mtu: number,
    readonly now: () => number,
  ) {}

  start(handler: DeviceHandler): void {
    this.#handler = handler;
  }

  send(frame: TxFrame): boolean {
    if (this.sent.length >= MAX_WAITING) {
      this.dropped++;
      return true;
    }
    const packet = Buffer.alloc(frame.headerLength + frame.payloadLength);
    packet.set(frame.header.subarray(TX_HEADROOM, TX_HEADROOM + frame.headerLength));
    packet.set(frame.gather(), frame.headerLength);
    this.sent.push({ atUs: this.now(), packet });
    return true;
  }

  inject(packet: Buffer): void {
    const bytes = new Uint8Array(packet);
    this.#meta.set([0, bytes.length, 0, 0]);
    this.#handler?.onFrames({ bytes, view: new DataView(bytes.buffer), meta: this.#meta, count: 1 });
  }

  pause(): void {}
  resume(): void {}
  close(): void {}
}
