/**
 * Payload that was read to where it is wanted, and not behind its headers (direct data placement): a log that holds all that was received
 * need not copy it there. Payloads of one batch lie behind each other, as their records will if nothing else is written in between.
 * Whoever takes one as it is claims it; before anybody else looks at a frame, or the memory is wanted for something else, all that is
 * left is gathered: put to where it belongs.
 *
 * What a process had in its hands when it died is told by the frames' meta words alone, so they are right at any time.
 */
import { type PayloadPlace, RX_CSUM_OK, RX_DIRECT, RX_HEADERS_SHIFT, RX_META_WORDS, type RxBatch } from './rx-batch.js';

const NOWHERE = Number.POSITIVE_INFINITY;
/** Of a frame's flags: where its payload is, a multiple of 8. */
const AT = ~7;

/**
 * Puts a frame together, if it has to be. @returns false for words that cannot be right
 * @param elsewhere where its payload is
 * @param store how the frame's flags are stored
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

/** Stores a word so that who finds the memory after our death sees what was stored before, too. */
type Store = (words: Int32Array, index: number, value: number) => void;

export class DirectPayload {
  /** Offset in the batch where the payload of the frame that is looked at belongs; Infinity when it is there, or was claimed. */
  from = NOWHERE;
  #at = 0;
  #length = 0;
  /** The frame that is looked at, and how many there are: those behind it wait. */
  #frame = 0;
  #frames = 0;
  /** What is written next is what was claimed. */
  #claimed = false;

  constructor(
    readonly batch: RxBatch,
    readonly place: PayloadPlace,
    readonly store: Store,
  ) {}

  /** A batch of so many frames is looked at from now on. @returns how many of them have their payload elsewhere */
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

  /** The frame is looked at next. */
  enter(frame: number): void {
    // Nobody wanted the one before: what follows it has no place any more.
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

  /** All frames have been looked at. */
  end(): void {
    if (this.from !== NOWHERE) this.gather();
    this.#frame = this.#frames = 0;
  }

  /**
   * Takes it where it is, if [from, from + length) of the batch is all of it, and its place is the next one; else all is gathered.
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

  /** Something is about to be put where payload may be. */
  yield(): void {
    if (this.#claimed) this.#claimed = false;
    else if (this.#frame < this.#frames) this.gather();
  }

  /** Puts this frame and all behind it together. */
  gather(): void {
    const { batch, place, store } = this;
    const first = this.from === NOWHERE ? this.#frame + 1 : this.#frame;
    for (let i = first; i < this.#frames; i++) gatherFrame(batch, i, place.bytes, store);
    this.#frame = this.#frames;
    this.from = NOWHERE;
  }
}
