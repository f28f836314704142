/**
 * The output gate: nothing leaves the primary before the log records that it depends on are stable.
 *
 * It is a device in front of the device, so no frame can go around it. Frames are not stored here: the stack builds a
 * frame only when it may leave, so what waits is a connection's state, not a queue of
 * frames, and an acknowledgement that waited acknowledges all that has become stable meanwhile.
 *
 * `written`: a record is stable once it is published in the shared memory, which is done here, just before the first
 * frame that follows it. `acked`: a record is stable when the backup has processed it; a backup
 * that has not caught up yet is not waited for, nor is anybody for hints: records whose loss costs a retransmission and no more.
 * As the log grows while output waits, the gate is seldom open for everything under load: it is ajar then, and the stack asks how far the log is
 * stable, and sends what depends on no more (tcp/held.ts), vouching for each such frame.
 */
import type { DeviceCapabilities, DeviceHandler, FrameDevice, TxFrame } from '../../lib/device/device.js';
import type { OutputGate } from '../../stack/observer.js';
import { invariants } from '../log/invariants.js';
import { type RingWriter, Word } from '../log/ring.js';

export type CommitMode = 'written' | 'acked';

export class CommitGate implements OutputGate {
  /** The log; null while there is none (open). */
  writer: RingWriter | null = null;
  readonly counters = { held: 0, passed: 0 };
  /** Silences the primary for good, e.g. when it has lost the right to be one. */
  shut = false;
  /** Several machines: whether this one may speak now. Without it, the group's lock says so. */
  lease: (() => boolean) | null = null;
  vouched = false;
  readonly partial: boolean;
  /** Before the log is stable to there nothing leaves: how far the predecessor's output went is not known. */
  #base = 0;
  #based = false;

  constructor(readonly mode: CommitMode) {
    this.partial = mode === 'acked';
  }

  get #silent(): boolean {
    return this.shut || (this.lease !== null && !this.lease());
  }

  isOpen(): boolean {
    if (this.#silent) return false;
    const { writer } = this;
    if (writer === null || !writer.logging) return true;
    writer.publish();
    return !this.partial || !writer.readerReady || writer.unstable === 0;
  }

  isAjar(): boolean {
    if (!this.partial || this.#silent) return false;
    if (this.#based && this.reached(this.#base)) this.#based = false;
    return !this.#based;
  }

  get end(): number {
    return this.writer?.must ?? 0;
  }

  reached(position: number): boolean {
    return this.writer === null || this.writer.reached(position) || !invariants.C1;
  }

  wait(position: number): void {
    const { writer } = this;
    if (writer === null) return;
    this.counters.held++;
    writer.ring.words[Word.waitPosition] = position | 0;
    writer.ring.store(Word.writerWaiting, 1);
  }

  /** A replica begins to write the log where it is now. */
  begin(writer: RingWriter): void {
    this.writer = writer;
    this.#base = writer.must;
    this.#based = true;
  }

  /** Whether the next frame may leave. */
  passes(): boolean {
    return this.vouched ? !this.#silent : this.isOpen();
  }
}

/** Every frame of the stack passes here. */
export class GatedDevice implements FrameDevice {
  readonly link: 'ethernet' | 'ip';
  readonly capabilities: DeviceCapabilities;
  /** Monotonic time of the first frame sent since this was set to 0. */
  firstSentUs = 0;

  constructor(
    readonly device: FrameDevice,
    readonly gate: CommitGate,
    readonly nowUs: () => number,
  ) {
    this.link = device.link;
    this.capabilities = device.capabilities;
  }

  get mtu(): number {
    return this.device.mtu;
  }

  start(handler: DeviceHandler): void {
    this.device.start({
      onFrames: (batch) => {
        handler.onFrames(batch);
        // What has been read from the device is nowhere else: the sooner the log has it, the less a death can lose.
        this.gate.writer?.publish();
      },
      onWritable: () => handler.onWritable(),
    });
  }

  send(frame: TxFrame): boolean {
    if (!this.gate.passes()) return false;
    const sent = this.device.send(frame);
    if (sent) {
      this.gate.counters.passed++;
      if (this.firstSentUs === 0) this.firstSentUs = this.nowUs();
    }
    return sent;
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
