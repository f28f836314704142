/**
 * Direct placement (direct data placement, RFC 5041): the device reads the payload of received segments to where it is
 * wanted, and not behind the headers. A log that records all received bytes then copies nothing.
 *
 * Three parties share the memory; this is their contract. One batch of three frames, two of them placed:
 *
 *     batch slab (device)      | H0 ....... | H1 ....... | H2 P2 |       headers; payload P2 is whole
 *                                 |            |
 *     place (log writer)  ...R R R| gap P0     | gap P1     | free       gap: room for a record header
 *                                 ^ claimable  ^ next payload            R: records written before
 *     receive queue            -> P0, P1 borrowed from the place, P2 from the slab
 *
 *   1. The owner of the place (the log's writer) offers room: `next` = [where the next payload goes, where room ends].
 *      Anything that the owner writes makes the offer void, so the device never reads over a record.
 *   2. The device fills a batch. It leaves in the frame's meta words where a payload is (RX_DIRECT). The meta words
 *      alone say so, at any time: a successor finds the frames of a dead process by them (`gatherFrame`).
 *   3. The stack looks at the frames in order (`enter`). TCP accepts a whole payload in order: it claims it. The claim
 *      succeeds if the payload is exactly where the owner's next record will have it (`here`).
 *   4. The owner writes the record around the claimed payload. Before any other record it calls `yield`: all payload
 *      that is placed and not claimed is gathered, i.e. copied behind its headers.
 *   5. A payload that is not claimed before the next frame is entered makes all later ones void: they are gathered, too.
 *   6. A claimed payload is borrowed by the receive queue (stack/tcp/receive/borrowed-buffers.ts). The owner asks for
 *      it back before it overwrites the memory (failover/log/log-placement.ts).
 */
import { type PayloadPlace, RX_CSUM_OK, RX_DIRECT, RX_HEADERS_SHIFT, RX_META_WORDS, type RxBatch } from './rx-batch.js';

const NOWHERE = Number.POSITIVE_INFINITY;
/** The bits of a frame's flags that hold the offset of its payload, a multiple of 8. */
const AT = ~7;

/**
 * Gathers a frame: copies placed payload behind its headers. A frame that is whole stays as it is.
 * @param elsewhere the memory that its payload is in
 * @param store how the frame's flags are stored
 * @returns false for meta words that cannot be right
 */
export function gatherFrame(
  { meta, bytes }: RxBatch,
  frame: number,
  elsewhere: Uint8Array | undefined,
  store: Store,
): boolean {
  const word = frame * RX_META_WORDS;
  if ((meta[word + 2] & RX_DIRECT) === 0) return true;
  const headers = meta[word + 3] >>> RX_HEADERS_SHIFT;
  const length = meta[word + 1] - headers;
  const at = meta[word + 2] & AT;
  if (length < 0 || at < 0 || elsewhere === undefined || at + length > elsewhere.length) return false;
  bytes.set(elsewhere.subarray(at, at + length), meta[word] + headers);
  store(meta, word + 2, RX_CSUM_OK);
  return true;
}

/** A release store: a process that finds the memory later also sees what was stored before. */
type Store = (words: Int32Array, index: number, value: number) => void;

/** The placed payload of one batch: which of it is claimed, and what has to be gathered. */
export class DirectPayload {
  /** Offset in the batch where the payload of the current frame belongs; Infinity when it is there, or was claimed. */
  from = NOWHERE;
  #at = 0;
  #length = 0;
  /** The current frame, and how many frames the batch has. */
  #frame = 0;
  #frames = 0;
  /** The next record is that of the claimed payload. */
  #claimed = false;

  constructor(
    readonly batch: RxBatch,
    readonly place: PayloadPlace,
    readonly store: Store,
  ) {}

  /** A batch of `frames` frames begins. @returns how many of them have placed payload */
  begin(frames: number): number {
    const { meta } = this.batch;
    let count = 0;
    for (let i = 0; i < frames; i++) if ((meta[i * RX_META_WORDS + 2] & RX_DIRECT) !== 0) count++;
    this.#frame = count === 0 ? frames : -1;
    this.#frames = frames;
    this.#claimed = false;
    this.from = NOWHERE;
    return count;
  }

  /** The stack turns to a frame. */
  enter(frame: number): void {
    // The payload before was not claimed, so the later ones are not where their records will be.
    if (this.from !== NOWHERE) this.gather();
    if (this.#frame === this.#frames) return;
    const { meta } = this.batch;
    const word = frame * RX_META_WORDS;
    this.#frame = frame;
    if ((meta[word + 2] & RX_DIRECT) === 0) return;
    const headers = meta[word + 3] >>> RX_HEADERS_SHIFT;
    this.#at = meta[word + 2] & AT;
    this.#length = meta[word + 1] - headers;
    this.from = meta[word] + headers;
  }

  /** The batch is over. */
  end(): void {
    if (this.from !== NOWHERE) this.gather();
    this.#frame = this.#frames = 0;
  }

  /**
   * Claims the current payload, if [from, from + length) of the batch is all of it and it is where the next record will
   * have it. Otherwise everything is gathered.
   * @returns its offset in the place's memory, or -1
   */
  claim(from: number, length: number): number {
    const { place } = this;
    if (from !== this.from || length !== this.#length || this.#at !== place.here) {
      this.gather();
      return -1;
    }
    this.from = NOWHERE;
    this.#claimed = true;
    return this.#at;
  }

  /** The owner is about to write where payload may be. */
  yield(): void {
    if (this.#claimed) this.#claimed = false;
    else if (this.#frame < this.#frames) this.gather();
  }

  /** Gathers this frame and all behind it. */
  gather(): void {
    const { batch, place, store } = this;
    const first = this.from === NOWHERE ? this.#frame + 1 : this.#frame;
    for (let i = first; i < this.#frames; i++) gatherFrame(batch, i, place.bytes, store);
    this.#frame = this.#frames;
    this.from = NOWHERE;
  }
}
