/**
 * Memory that a device receives into: slots for frames of the largest size, then their meta words.
 * Where processes share it, a survivor finds the frames that were read but perhaps not processed.
 */

import { gatherFrame } from './direct-placement.js';
import { type FrameLender, RX_META_WORDS, type RxBatch } from './rx-batch.js';

/** Bytes of a slot: at least 65,563, the largest frame. */
export const SLOT_BYTES = 65_664;

/** Bytes that `slots` slots need. */
export function slabBytes(slots: number): number {
  return slots * (SLOT_BYTES + RX_META_WORDS * 4);
}

function plainStore(words: Int32Array, index: number, value: number): void {
  words[index] = value;
}

/** Memory for one batch of received frames and its meta words. */
export class RxSlab {
  readonly batch: RxBatch;
  readonly slots: number;

  constructor(
    readonly buffer: ArrayBuffer,
    lender?: FrameLender,
  ) {
    this.slots = Math.floor(buffer.byteLength / slabBytes(1));
    const bytes = this.slots * SLOT_BYTES;
    this.batch = {
      bytes: new Uint8Array(buffer, 0, bytes),
      view: new DataView(buffer, 0, bytes),
      meta: new Int32Array(buffer, bytes, this.slots * RX_META_WORDS),
      count: 0,
      more: false,
      ...(lender && { lender }),
    };
  }

  /**
   * Counts the frames of the last batch of a process that has died. The first invalid meta word
   * ends it.
   * @param elsewhere memory that payload may have been placed in; it moves behind its headers
   */
  recover(elsewhere?: Uint8Array): RxBatch {
    const { batch } = this;
    const { meta, bytes } = batch;
    batch.count = 0;
    for (let at = 0; at < meta.length; at += RX_META_WORDS) {
      const offset = meta[at];
      const length = meta[at + 1];
      if (length <= 0 || offset < 0 || offset + length > bytes.length) break;
      if (!gatherFrame(batch, batch.count, elsewhere, plainStore)) break;
      batch.count++;
    }
    return batch;
  }
}
