/**
 * The log as a place for received payload (direct data placement). The device reads payload to
 * where its record will have it, so that logging it copies nothing, and the receive queue refers to
 * it there. The contract between the device, the log and the borrowed buffers is described in
 * lib/device/direct-placement.ts.
 */

import type { PayloadPlace, PlacedPayload } from '../../lib/device/rx-batch.js';
import { SLOT_BYTES } from '../../lib/device/rx-slab.js';
import { RECORD_HEADER, ReceivedBody } from './records.js';
import { bytesBetweenPositions, type Ring } from './ring.js';

/** Frames below this many bytes are not placed: a copy costs less than reading in two parts. */
export const MIN_IN_PLACE = 4096;
/**
 * Payload is placed this many bytes behind the end of the log at most: the checksum finds it in the
 * cache.
 */
const MAX_AHEAD_BYTES = 256 * 1024;

/** The end of the log, where its writer is. */
export interface LogEnd {
  readonly ring: Ring;
  /** False while nothing is logged. */
  readonly logging: boolean;
  /** Offset of the next record in the data area. */
  readonly at: number;
  /** Position of the next record. */
  readonly position: number;
  /** Position that readers can see. */
  readonly publishedPosition: number;
  /** Bytes that can be appended without losing what a reader needs. */
  readonly appendable: number;
}

/** Refers to received bytes in the log until they are about to be overwritten. */
export interface LogBorrower {
  /** Counts how often everything has been released. */
  readonly returns: number;
  /** Releases everything: copies what is still needed. */
  giveBack(): void;
}

/**
 * Where the device may place payload, and who borrows it. The writer calls
 * `beforeRecord`, and sets next[0] to -1 behind each record.
 */
export class LogPlacement implements PayloadPlace {
  readonly bytes: Uint8Array;
  readonly next = Int32Array.of(-1, 0);
  readonly headerBytes = RECORD_HEADER + ReceivedBody.size;
  placed: PlacedPayload | null = null;
  readonly #end: LogEnd;
  #borrower: LogBorrower | null = null;
  /** Position of the oldest record that is borrowed, and the borrower's count of releases then. */
  #borrowedAt = 0;
  #borrowedIn = 0;

  constructor(
    end: LogEnd,
    /** Frames from this many bytes on are placed. */
    readonly minFrameBytes = MIN_IN_PLACE,
  ) {
    this.#end = end;
    this.bytes = end.ring.bytes;
  }

  /** Where the payload of a received chunk has to be, if its record is the next one. */
  get claimOffset(): number {
    return this.#end.at + this.headerBytes;
  }

  offer(): void {
    const { next } = this;
    const { logging, appendable, at, ring } = this.#end;
    const bytes = logging ? Math.min(appendable - 8, ring.size - at, MAX_AHEAD_BYTES) : 0;
    next[1] = at + bytes;
    next[0] = bytes >= SLOT_BYTES ? this.claimOffset : -1;
  }

  /** The bytes of the last record are borrowed, until they may be overwritten. */
  borrow(borrower: LogBorrower): void {
    if (this.#borrower !== borrower || this.#borrowedIn !== borrower.returns)
      this.#borrowedAt = this.#end.publishedPosition;
    this.#borrowedIn = borrower.returns;
    this.#borrower = borrower;
  }

  /** `need` bytes behind the log's end are about to be written. */
  beforeRecord(need: number): void {
    this.placed?.relocate();
    if (this.#borrower !== null) this.#releaseBefore(need);
  }

  /** Half of the ring after the oldest borrowed record everything is released. */
  #releaseBefore(need: number): void {
    const { ring, position } = this.#end;
    const borrower = this.#borrower;
    if (borrower === null || bytesBetweenPositions(this.#borrowedAt, position) + need <= ring.size / 2) return;
    if (borrower.returns === this.#borrowedIn) borrower.giveBack();
    this.#borrower = null;
  }
}
