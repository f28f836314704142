/** What the processes of a simulated machine share: clock, TAP queues, memory, FIFOs and locks. */
import { ManualClock } from '../../lib/clock.js';
import type { Fifo, Lock, Queue } from './kernel-objects.js';

/** Frames that wait in a TAP queue at most, as in the kernel. */
const QUEUE_FRAMES = 1000;

/** A kernel with processes of a kind. */
export class Kernel<P extends { readonly pid: number }> {
  readonly clock: ManualClock;
  readonly processes: P[] = [];
  readonly queues: Queue[] = [];
  readonly fifos = new Map<string, Fifo>();
  readonly memory = new Map<string, ArrayBuffer>();
  readonly locks = new Map<string, Lock>();
  /** Processes that say whether their threads are alive. */
  readonly threads = new Map<string, P>();
  /** Takes a frame that a process sends. */
  transmit: (frame: Uint8Array, from: P) => void = () => undefined;
  /** Frames that a process reads at once, at most. */
  batch = Number.POSITIVE_INFINITY;
  /** Frames that found no queue. */
  unread = 0;
  /** Whether a process may have a copy of another one's descriptor. */
  copies = true;

  constructor(
    readonly seed: string,
    startUs: number,
  ) {
    this.clock = new ManualClock(startUs);
  }

  find(pid: number): P | undefined {
    return this.processes.find((process) => process.pid === pid);
  }

  /** A frame from the wire. */
  receive(frame: Uint8Array): void {
    const queue = this.queues.find((one) => one.attached && one.owners > 0);
    if (queue === undefined || queue.frames.length >= QUEUE_FRAMES) this.unread++;
    else queue.frames.push(frame);
  }
}
