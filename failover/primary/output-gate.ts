/**
 * The output gate of the primary: nothing leaves before the log records that it depends on are
 * stable.
 *
 * GatedDevice stands in front of the real device, so no frame can pass beside the gate. It stores
 * no frames. The stack builds a frame only when the frame may leave, so what waits is the state of
 * a connection, not a queue of frames. An acknowledgement that waited covers everything that has
 * become stable in the meantime.
 *
 * With `written`, a record is stable when it is published in shared memory; the gate does so before
 * the first frame that follows it. With `acked`, a record is stable when the backup has processed
 * it. The gate does not wait for a backup that is still catching up, nor for hints, the records
 * whose loss costs no more than a retransmission.
 *
 * Under load the log grows while output waits, so the gate is seldom open for everything. It is
 * partially open then: the stack asks how far the log is stable (stack/tcp/send/output-commit.ts),
 * and marks each frame that depends on no more as committed.
 */
import { DeviceDecorator } from '../../lib/device/decorator.js';
import type { DeviceHandler, FrameDevice, TxFrame } from '../../lib/device/device.js';
import type { OutputGate } from '../../lib/device/output-gate.js';
import { Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';

/** When a record is stable: `written` to shared memory, or processed and `acked` by the backup. */
export type CommitMode = 'written' | 'acked';

/** Opens and closes the way out, as far as the log is stable. */
export class CommitGate implements OutputGate {
  /** The log; null while there is none (open). */
  writer: RingWriter | null = null;
  /** Times that output had to wait, and frames that left. */
  readonly counters = { held: 0, passed: 0 };
  /** Stops all output for good, for example when the primary has stepped down. */
  shut = false;
  /** In a cluster: whether this machine holds the lease. Null: the group's lock decides. */
  lease: (() => boolean) | null = null;
  readonly partial: boolean;
  /**
   * Nothing leaves before the log is stable to here: how far the predecessor's output went is not
   * known.
   */
  #base = 0;
  #based = false;

  constructor(readonly mode: CommitMode) {
    this.partial = mode === 'acked';
  }

  /** Whether no frame may leave at all, whatever the log has. */
  protected get stopped(): boolean {
    return this.shut || (this.lease !== null && !this.lease());
  }

  isOpen(): boolean {
    if (this.stopped) return false;
    const { writer } = this;
    if (writer === null || !writer.logging) return true;
    writer.publish();
    return !this.partial || !writer.readerReady || writer.uncommitted === 0;
  }

  isPartiallyOpen(): boolean {
    if (!this.partial || this.stopped) return false;
    if (this.#based && this.reached(this.#base)) this.#based = false;
    return !this.#based;
  }

  get end(): number {
    return this.writer?.dependencyEnd ?? 0;
  }

  reached(position: number): boolean {
    return this.writer === null || this.writer.reached(position);
  }

  wait(position: number): void {
    const { writer } = this;
    if (writer === null) return;
    this.counters.held++;
    writer.ring.words[Word.waitPosition] = position | 0;
    writer.ring.store(Word.writerWaiting, 1);
  }

  /** This replica begins to write the log, at its present end. */
  begin(writer: RingWriter): void {
    this.writer = writer;
    this.#base = writer.dependencyEnd;
    this.#based = true;
  }

  /**
   * The last check, at the device: whether a frame may leave.
   * @param committed see `TxFrame.committed`
   */
  passes(committed: boolean): boolean {
    return committed ? !this.stopped : this.isOpen();
  }
}

/** A device that passes on only the frames that its gate admits. */
export class GatedDevice extends DeviceDecorator {
  /** Monotonic time of the first frame sent since this was set to 0. */
  firstSentUs = 0;

  constructor(
    device: FrameDevice,
    readonly gate: CommitGate,
    readonly nowUs: () => number,
  ) {
    super(device);
  }

  override start(handler: DeviceHandler): void {
    this.device.start({
      onFrames: (batch) => {
        handler.onFrames(batch);
        // Received frames are nowhere else yet: early publication limits what a crash can lose.
        this.gate.writer?.publish();
      },
      onWritable: () => handler.onWritable(),
    });
  }

  override send(frame: TxFrame): boolean {
    if (!this.gate.passes(frame.committed)) return false;
    const sent = this.device.send(frame);
    if (sent) {
      this.gate.counters.passed++;
      if (this.firstSentUs === 0) this.firstSentUs = this.nowUs();
    }
    return sent;
  }
}
