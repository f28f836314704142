/**
 * Memory that a device receives into: room for so many frames of the largest kind, then their meta words. It can be shared between
 * processes: then whoever survives finds the frames that were read from the device but may not have been looked at.
 */

import { gatherFrame } from './direct-placement.js';
import { type FrameLender, RX_META_WORDS, type RxBatch } from './rx-batch.js';

/** At least 65563 (the largest frame). */
export const SLOT_BYTES = 65_664;

/** Bytes that so many slots need. */
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
   * Counts the frames of the last batch, of a process that did not live to say how many there are. Bad words end it.
   * @param elsewhere where payload may lie that was read elsewhere; it is put behind its headers
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
