/**
 * The asynchronous operations on files. Queries and effects are logged with their results. Data
 * that a backup can read by itself (a regular file that the program has not written) is logged as a
 * digest.
 */
import fs from 'node:fs';
import type { Operation, Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import { type AnyFunction, originals } from '../core/originals.js';
import {
  crcOf,
  decodeResult,
  encodeData,
  encodeDigest,
  encodeError,
  encodeOutcome,
  type Logged,
  matches,
  sameOutcome,
} from '../core/result-codec.js';
import { appendedBytes, withoutFirst } from './appends.js';
import { absolute, DescriptorTable, type OpenFile, writes } from './descriptors.js';
import { readDirectory } from './directory.js';

/** A Node callback. */
export type NodeCallback = (error: NodeJS.ErrnoException | null, ...values: unknown[]) => void;

const originalFs = originals.fs as unknown as Record<string, AnyFunction>;

/**
 * Node implements these in JavaScript over its public functions, with ticks in between: one native
 * call instead.
 */
const REPLACEMENTS: Record<string, AnyFunction> = {
  realpath: originals.fs.realpath.native as AnyFunction,
  realpathSync: originals.fs.realpathSync.native as AnyFunction,
  cp: (...args) => {
    const done = args.pop() as (error: unknown) => void;
    done(attempt(() => originalFs['cpSync'](...args)).error);
  },
  opendir: (...args) => {
    const done = args.pop() as NodeCallback;
    const { error, values } = attempt(() => readDirectory(args[0], args[1]));
    done(error, ...values);
  },
  opendirSync: readDirectory as AnyFunction,
};

/** Errors which show that a repeated effect had been carried out before. */
export const ALREADY: Record<string, string> = {
  mkdir: 'EEXIST',
  link: 'EEXIST',
  symlink: 'EEXIST',
  unlink: 'ENOENT',
  rm: 'ENOENT',
  rmdir: 'ENOENT',
  rename: 'ENOENT',
};

/** Runs a synchronous function for its outcome. */
function attempt(fn: () => unknown): Outcome {
  try {
    const value = fn();
    return { error: null, values: value === undefined ? [] : [value] };
  } catch (error) {
    return { error: error as NodeJS.ErrnoException, values: [] };
  }
}

function callback(done: (outcome: Outcome) => void): NodeCallback {
  return (error, ...values) => done({ error: error ?? null, values: error ? [] : values });
}

/** Where a read puts its data, or a write takes it from. */
export interface Transfer {
  /** Virtual or real. */
  fd: number;
  pieces: Uint8Array[];
  position: number | bigint | null;
}

/** The asynchronous operations on the program's files, and what all of fs/ shares. */
export class VirtualFs {
  readonly fds = new DescriptorTable();
  readonly runtime: RuntimeContext;

  constructor(runtime: RuntimeContext) {
    this.runtime = runtime;
  }

  /** Calls an original function, with Node's own functions under it. */
  call(name: string, args: readonly unknown[]): unknown {
    return this.runtime.outside(() => (REPLACEMENTS[name] ?? originalFs[name])(...args));
  }

  /** The backup becomes primary. */
  goLive(): void {
    this.fds.goLive();
  }

  /** The outcome of a function. */
  attempt(fn: () => unknown): Outcome {
    return attempt(fn);
  }

  #diverged(what: string, id: number, detail: string): void {
    this.runtime.diverged({ what, id, detail });
  }

  /**
   * An operation whose logged result is all that a backup needs: queries and effects. `args` may
   * begin with a virtual descriptor.
   */
  logged(name: string, args: readonly unknown[], effect: boolean, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const run = (fn: string, last: unknown[]): unknown =>
      this.call(fn, [fds.toReal(args[0]), ...args.slice(1), ...last]);
    const start = (done: (outcome: Outcome) => void): void => {
      run(name, [callback(done)]);
    };
    const operation: Operation = {
      name: `fs.${name}`,
      effect,
      start,
      redo: (done) =>
        start((outcome) => {
          const already = effect && ALREADY[name] !== undefined && outcome.error?.code === ALREADY[name];
          done(already ? { error: null, values: [] } : outcome);
        }),
      encode: (outcome) => encodeOutcome(runtime.native, outcome),
      decode: (result, _local, id) => {
        const logged = decodeResult(result);
        if (logged.tag === 'error') return { error: logged.error, values: [] };
        if (logged.tag === 'values') return { error: null, values: logged.values };
        if (logged.tag !== 'digest') return { error: null, values: [] };
        const mine = attempt(() => run(`${name}Sync`, []));
        if (!sameOutcome(runtime.native, logged, mine)) this.#diverged(`fs.${name}`, id, 'the result differs');
        return mine;
      },
      settle: (outcome) => {
        if (outcome.error !== null) settle(outcome.error);
        else settle(null, ...outcome.values);
      },
    };
    runtime.operations.begin(operation);
  }

  /**
   * Opens a file; the value is a virtual descriptor. A backup opens regular files for reading only.
   */
  open(target: unknown, flags: number, mode: number, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const where = absolute(target);
    const writing = writes(flags);
    if (writing) fds.markDirty(where);
    let mine = -1;
    const start = (wanted: number) => (done: (outcome: Outcome) => void) => {
      this.call('open', [
        target,
        wanted,
        mode,
        callback((outcome) => {
          if (outcome.error === null) {
            mine = outcome.values[0] as number;
            const status = originals.fs.fstatSync(mine);
            outcome.values = [status.isFile(), status.size];
          }
          done(outcome);
        }),
      ]);
    };
    runtime.operations.begin({
      name: 'fs.open',
      effect: writing,
      start: start(flags),
      redo: start(flags & ~fs.constants.O_EXCL),
      // Only regular files: opening a pipe would wait.
      ...(writing
        ? {}
        : {
            local: () =>
              attempt(() => {
                const regular = originals.fs.statSync(where).isFile();
                if (regular) mine = originals.fs.openSync(where, flags, mode);
                return regular;
              }),
          }),
      encode: (outcome) => encodeOutcome(runtime.native, outcome),
      decode: (result, local, id) => {
        const logged = decodeResult(result);
        if (logged.tag === 'error') {
          if (local !== undefined && local.error?.code !== logged.error.code) {
            this.#diverged('fs.open', id, `${where}: ${logged.error.code}, here ${local.error?.code ?? 'success'}`);
          }
          if (mine >= 0) originals.fs.closeSync(mine);
          return { error: logged.error, values: [] };
        }
        if (local?.error) this.#diverged('fs.open', id, `${where}: success, here ${local.error.code}`);
        return { error: null, values: logged.tag === 'values' ? logged.values : [true] };
      },
      settle: (outcome) => {
        if (outcome.error !== null) return settle(outcome.error);
        const [regular, size] = outcome.values as [boolean, number | undefined];
        settle(null, fds.add({ fd: mine, path: where, flags, mode, regular, size }).vfd);
      },
    });
  }

  /** Closes a descriptor, virtual or real. */
  close(vfd: number, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const file = fds.find(vfd);
    fds.remove(vfd);
    const fd = file === undefined ? vfd : file.fd;
    runtime.operations.begin({
      name: 'fs.close',
      effect: false,
      start: (done) => {
        this.call('close', [fd, callback(done)]);
      },
      local: () =>
        file !== undefined && fd >= 0 ? attempt(() => originals.fs.closeSync(fd)) : { error: null, values: [] },
      encode: (outcome) => encodeOutcome(runtime.native, outcome),
      decode: (result) => {
        const logged = decodeResult(result);
        return { error: logged.tag === 'error' ? logged.error : null, values: [] };
      },
      settle: (outcome) => settle(outcome.error),
    });
  }

  /** Whether a backup can read the same from this file by itself. */
  readsTheSame(file: OpenFile | undefined): file is OpenFile {
    return file?.regular === true && !writes(file.flags) && !this.fds.isDirty(file.path);
  }

  /** Reads into pieces; the outcome's value is the number of bytes. */
  read(name: string, transfer: Transfer, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const file = fds.find(transfer.fd);
    const sameHere = this.readsTheSame(file);
    const position = transfer.position ?? file?.position ?? null;
    const tracked = transfer.position === null && file?.position != null;
    const filled = (count: number): Uint8Array[] => firstBytes(transfer.pieces, count);
    const local = (): Outcome => attempt(() => this.readNow(transfer.fd, transfer.pieces, position));
    runtime.operations.begin({
      name,
      effect: false,
      start: (done) => {
        const fd = fds.toReal(transfer.fd);
        const one = transfer.pieces.length === 1 ? transfer.pieces[0] : undefined;
        if (one !== undefined) this.call('read', [fd, one, 0, one.length, position, callback(done)]);
        else this.call('readv', [fd, transfer.pieces, position, callback(done)]);
      },
      ...(sameHere ? { local } : {}),
      encode: (outcome) => {
        if (outcome.error !== null) return encodeError(outcome.error);
        const pieces = filled(outcome.values[0] as number);
        return sameHere ? encodeDigest(runtime.native, pieces) : encodeData(runtime.native, pieces);
      },
      decode: (result, mine, id) => {
        const logged = decodeResult(result);
        if (logged.tag === 'error') return { error: logged.error, values: [] };
        if (logged.tag === 'data') {
          scatter(logged.data, transfer.pieces);
          if (transfer.position === null) fds.passed(file, logged.data.length);
          return { error: null, values: [logged.data.length] };
        }
        const outcome = mine ?? local();
        const data = outcome.error === null ? filled(outcome.values[0] as number) : [];
        this.check({ name, id, where: file?.path ?? String(transfer.fd) }, logged, outcome, data);
        return outcome;
      },
      settle: (outcome) => {
        if (outcome.error !== null) return settle(outcome.error);
        const count = (outcome.values[0] as number) ?? 0;
        if (tracked && file !== undefined) file.position = Number(position) + count;
        settle(null, count);
      },
    });
  }

  /** Whether a backup has read what the primary's digest says; reports it if not. */
  check(from: { name: string; id: number; where: string }, logged: Logged, outcome: Outcome, data: Uint8Array[]): void {
    if (logged.tag !== 'digest') return;
    const { name, id, where } = from;
    if (outcome.error !== null) this.#diverged(name, id, `${where}: here ${outcome.error.code}`);
    else if (!matches(this.runtime.native, logged, data)) {
      const crc = crcOf(this.runtime.native, data).toString(16);
      this.#diverged(name, id, `${where}: ${logged.length} bytes with CRC ${logged.crc.toString(16)}, here ${crc}`);
    }
  }

  /** Reads at once. A file that this backup has not opened is opened for this read only. */
  readNow(fd: number, pieces: Uint8Array[], position: number | bigint | null): number {
    const file = this.fds.find(fd);
    if (file === undefined || file.fd >= 0) {
      return originals.fs.readvSync(
        this.fds.toReal(fd) as number,
        pieces,
        (position ?? undefined) as number | undefined,
      );
    }
    const temporary = originals.fs.openSync(file.path, 'r');
    try {
      return originals.fs.readvSync(temporary, pieces, (position ?? undefined) as number | undefined);
    } finally {
      originals.fs.closeSync(temporary);
    }
  }

  /** Writes pieces; the outcome's value is the number of bytes. */
  write(name: string, transfer: Transfer, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const file = fds.find(transfer.fd);
    const position = transfer.position ?? file?.position ?? null;
    const tracked = transfer.position === null && file?.position != null;
    let length = 0;
    for (const piece of transfer.pieces) length += piece.length;
    if (tracked && file !== undefined) file.position = Number(position) + length;
    const start = (pieces: Uint8Array[], done: (outcome: Outcome) => void): void => {
      const fd = fds.toReal(transfer.fd);
      const one = pieces.length === 1 ? pieces[0] : undefined;
      if (one !== undefined) this.call('write', [fd, one, 0, one.length, position, callback(done)]);
      else this.call('writev', [fd, pieces, position, callback(done)]);
    };
    runtime.operations.begin({
      name,
      effect: true,
      start: (done) => start(transfer.pieces, done),
      redo: (done) => {
        const there = appendedBytes(file, transfer.pieces);
        if (there === length) return done({ error: null, values: [length] });
        start(withoutFirst(transfer.pieces, there), ({ error, values }) =>
          done({ error, values: error === null ? [there + (values[0] as number)] : values }),
        );
      },
      encode: (outcome) => encodeOutcome(runtime.native, { error: outcome.error, values: outcome.values.slice(0, 1) }),
      decode: (result) => {
        const logged = decodeResult(result);
        if (logged.tag === 'error') return { error: logged.error, values: [] };
        return { error: null, values: logged.tag === 'values' ? logged.values : [length] };
      },
      settle: (outcome) => {
        const count = outcome.error === null ? (outcome.values[0] as number) : 0;
        // A short write: the next one goes behind what was written.
        if (count < length && tracked && file?.position === Number(position) + length)
          file.position = Number(position) + count;
        if (file !== undefined && file.end !== null) file.end += count;
        if (outcome.error !== null) settle(outcome.error);
        else settle(null, count);
      },
    });
  }

  /** Reads a whole file; the value is a Buffer. */
  readFile(target: unknown, options: object, settle: NodeCallback): void {
    const { runtime, fds } = this;
    const file = fds.find(target);
    const where = typeof target === 'number' ? (file?.path ?? String(target)) : absolute(target);
    const sameHere = typeof target === 'number' ? this.readsTheSame(file) : !fds.isDirty(where);
    const local = (): Outcome => attempt(() => this.call('readFileSync', [this.fds.toReal(target), options]));
    runtime.operations.begin({
      name: 'fs.readFile',
      effect: false,
      start: (done) => {
        this.call('readFile', [fds.toReal(target), options, callback(done)]);
      },
      ...(sameHere ? { local } : {}),
      encode: (outcome) => {
        if (outcome.error !== null) return encodeError(outcome.error);
        const pieces = [outcome.values[0] as Buffer];
        return sameHere ? encodeDigest(runtime.native, pieces) : encodeData(runtime.native, pieces);
      },
      decode: (result, mine, id) => {
        const logged = decodeResult(result);
        if (logged.tag === 'data') {
          fds.passed(file, logged.data.length);
          return { error: null, values: [Buffer.from(logged.data)] };
        }
        if (logged.tag === 'error') {
          if (mine !== undefined && mine.error?.code !== logged.error.code) {
            this.#diverged('fs.readFile', id, `${where}: ${logged.error.code}, here ${mine.error?.code ?? 'success'}`);
          }
          return { error: logged.error, values: [] };
        }
        const outcome = mine ?? local();
        this.check({ name: 'fs.readFile', id, where }, logged, outcome, outcome.values as Buffer[]);
        return outcome;
      },
      settle: (outcome) => {
        if (outcome.error !== null) settle(outcome.error);
        else settle(null, outcome.values[0]);
      },
    });
  }
}

/** The first `count` bytes of pieces. */
export function firstBytes(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (const piece of pieces) {
    if (count <= 0) break;
    taken.push(count >= piece.length ? piece : piece.subarray(0, count));
    count -= piece.length;
  }
  return taken;
}

/** Copies data into the pieces. */
export function scatter(data: Uint8Array, pieces: readonly Uint8Array[]): void {
  let at = 0;
  for (const piece of pieces) {
    if (at >= data.length) break;
    piece.set(data.subarray(at, at + piece.length));
    at += piece.length;
  }
}
