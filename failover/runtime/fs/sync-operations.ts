/**
 * Synchronous operations on files, as samples: the live replica does them, and their results or
 * errors are in the running event's record. A backup changes nothing. Where the log ends in the
 * event in which the primary died, the backup does them itself.
 */
import fs from 'node:fs';
import type { Outcome } from '../core/async-operations.js';
import { type AnyFunction, originals } from '../core/originals.js';
import { encodeData, encodeDigest, encodeError, type Logged } from '../core/result-codec.js';
import type { Sample } from '../samples/samples.js';
import { appendedBytes, withoutFirst } from './appends.js';
import { encodingOf, withoutEncoding } from './arguments.js';
import { absolute, writes } from './descriptors.js';
import { readDirectory, VirtualDir } from './directory.js';
import { ALREADY, firstBytes, scatter, type VirtualFs } from './virtual-fs.js';

/**
 * Files of the program itself: all replicas have the same, and Node's module loader reads them by
 * the public functions.
 */
const PROGRAM_FILE = /\.(?:[cm]?[jt]s|json|node|wasm|map)$/;

/** Synchronous operations on a {@link VirtualFs}. All throw what Node's functions throw. */
export class SyncOperations {
  readonly #state: VirtualFs;

  constructor(state: VirtualFs) {
    this.#state = state;
  }

