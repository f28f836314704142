/**
 * What the program wrote last, in memory that a backup can map: when the outputs of two replicas
 * differ, the backup tells the first bytes that do. A window holds the last writes, and of each the
 * first bytes. Nothing depends on it, and a reader may find a slot half overwritten.
 */

/** Writes that a window holds. */
const SLOTS = 256;
/** Bytes of one write that are kept. */
const KEPT_BYTES = 512;
/** Connection, kept bytes, offset in the stream. */
const SLOT_HEADER = 16;
const SLOT_BYTES = SLOT_HEADER + KEPT_BYTES;

/** Bytes of a window. */
export const OUTPUT_WINDOW_BYTES = SLOTS * SLOT_BYTES;

/** A piece of what was written to a connection. */
export interface Piece {
  /** Offset in the stream of the program's writes. */
  offset: number;
  bytes: Uint8Array;
}

/** The window of one replica. */
export class OutputWindow {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #next = 0;

  /** @param memory {@link OUTPUT_WINDOW_BYTES} bytes */
  constructor(memory: ArrayBuffer = new ArrayBuffer(OUTPUT_WINDOW_BYTES)) {
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
  }

  /** The program writes a chunk to a connection, at an offset of its stream. */
  add(conn: number, offset: number, chunk: Uint8Array): void {
    const view = this.#view;
    const at = (this.#next++ % SLOTS) * SLOT_BYTES;
    const isLong = chunk.length > KEPT_BYTES;
    view.setUint32(at, conn, true);
    view.setUint32(at + 4, isLong ? KEPT_BYTES : chunk.length, true);
    view.setFloat64(at + 8, offset, true);
    this.#bytes.set(isLong ? chunk.subarray(0, KEPT_BYTES) : chunk, at + SLOT_HEADER);
  }

  /** What is kept of a connection, in the order of the stream. */
  piecesOf(conn: number): Piece[] {
    const pieces: Piece[] = [];
    for (let at = 0; at < OUTPUT_WINDOW_BYTES; at += SLOT_BYTES) {
      const length = this.#view.getUint32(at + 4, true);
      if (this.#view.getUint32(at, true) !== conn || length === 0 || length > KEPT_BYTES) continue;
      const bytes = this.#bytes.slice(at + SLOT_HEADER, at + SLOT_HEADER + length);
      pieces.push({ offset: this.#view.getFloat64(at + 8, true), bytes });
    }
    return pieces.sort((one, other) => one.offset - other.offset);
  }
}

/** Where two streams differ first, and the bytes there; '' where one of them has nothing. */
export interface Difference {
  /** Offset in the stream. */
  offset: number;
  here: string;
  there: string;
}

/** Bytes that are shown before and behind a difference. */
const SHOWN_BEFORE = 16;
const SHOWN_BEHIND = 48;

/** Bytes as text: printable ASCII, and \xNN for all others. */
export function escaped(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const isPlain = byte >= 32 && byte < 127 && byte !== 92;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

function shown({ offset, bytes }: Piece, at: number): string {
  const from = Math.max(0, at - offset - SHOWN_BEFORE);
  return escaped(bytes.subarray(from, at - offset + SHOWN_BEHIND));
}

function differenceOf(mine: Piece, other: Piece): number {
  const end = Math.min(mine.offset + mine.bytes.length, other.offset + other.bytes.length);
  for (let at = Math.max(mine.offset, other.offset); at < end; at++)
    if (mine.bytes[at - mine.offset] !== other.bytes[at - other.offset]) return at;
  return -1;
}

/** The first difference between the pieces of two streams; null: none is known. */
export function firstDifference(here: readonly Piece[], there: readonly Piece[]): Difference | null {
  for (const mine of here) {
    for (const other of there) {
      const offset = differenceOf(mine, other);
      if (offset >= 0) return { offset, here: shown(mine, offset), there: shown(other, offset) };
    }
  }
  const ends = [here, there].map((pieces) => {
    const last = pieces.at(-1);
    return last === undefined ? 0 : last.offset + last.bytes.length;
  });
  if (ends[0] === ends[1]) return null;
  // One of them wrote more.
  const [longer, offset] = ends[0] > ends[1] ? [here, ends[1]] : [there, ends[0]];
  const piece = longer.find((candidate) => candidate.offset + candidate.bytes.length > offset);
  const text = piece === undefined ? '' : shown(piece, Math.max(offset, piece.offset));
  return { offset, here: longer === here ? text : '', there: longer === there ? text : '' };
}
