/**
 * What the synchronous functions of node:fs do. Queries run on every replica. Effects are
 * suppressed on a backup, and return what success returns.
 */
import fs from 'node:fs';
import { originals } from '../core/originals.js';
import { withoutEncoding } from './arguments.js';
import { absolute, writes } from './descriptors.js';
import type { VirtualFs } from './virtual-fs.js';

/** Synchronous operations on a {@link VirtualFs}. All throw what Node's functions throw. */
export class SyncOperations {
  readonly #state: VirtualFs;

  constructor(state: VirtualFs) {
    this.#state = state;
  }

  /** Opens a file, on a backup as far as it is harmless. @returns a virtual descriptor */
  open(target: unknown, flags: number, mode: number): number {
    const { runtime, fds, suppressed } = this.#state;
    const where = absolute(target);
    const writing = writes(flags);
    if (writing) fds.markDirty(where);
    if (runtime.live || !writing) {
      const fd = this.#state.call('openSync', [target, flags, mode]) as number;
      return fds.add({ fd, path: where, flags, mode, regular: originals.fs.fstatSync(fd).isFile() }).vfd;
    }
    const stats = originals.fs.statSync(where, { throwIfNoEntry: false });
    const file = fds.add({ fd: -1, path: where, flags, mode, regular: stats?.isFile() ?? true });
    suppressed.add(() => {
      file.fd = originals.fs.openSync(where, flags & ~fs.constants.O_EXCL, mode);
    });
    return file.vfd;
  }

  /** Closes a descriptor, virtual or real. */
  close(fd: number): void {
    const { runtime, fds, suppressed } = this.#state;
    const file = fds.find(fd);
    if (file === undefined) {
      this.#state.call('closeSync', [fd]);
      return;
    }
    fds.remove(file.vfd);
    if (file.fd >= 0) originals.fs.closeSync(file.fd);
    // A suppressed write before it may have to be carried out: the file is closed after that.
    else if (!runtime.live) {
      suppressed.add(() => {
        if (file.fd >= 0) originals.fs.closeSync(file.fd);
        file.fd = -1;
      });
    }
  }

  /** Reads into pieces. @returns the number of bytes */
  read(fd: number, pieces: Uint8Array[], position: number | bigint | null): number {
    const file = this.#state.fds.find(fd);
    const count = this.#state.readNow(fd, pieces, position ?? file?.position ?? null);
    if (position === null && file !== undefined && file.position !== null) file.position += count;
    return count;
  }

  /** Writes pieces one after the other. @returns the number of bytes */
  write(fd: number, pieces: Uint8Array[], position: number | null): number {
    const { runtime, fds, suppressed } = this.#state;
    let length = 0;
    for (const piece of pieces) length += piece.length;
    const file = fds.find(fd);
    const at = position ?? file?.position ?? null;
    const tracked = position === null && file !== undefined && file.position !== null;
    if (tracked) file.position = (at as number) + length;
    if (!runtime.live) {
      // The program may change its buffers, and may close the file.
      const copies = pieces.map((piece) => Uint8Array.from(piece));
      suppressed.add(() => {
        originals.fs.writevSync(file === undefined ? fd : fds.opened(file), copies, at ?? undefined);
      });
      return length;
    }
    const count = originals.fs.writevSync(fds.toReal(fd) as number, pieces, at ?? undefined);
    if (at !== null && count < length && file?.position === at + length) file.position = at + count;
    return count;
  }

  /** Writes or appends a whole file. */
  writeFile(name: 'writeFile' | 'appendFile', target: unknown, bytes: Uint8Array, options: unknown): void {
    const { runtime, suppressed } = this.#state;
    if (typeof target === 'number') {
      for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(this.write(target, [rest], null));
      return;
    }
    const run = (content: Uint8Array): unknown =>
      this.#state.call(`${name}Sync`, [target, content, withoutEncoding(options)]);
    if (runtime.live) {
      run(bytes);
      return;
    }
    const copy = Uint8Array.from(bytes);
    suppressed.add(() => run(copy));
  }

  /** Makes a directory with a random name: drawn from the event's generator instead of libuv's. */
  makeTemporary(prefix: string): string {
    const { runtime, fds, suppressed } = this.#state;
    const name = prefix + Math.random().toString(36).slice(2, 8).padEnd(6, 'x');
    const run = (): unknown => originals.fs.mkdirSync(name, 0o700);
    fds.markDirty(absolute(name));
    if (runtime.live) run();
    else suppressed.add(run);
    return name;
  }

  /** Any other effect, by the name of its callback function. */
  effect(name: string, args: readonly unknown[]): unknown {
    const { runtime, fds, suppressed } = this.#state;
    const file = fds.find(args[0]);
    const run = (): unknown =>
      this.#state.call(`${name}Sync`, [file === undefined ? args[0] : fds.opened(file), ...args.slice(1)]);
    if (runtime.live) return run();
    suppressed.add(run);
    return undefined;
  }
}