  #take(sample: Sample, caller: AnyFunction): unknown {
    return this.#state.runtime.samples.take(sample, caller);
  }

  /** What Node takes for a target: a virtual descriptor's file is opened if it has not been. */
  #real(target: unknown): unknown {
    const { fds } = this.#state;
    const file = fds.find(target);
    return file === undefined ? target : fds.opened(file);
  }

  /** A call whose value is logged, and which changes nothing. */
  query(name: string, args: readonly unknown[], caller: AnyFunction): unknown {
    const take = (): unknown => this.#state.call(`${name}Sync`, [this.#real(args[0]), ...args.slice(1)]);
    return this.#take({ name: `fs.${name}Sync`, take }, caller);
  }

  /** The entries of a directory, for fs.opendirSync. */
  openDirectory(target: unknown, options: unknown, caller: AnyFunction): VirtualDir {
    const take = (): unknown => this.#state.runtime.outside(() => readDirectory(target, options));
    return new VirtualDir(String(target), this.#take({ name: 'fs.opendirSync', take }, caller) as fs.Dirent[]);
  }

  /** Reads a whole file. @returns bytes, or a string where the options name an encoding */
  readFile(target: unknown, options: unknown, caller: AnyFunction): unknown {
    const state = this.#state;
    const { native } = state.runtime;
    const file = state.fds.find(target);
    const where = typeof target === 'number' ? (file?.path ?? String(target)) : absolute(target);
    const isShared = typeof target !== 'number' && PROGRAM_FILE.test(where) && !state.fds.isDirty(where);
    const take = (): unknown => state.call('readFileSync', [this.#real(target), withoutEncoding(options)]);
    const encode = ({ error, values }: Outcome): Uint8Array => {
      if (error !== null) return encodeError(error);
      const pieces = [values[0] as Buffer];
      return isShared ? encodeDigest(native, pieces) : encodeData(native, pieces);
    };
    const decode = (logged: Logged): Outcome => {
      if (logged.tag === 'data') {
        state.fds.passed(file, logged.data.length);
        return { error: null, values: [Buffer.from(logged.data)] };
      }
      const mine = state.attempt(take);
      state.check({ name: 'fs.readFileSync', id: 0, where }, logged, mine, mine.values as Buffer[]);
      return mine;
    };
    const data = this.#take({ name: 'fs.readFileSync', take, encode, decode }, caller) as Buffer;
    const encoding = encodingOf(options);
    return encoding === undefined ? data : data.toString(encoding);
  }

  /** Opens a file, on a backup as far as it is harmless. @returns a virtual descriptor */
  open({ target, flags, mode }: { target: unknown; flags: number; mode: number }, caller: AnyFunction): number {
    const { runtime, fds } = this.#state;
    const where = absolute(target);
    const isEffect = writes(flags);
    if (isEffect) fds.markDirty(where);
    let fd = -1;
    // The size of a regular file, else -1.
    const openWith = (wanted: number) => (): number => {
      fd = this.#state.call('openSync', [target, wanted, mode]) as number;
      const status = originals.fs.fstatSync(fd);
      return status.isFile() ? status.size : -1;
    };
    const size = this.#take(
      { name: 'fs.openSync', isEffect, take: openWith(flags), redo: openWith(flags & ~fs.constants.O_EXCL) },
      caller,
    );
    const known = typeof size === 'number' && size >= 0 ? size : undefined;
    const file = fds.add({ fd, path: where, flags, mode, regular: size !== -1, size: known });
    if (!runtime.live && fd < 0 && !isEffect && file.regular) fds.tryOpen(file);
    return file.vfd;
  }

  /** Closes a descriptor, virtual or real. */
  close(fd: number): void {
    const { fds } = this.#state;
    const file = fds.find(fd);
    if (file === undefined) {
      this.#state.call('closeSync', [fd]);
      return;
    }
    fds.remove(file.vfd);
    if (file.fd >= 0) originals.fs.closeSync(file.fd);
    file.fd = -1;
  }

  /** Reads into pieces. @returns the number of bytes */
  read(fd: number, pieces: Uint8Array[], position: number | bigint | null, caller: AnyFunction): number {
    const state = this.#state;
    const { native } = state.runtime;
    const file = state.fds.find(fd);
    const at = position ?? file?.position ?? null;
    const isShared = state.readsTheSame(file);
    const name = 'fs.readSync';
    const take = (): unknown => state.readNow(fd, pieces, at);
    const encode = ({ error, values }: Outcome): Uint8Array => {
      if (error !== null) return encodeError(error);
      const filled = firstBytes(pieces, values[0] as number);
      return isShared ? encodeDigest(native, filled) : encodeData(native, filled);
    };
    const decode = (logged: Logged): Outcome => {
      if (logged.tag === 'data') {
        scatter(logged.data, pieces);
        if (position === null) state.fds.passed(file, logged.data.length);
        return { error: null, values: [logged.data.length] };
      }
      const mine = state.attempt(take);
      const filled = mine.error === null ? firstBytes(pieces, mine.values[0] as number) : [];
      state.check({ name, id: 0, where: file?.path ?? String(fd) }, logged, mine, filled);
      return mine;
    };
    const count = this.#take({ name, take, encode, decode }, caller) as number;
    if (position === null && file !== undefined && file.position !== null) file.position += count;
    return count;
  }

  /** Writes pieces one after the other. @returns the number of bytes */
  write(fd: number, pieces: Uint8Array[], position: number | null, caller: AnyFunction): number {
    const { fds } = this.#state;
    const file = fds.find(fd);
    const at = position ?? file?.position ?? null;
    const write = (some: readonly Uint8Array[]): number =>
      originals.fs.writevSync(this.#real(fd) as number, some, at ?? undefined);
    const take = (): number => write(pieces);
    const redo = (): number => {
      const there = appendedBytes(file, pieces);
      return there === lengthOf(pieces) ? there : there + write(withoutFirst(pieces, there));
    };
    const count = this.#take(
      { name: 'fs.writeSync', isEffect: true, take, redo, withoutLog: () => lengthOf(pieces) },
      caller,
    ) as number;
    if (position === null && file !== undefined && file.position !== null) file.position += count;
    if (file !== undefined && file.end !== null) file.end += count;
    return count;
  }

  /** Writes or appends a whole file. */
  writeFile(
    name: 'writeFile' | 'appendFile',
    { target, bytes, options }: { target: unknown; bytes: Uint8Array; options: unknown },
    caller: AnyFunction,
  ): void {
    if (typeof target === 'number') {
      for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(this.write(target, [rest], null, caller));
      return;
    }
    const take = (): unknown => this.#state.call(`${name}Sync`, [target, bytes, withoutEncoding(options)]);
    this.#take({ name: `fs.${name}Sync`, isEffect: true, take }, caller);
  }

  /** Makes a directory with a random name: drawn from the event's generator instead of libuv's. */
  makeTemporary(prefix: string, caller: AnyFunction): string {
    const name = prefix + Math.random().toString(36).slice(2, 8).padEnd(6, 'x');
    this.#state.fds.markDirty(absolute(name));
    const take = (): unknown => originals.fs.mkdirSync(name, 0o700);
    this.#take({ name: 'fs.mkdtempSync', isEffect: true, take, redo: () => unlessDone('mkdir', take) }, caller);
    return name;
  }

  /** Any other effect, by the name of its callback function. */
  effect(name: string, args: readonly unknown[], caller: AnyFunction): unknown {
    const take = (): unknown => this.#state.call(`${name}Sync`, [this.#real(args[0]), ...args.slice(1)]);
    return this.#take({ name: `fs.${name}Sync`, isEffect: true, take, redo: () => unlessDone(name, take) }, caller);
  }
}

/** Does an effect again, which the dead primary may have done: then the program is told so. */
function unlessDone(name: string, run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (ALREADY[name] !== undefined && (error as NodeJS.ErrnoException).code === ALREADY[name]) return undefined;
    throw error;
  }
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}
