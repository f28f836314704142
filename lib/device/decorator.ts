/** A device in front of another one; subclasses change what they need to. */
import type { DeviceCapabilities, DeviceHandler, FrameDevice, TxFrame } from './device.js';

/** Passes everything through to the device behind it. */
export abstract class DeviceDecorator implements FrameDevice {
  readonly link: 'ethernet' | 'ip';
  readonly capabilities: DeviceCapabilities;

  constructor(readonly device: FrameDevice) {
    this.link = device.link;
    this.capabilities = device.capabilities;
  }

  get mtu(): number {
    return this.device.mtu;
  }

  start(handler: DeviceHandler): void {
    this.device.start(handler);
  }

  send(frame: TxFrame): boolean {
    return this.device.send(frame);
  }

  pause(): void {
    this.device.pause();
  }

  resume(): void {
    this.device.resume();
  }

  close(): void {
    this.device.close();
  }
}
