/**
 * The thread of a simulated process that sends: its frames leave a little later, on another CPU.
 */
import type { FrameArguments } from '../../lib/native/native.js';

/** Until the thread has seen a frame, and the kernel has it, microseconds. */
const LAG_US = 20;
/**
 * From the death of the event loop's thread to that of the sender, microseconds: each thread of a
 * killed process dies when it comes back from its system call.
 */
const DEATH_US = 300;

/** A frame in one piece. */
export function joined(...[, header, offset, length, pieces, spans, count]: FrameArguments<unknown>): Uint8Array {
  let total = length;
  for (let i = 0; i < count; i++) total += spans[2 * i + 1];
  const frame = new Uint8Array(total);
  frame.set(header.subarray(offset, offset + length));
  let at = length;
  for (let i = 0; i < count; i++) {
    const from = spans[2 * i];
    const span = spans[2 * i + 1];
    frame.set(pieces[i].subarray(from, from + span), at);
    at += span;
  }
  return frame;
}

/** A sending thread. */
export class Sender {
  readonly #frames: { atUs: number; bytes: Uint8Array }[] = [];
  #diesUs = Number.POSITIVE_INFINITY;

  constructor(readonly transmit: (frame: Uint8Array) => void) {}

  put(bytes: Uint8Array, nowUs: number): void {
    this.#frames.push({ atUs: nowUs + LAG_US, bytes });
  }

  /** The process was killed, and its event loop's thread is dead. This one is in a system call. */
  kill(nowUs: number): void {
    this.#diesUs = nowUs + DEATH_US;
    for (const frame of this.#frames) frame.atUs = this.#diesUs;
  }

  /** Sends what is due. @returns whether anything was */
  run(nowUs: number): boolean {
    let sent = false;
    while (this.#frames.length > 0 && this.#frames[0].atUs <= Math.min(nowUs, this.#diesUs)) {
      this.transmit(this.#frames.shift()!.bytes);
      sent = true;
    }
    return sent;
  }

  /** Sends all: it is waited for. */
  finish(): void {
    this.run(Number.POSITIVE_INFINITY);
  }

  nextDeadline(): number {
    const next = this.#frames[0]?.atUs ?? Number.POSITIVE_INFINITY;
    return next <= this.#diesUs ? next : Number.POSITIVE_INFINITY;
  }
}
