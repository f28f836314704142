/**
 * VLANs (IEEE 802.1Q): one Ethernet device as several, one for each VLAN identifier. The trunk
 * removes the tag of received frames and gives them to the device of their VLAN; frames that this
 * device sends get the tag. Untagged frames belong to the device with identifier 0.
 */
import { FtError } from '../errors.js';
import { ETHERTYPE_VLAN } from '../packet/ethernet.js';
import { type DeviceCapabilities, type DeviceHandler, type FrameDevice, TX_HEADROOM, type TxFrame } from './device.js';
import { RX_META_WORDS, type RxBatch } from './rx-batch.js';

const TAG = 4;

/** The Ethernet device that carries all VLANs. */
export class VlanTrunk implements DeviceHandler {
  readonly counters = { otherVlan: 0 };
  readonly #devices = new Map<number, VlanDevice>();
  readonly #one: RxBatch & { meta: Int32Array };
  #started = false;

  constructor(readonly device: FrameDevice) {
    if (device.link !== 'ethernet')
      throw new FtError('EINVAL', 'Only Ethernet frames have VLAN tags', 'Use a TAP device, not a TUN device');
    const bytes = new Uint8Array(0);
    this.#one = { bytes, view: new DataView(bytes.buffer), meta: new Int32Array(RX_META_WORDS), count: 1 };
  }

  /** The device of one network. @throws FtError EINVAL, EADDRINUSE */
  open(vlan: number): VlanDevice {
    if (!Number.isInteger(vlan) || vlan < 0 || vlan > 4094)
      throw new FtError(
        'EINVAL',
        `${vlan} is not a VLAN number`,
        'Numbers are 1 to 4094, or 0 for frames without a tag',
      );
    if (this.#devices.has(vlan)) throw new FtError('EADDRINUSE', `VLAN ${vlan} is open already`, 'Open each once');
    const device = new VlanDevice(this, vlan);
    this.#devices.set(vlan, device);
    return device;
  }

  /** Begins to deliver, when the first device does. */
  begin(): void {
    if (this.#started) return;
    this.#started = true;
    this.device.start(this);
  }

  forget(vlan: number): void {
    this.#devices.delete(vlan);
    if (this.#devices.size === 0) this.device.close();
  }

  onFrames(batch: RxBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const at = i * RX_META_WORDS;
      let offset = batch.meta[at];
      let length = batch.meta[at + 1];
      let vlan = 0;
      if (length >= 14 + TAG && batch.view.getUint16(offset + 12) === ETHERTYPE_VLAN) {
        vlan = batch.view.getUint16(offset + 14) & 0xfff;
        // The addresses move over the tag.
        batch.bytes.copyWithin(offset + TAG, offset, offset + 12);
        offset += TAG;
        length -= TAG;
      }
      const handler = this.#devices.get(vlan)?.handler;
      if (handler === undefined) {
        this.counters.otherVlan++;
        continue;
      }
      const one = this.#one;
      one.meta.set([offset, length, batch.meta[at + 2], batch.meta[at + 3]]);
      handler.onFrames({ bytes: batch.bytes, view: batch.view, meta: one.meta, count: 1 });
    }
  }

  onWritable(): void {
    for (const device of this.#devices.values()) device.handler?.onWritable();
  }
}

/** The device of one VLAN; its frames have no tag. */
export class VlanDevice implements FrameDevice {
  readonly link = 'ethernet' as const;
  // The offload of the kernel counts headers without a tag.
  readonly capabilities: DeviceCapabilities = { checksum: false, tso4: false, tso6: false };
  handler: DeviceHandler | undefined;

  constructor(
    readonly trunk: VlanTrunk,
    readonly vlan: number,
  ) {}

  get mtu(): number {
    return this.trunk.device.mtu;
  }

  start(handler: DeviceHandler): void {
    this.handler = handler;
    this.trunk.begin();
  }

  send(frame: TxFrame): boolean {
    if (this.vlan === 0) return this.trunk.device.send(frame);
    const { header, view } = frame;
    const ethernet = TX_HEADROOM + 12;
    header.copyWithin(ethernet + TAG, ethernet, TX_HEADROOM + frame.headerLength);
    view.setUint16(ethernet, ETHERTYPE_VLAN);
    view.setUint16(ethernet + 2, this.vlan);
    frame.headerLength += TAG;
    const sent = this.trunk.device.send(frame);
    if (!sent) {
      // It is tried again as it was.
      header.copyWithin(ethernet, ethernet + TAG, TX_HEADROOM + frame.headerLength);
      frame.headerLength -= TAG;
    }
    return sent;
  }

  pause(): void {
    this.trunk.device.pause();
  }

  resume(): void {
    this.trunk.device.resume();
  }

  close(): void {
    this.handler = undefined;
    this.trunk.forget(this.vlan);
  }
}
