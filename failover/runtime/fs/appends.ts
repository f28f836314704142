/**
 * Appends to files. An append has no position, so repeating it writes twice. Each replica therefore
 * knows where the program's own appends to a file end: the file's size when it was opened, and what
 * was appended since. A successor looks behind that place whether the dead primary's last appends
 * are there already, whole or in part. Other processes may append to the same file.
 */
import { originals } from '../core/originals.js';
import type { OpenFile } from './descriptors.js';

/** Bytes that a successor looks through, at most; a primary's last moment appends fewer. */
const MAX_TAIL = 64 * 1024 * 1024;

/** What a successor found behind the known end of a file, when it looked first. */
export class AppendedTail {
  readonly #bytes: Buffer;
  /** Where appends were found. */
  readonly #found = new Set<number>();
  #foundBytes = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /**
   * How many bytes of an append the dead primary has written: all, some that end the file, or none.
   * Each place counts once.
   */
  take(data: Buffer): number {
    if (data.length === 0) return 0;
    for (let at = this.#bytes.indexOf(data); at >= 0; at = this.#bytes.indexOf(data, at + 1)) {
      if (this.#found.has(at)) continue;
      this.#found.add(at);
      this.#foundBytes += data.length;
      return data.length;
    }
    const rest = this.#bytes.subarray(this.#foundBytes);
    if (rest.length === 0 || rest.length >= data.length || !data.subarray(0, rest.length).equals(rest)) return 0;
    this.#foundBytes += rest.length;
    return rest.length;
  }
}

function tailOf({ path, end }: OpenFile): AppendedTail {
  const from = end ?? 0;
  const fd = originals.fs.openSync(path, 'r');
  try {
    const length = Math.min(Math.max(0, originals.fs.fstatSync(fd).size - from), MAX_TAIL);
    const bytes = Buffer.alloc(length);
    const count = originals.fs.readSync(fd, bytes, 0, length, from);
    return new AppendedTail(bytes.subarray(0, count));
  } finally {
    originals.fs.closeSync(fd);
  }
}

/**
 * Bytes of an append that are in the file already.
 * @param file a file that is open for appending; undefined, or another one: nothing is known
 */
export function appendedBytes(file: OpenFile | undefined, pieces: readonly Uint8Array[]): number {
  if (file === undefined || file.end === null) return 0;
  try {
    file.tail ??= tailOf(file);
  } catch {
    // It is gone, or may not be read: then the append is repeated.
    return 0;
  }
  return file.tail.take(Buffer.concat(pieces));
}

/** Pieces without their first bytes. */
export function withoutFirst(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  for (const piece of pieces) {
    if (bytes < piece.length) rest.push(piece.subarray(bytes));
    bytes = Math.max(0, bytes - piece.length);
  }
  return rest;
}
