/**
 * Direct placement (direct data placement, RFC 5041): the device reads the payload of received
 * segments to where it is wanted, and not behind the headers. A log that records all received bytes
 * then copies nothing.
 *
 * Three parties share the memory: the device, the owner of the place (the log's writer), and the
 * receive queue. One batch of three frames, the first two of them placed (h: bytes of a record's
 * header, R: records, P: payload):
 *
 *   slab of the device     | headers 0 ... | headers 1 ... | headers 2, P2 ... |
 *   place of the owner     ... R R R | h | P0 | h | P1 | free ...
 *                                        ^ claimOffset: the payload of the next record
 *   receive queue          P0 and P1 borrowed from the place, P2 from the slab
 *
 * 1. The owner offers room: `next` = [where the next payload goes, where the room ends]. Whatever
 *    the owner writes makes the offer void, so the device never reads over a record.
 * 2. The device fills a batch. The frames' meta words say where payload is (RX_DIRECT). They are
 *    right at any time, so a successor finds the frames of a dead process (`gatherFrame`).
 * 3. The stack enters the frames in order. TCP claims a whole payload that is next in its stream.
 *    The claim succeeds when the payload is where the owner's next record will have it.
 * 4. The owner writes the record around the claimed payload. Before it writes anything else it
 *    calls `relocate`: unclaimed payload is gathered, i.e. copied behind its headers.
 * 5. When a frame is entered and the payload before was not claimed, no later payload is where its
 *    record will be: all of them are gathered.
 * 6. The receive queue borrows claimed payload (stack/tcp/receive/borrowed-buffers.ts). The owner
 *    has it released before it overwrites the memory (failover/log/log-placement.ts).
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
  /**
   * Offset in the batch where the payload of the current frame belongs; Infinity when it is there,
   * or was claimed.
   */
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
   * Claims the current payload, if [from, from + length) of the batch is all of it and it is where
   * the next record will have it. Otherwise everything is gathered.
   * @returns its offset in the place's memory, or -1
   */
  claim(from: number, length: number): number {
    const { place } = this;
    if (from !== this.from || length !== this.#length || this.#at !== place.claimOffset) {
      this.gather();
      return -1;
    }
    this.from = NOWHERE;
    this.#claimed = true;
    return this.#at;
  }

  /** The owner is about to write where payload may be. */
  relocate(): void {
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
