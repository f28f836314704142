/**
 * fs.Dir for the program. Node's class reads a directory in parts; here all entries are read at
 * once, because they are one result in the log.
 */
import fs from 'node:fs';
import { originals } from '../core/originals.js';

/** Entries of a directory, in the order in which Node gives them. Throws as fs.opendirSync does. */
export function readDirectory(target: unknown, options: unknown): fs.Dirent[] {
  const dir = originals.fs.opendirSync(target as string, options as fs.OpenDirOptions);
  const entries: fs.Dirent[] = [];
  try {
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) entries.push(entry);
  } finally {
    dir.closeSync();
  }
  return entries;
}

type EntryCallback = (error: Error | null, entry?: fs.Dirent | null) => void;

/** An open directory with the members of Node's Dir. */
export class VirtualDir {
  readonly path: string;
  readonly #entries: readonly fs.Dirent[];
  #next = 0;
  #isClosed = false;

  constructor(path: string, entries: readonly fs.Dirent[]) {
    this.path = path;
    this.#entries = entries;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw Object.assign(new Error('Directory handle was closed'), { code: 'ERR_DIR_CLOSED' });
  }

  /** The next entry; null behind the last one. Throws ERR_DIR_CLOSED. */
  readSync(): fs.Dirent | null {
    this.#assertOpen();
    return this.#entries[this.#next++] ?? null;
  }

  /** As {@link readSync}, in the next tick. */
  read(callback?: EntryCallback): Promise<fs.Dirent | null> | undefined {
    if (callback === undefined) return new Promise((resolve) => resolve(this.readSync()));
    const entry = this.readSync();
    process.nextTick(callback, null, entry);
    return undefined;
  }

  /** Throws ERR_DIR_CLOSED. */
  closeSync(): void {
    this.#assertOpen();
    this.#isClosed = true;
  }

  /** As {@link closeSync}, in the next tick. */
  close(callback?: (error?: Error | null) => void): Promise<void> | undefined {
    if (callback === undefined) return new Promise((resolve) => resolve(this.closeSync()));
    this.closeSync();
    process.nextTick(callback, null);
    return undefined;
  }

  /** The entries that are left; the directory is closed at their end. */
  async *entries(): AsyncGenerator<fs.Dirent> {
    try {
      for (let entry = this.readSync(); entry !== null; entry = this.readSync()) yield entry;
    } finally {
      if (!this.#isClosed) this.closeSync();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<fs.Dirent> {
    return this.entries();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) this.closeSync();
  }

  [Symbol.dispose](): void {
    if (!this.#isClosed) this.closeSync();
  }
}

// `instanceof fs.Dir` holds.
Object.setPrototypeOf(VirtualDir.prototype, fs.Dir.prototype);
