/**
 * The program's file descriptors. Their numbers are virtual, so that they are the same on every
 * replica. On a backup, a file opened for writing has no real descriptor until the backup becomes
 * primary.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { originals } from '../core/originals.js';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_SYNC } = fs.constants;

/** Above any real descriptor, below 2^31. */
const FIRST_VIRTUAL = 0x2000_0000;
/** Written paths that are remembered; beyond that, every path counts as written. */
const MAX_DIRTY = 10_000;

const FLAGS: Record<string, number> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
};
const ALIASES: Record<string, string> = {
  sr: 'rs',
  'sr+': 'rs+',
  xw: 'wx',
  'xw+': 'wx+',
  xa: 'ax',
  'xa+': 'ax+',
  sa: 'as',
  'sa+': 'as+',
};

/** Open flags as a number; undefined: Node would refuse them. */
export function parseFlags(flags: unknown): number | undefined {
  if (flags === undefined || flags === null) return O_RDONLY;
  if (typeof flags === 'number') return flags;
  if (typeof flags !== 'string') return undefined;
  return FLAGS[ALIASES[flags] ?? flags];
}

/** Whether a file opened with these flags may change. */
export function writes(flags: number): boolean {
  return (flags & (O_WRONLY | O_RDWR)) !== 0 || (flags & (O_CREAT | O_TRUNC)) !== 0;
}

/** Flags for opening a file again: it exists, and its contents must stay. */
export function repeatFlags(flags: number): number {
  return flags & ~(O_TRUNC | O_EXCL);
}

/** A path argument of fs in absolute form. */
export function absolute(target: unknown): string {
  if (target instanceof URL) return fileURLToPath(target);
  return path.resolve(Buffer.isBuffer(target) ? target.toString() : String(target));
}

/** One open file of the program. */
export interface OpenFile {
  /** Its virtual descriptor. */
  readonly vfd: number;
  /** The real descriptor; -1: not open here (yet). */
  fd: number;
  /** Absolute. */
  readonly path: string;
  readonly flags: number;
  readonly mode: number;
  /** A regular file, not a pipe or a device. */
  readonly regular: boolean;
  /** Position of the next read or write without one; null: the kernel's own position counts. */
  position: number | null;
  /** Bytes that a backup's program has read from the log, beyond the kernel's position. */
  passed: number;
  /** Opened for appending: where the program's appends end; null: they are not known. */
  end: number | null;
  /**
   * What a successor found behind `end` when it looked (appends.ts): how many bytes of an append
   * are there. Null: it has not looked.
   */
  tail: { take(append: Buffer): number } | null;
}

/** What {@link DescriptorTable.add} needs of a file. */
export interface NewFile extends Omit<OpenFile, 'vfd' | 'position' | 'passed' | 'end' | 'tail'> {
  /** Its size when it was opened; undefined: not known. */
  readonly size?: number | undefined;
}

/** The open files of a program, and the paths that it has written. */
export class DescriptorTable {
  readonly #files = new Map<number, OpenFile>();
  readonly #dirty = new Set<string>();
  #next = FIRST_VIRTUAL;
  #allDirty = false;

  /** Gives a file the next virtual descriptor. */
  add({ size, ...file }: NewFile): OpenFile {
    const isWritten = file.regular && writes(file.flags);
    const appends = (file.flags & O_APPEND) !== 0;
    // A position of our own makes repeating a write harmless; appending and pipes have none.
    const position = isWritten && !appends ? 0 : null;
    const end = isWritten && appends ? (size ?? null) : null;
    const open: OpenFile = { ...file, vfd: this.#next++, position, passed: 0, end, tail: null };
    this.#files.set(open.vfd, open);
    return open;
  }

  /** The file with a virtual descriptor; undefined for anything else. */
  find(fd: unknown): OpenFile | undefined {
    return typeof fd === 'number' && fd >= FIRST_VIRTUAL ? this.#files.get(fd) : undefined;
  }

  /** Forgets a file; its real descriptor stays open. */
  remove(vfd: number): void {
    this.#files.delete(vfd);
  }

  /** The real descriptor behind a number; other numbers are themselves. */
  toReal(fd: unknown): unknown {
    const file = this.find(fd);
    return file === undefined ? fd : file.fd;
  }

  /** The program has changed this path: other replicas may not find the same there. */
  markDirty(target: string): void {
    if (this.#dirty.size >= MAX_DIRTY) this.#allDirty = true;
    else this.#dirty.add(target);
  }

  /** Whether the program may have changed this path. */
  isDirty(target: string): boolean {
    return this.#allDirty || this.#dirty.has(target);
  }

  /**
   * The real descriptor of a file; it is opened now if the backup has not. Throws as fs.openSync
   * does.
   */
  opened(file: OpenFile): number {
    if (file.fd >= 0) return file.fd;
    // Opening a pipe must not wait for its other end.
    const wait = file.regular ? 0 : fs.constants.O_NONBLOCK;
    file.fd = originals.fs.openSync(file.path, repeatFlags(file.flags) | wait, file.mode);
    return file.fd;
  }

  /** Opens a file if that is possible. */
  tryOpen(file: OpenFile): void {
    try {
      this.opened(file);
    } catch {
      // The program finds out with EBADF when it uses the file.
    }
  }

  /** A backup's program has read bytes from the log, at the position of a file. */
  passed(file: OpenFile | undefined, bytes: number): void {
    if (file?.position === null) file.passed += bytes;
  }

  /** Opens the files that the backup has not opened, where the program has read to. */
  goLive(): void {
    for (const file of this.#files.values()) {
      this.tryOpen(file);
      if (file.passed > 0 && file.regular && (file.flags & O_APPEND) === 0) file.position = file.passed;
      file.passed = 0;
    }
  }

  /** Closes all files. */
  closeAll(): void {
    for (const file of this.#files.values()) {
      if (file.fd >= 0) originals.fs.closeSync(file.fd);
      file.fd = -1;
    }
    this.#files.clear();
  }
}
