/**
 * The table of node:fs: for each function, how its arguments are read, how it runs asynchronously
 * and how at once. The callback, promise and synchronous functions are generated from it
 * (faces.ts).
 */
import type { Dirent } from 'node:fs';
import type { AnyFunction } from '../core/originals.js';
import {
  encodingOf,
  fileData,
  isDescriptor,
  isPath,
  isTarget,
  readRegion,
  vectorRegion,
  withoutEncoding,
  writeRegion,
} from './arguments.js';
import { absolute, parseFlags, writes } from './descriptors.js';
import { VirtualDir } from './directory.js';
import { SyncOperations } from './sync-operations.js';
import type { NodeCallback, VirtualFs } from './virtual-fs.js';

/** One call, its arguments read. */
export interface FsCall {
  /** Runs it as an asynchronous operation. */
  begin(callback: NodeCallback): void;
  /**
   * Runs it at once; absent: Node's own function does.
   * @param caller frames up to this function are left out of an error's stack
   */
  now?(caller: AnyFunction): unknown;
}

/** Reads a call's arguments, without a callback. Undefined: Node has to complain about them. */
export type Signature = (args: readonly unknown[]) => FsCall | undefined;

/** Functions by the names of their callback forms. */
export type FsCalls = Record<string, Signature>;

/** They change nothing; their result is logged. */
const QUERIES = ['stat', 'lstat', 'fstat', 'statfs', 'access', 'readdir', 'readlink', 'realpath'];

/** They change something. The numbers say which arguments name what changes. */
const EFFECTS: Record<string, readonly number[]> = {
  mkdir: [],
  rmdir: [],
  rm: [0],
  unlink: [0],
  rename: [0, 1],
  copyFile: [1],
  cp: [1],
  link: [1],
  symlink: [1],
  truncate: [0],
  ftruncate: [],
  fsync: [],
  fdatasync: [],
  chmod: [],
  fchmod: [],
  lchmod: [],
  chown: [],
  fchown: [],
  lchown: [],
  utimes: [],
  futimes: [],
  lutimes: [],
};

/** Mode of a new file, before the umask. */
const NEW_FILE_MODE = 0o666;

/** These take a path, or a descriptor as the older form of their `f` function. */
const BY_PATH_OR_DESCRIPTOR: ReadonlySet<string> = new Set(['truncate']);

const TWO_PATHS: ReadonlySet<string> = new Set(['rename', 'copyFile', 'cp', 'link', 'symlink']);

/**
 * Whether Node would take the paths and descriptors of a call: a backup must refuse what Node
 * refuses.
 */
function accepts(name: string, [target, other]: readonly unknown[]): boolean {
  if (BY_PATH_OR_DESCRIPTOR.has(name)) return isTarget(target);
  if (name.startsWith('f')) return isDescriptor(target);
  return isPath(target) && (!TWO_PATHS.has(name) || isPath(other));
}

/** Node's module loader asks with a cache of its own, whatever the program does. */
function isFromLoader([, options]: readonly unknown[]): boolean {
  return typeof options === 'object' && options !== null && Object.getOwnPropertySymbols(options).length > 0;
}

function queries(state: VirtualFs, sync: SyncOperations): FsCalls {
  const calls: FsCalls = {};
  for (const name of QUERIES) {
    calls[name] = (args) => {
      if (!accepts(name, args) || isFromLoader(args)) return undefined;
      return {
        begin: (callback) => state.logged(name, args, false, callback),
        now: (caller) => sync.query(name, args, caller),
      };
    };
  }
  calls['opendir'] = ([target, options]) => {
    if (!isPath(target)) return undefined;
    const given = options === undefined ? [target] : [target, options];
    return {
      begin: (callback) =>
        state.logged('opendir', given, false, (error, entries) => {
          if (error === null) callback(null, new VirtualDir(String(target), entries as Dirent[]));
          else callback(error);
        }),
      now: (caller) => sync.openDirectory(target, options, caller),
    };
  };
  return calls;
}

function effects(state: VirtualFs, sync: SyncOperations): FsCalls {
  const calls: FsCalls = {};
  for (const [name, changed] of Object.entries(EFFECTS)) {
    calls[name] = (args) => {
      if (!accepts(name, args)) return undefined;
      for (const at of changed) if (isPath(args[at])) state.fds.markDirty(absolute(args[at]));
      return {
        begin: (callback) => state.logged(name, args, true, callback),
        now: (caller) => sync.effect(name, args, caller),
      };
    };
  }
  calls['mkdtemp'] = (args) => {
    const [prefix] = args;
    if (!isPath(prefix)) return undefined;
    return {
      begin: (callback) => state.logged('mkdtemp', args, true, callback),
      ...(typeof prefix === 'string' ? { now: (caller: AnyFunction) => sync.makeTemporary(prefix, caller) } : {}),
    };
  };
  return calls;
}

function openAndClose(state: VirtualFs, sync: SyncOperations): FsCalls {
  return {
    open: ([target, flags, mode]) => {
      const numeric = parseFlags(flags);
      const bits = typeof mode === 'string' ? Number.parseInt(mode, 8) : (mode ?? 0o666);
      if (!isPath(target) || numeric === undefined) return undefined;
      if (typeof bits !== 'number' || Number.isNaN(bits)) return undefined;
      return {
        begin: (callback) => state.open(target, numeric, bits, callback),
        now: (caller) => sync.open({ target, flags: numeric, mode: bits }, caller),
      };
    },
    close: ([fd]) => {
      if (!isDescriptor(fd)) return undefined;
      return { begin: (callback) => state.close(fd, callback), now: () => sync.close(fd) };
    },
  };
}

function reads(state: VirtualFs, sync: SyncOperations): FsCalls {
  return {
    read: ([fd, ...rest]) => {
      const region = readRegion(rest);
      if (!isDescriptor(fd) || region === undefined) return undefined;
      const { buffer, bytes, position } = region;
      return {
        begin: (callback) => {
          // As Node does: nothing is read, and no event is needed.
          if (bytes.length === 0) process.nextTick(callback, null, 0, buffer);
          else {
            const transfer = { fd, pieces: [bytes], position };
            state.read('fs.read', transfer, (error, count) => callback(error, count ?? 0, buffer));
          }
        },
        now: (caller) => sync.read(fd, [bytes], position, caller),
      };
    },
    readv: ([fd, ...rest]) => {
      const region = vectorRegion(rest);
      if (!isDescriptor(fd) || region === undefined) return undefined;
      return {
        begin: (callback) =>
          state.read('fs.readv', { fd, ...region }, (error, count) => callback(error, count ?? 0, rest[0])),
        now: (caller) => sync.read(fd, region.pieces, region.position, caller),
      };
    },
    readFile: ([target, options]) => {
      const encoding = encodingOf(options);
      if (!isTarget(target) || (encoding !== undefined && !Buffer.isEncoding(encoding))) return undefined;
      const flags = parseFlags((options as { flag?: unknown } | null | undefined)?.flag);
      if (flags !== undefined && writes(flags) && typeof target !== 'number') state.fds.markDirty(absolute(target));
      return {
        begin: (callback) =>
          state.readFile(target, withoutEncoding(options), (error, data) => {
            if (error !== null) callback(error);
            else callback(null, encoding === undefined ? data : (data as Buffer).toString(encoding));
          }),
        now: (caller) => sync.readFile(target, options, caller),
      };
    },
  };
}

/** Writes all of it: at explicit positions or, without one, at the file's own. */
function writeAll(state: VirtualFs, fd: number, bytes: Uint8Array, callback: NodeCallback): void {
  state.write('fs.writeFile', { fd, pieces: [bytes], position: null }, (error, count) => {
    if (error !== null) callback(error);
    else if ((count as number) < bytes.length) writeAll(state, fd, bytes.subarray(count as number), callback);
    else callback(null);
  });
}

/** Flags and mode of an `appendFile` with plain options; undefined: with others. */
function plainAppend(options: unknown): { flags: number; mode: number } | undefined {
  const { flag, mode, flush, signal } = (typeof options === 'object' ? (options ?? {}) : {}) as Record<string, unknown>;
  const flags = parseFlags(flag ?? 'a');
  const isPlain = flush === undefined && signal === undefined && (mode === undefined || typeof mode === 'number');
  return isPlain && flags !== undefined ? { flags, mode: (mode as number | undefined) ?? NEW_FILE_MODE } : undefined;
}

/** `appendFile` by a path: opened, written and closed, so that what was appended is known. */
function appendByPath(state: VirtualFs, sync: SyncOperations): Signature {
  const otherwise = wholeFile(state, sync, 'appendFile');
  return (args) => {
    const [target, data, options] = args;
    const bytes = fileData(data, options);
    const how = plainAppend(options);
    if (bytes === undefined || how === undefined || !isPath(target)) return otherwise(args);
    const { flags, mode } = how;
    return {
      begin: (callback) =>
        state.open(target, flags, mode, (error, fd) => {
          if (error !== null) return callback(error);
          writeAll(state, fd as number, bytes, (failure) =>
            state.close(fd as number, (closing) => callback(failure ?? closing)),
          );
        }),
      now: (caller) => {
        const fd = sync.open({ target, flags, mode }, caller);
        try {
          sync.writeFile('appendFile', { target: fd, bytes, options }, caller);
        } finally {
          sync.close(fd);
        }
      },
    };
  };
}

function wholeFile(state: VirtualFs, sync: SyncOperations, name: 'writeFile' | 'appendFile'): Signature {
  return ([target, data, options]) => {
    const bytes = fileData(data, options);
    if (bytes === undefined || !isTarget(target)) return undefined;
    const byDescriptor = typeof target === 'number';
    if (!byDescriptor) state.fds.markDirty(absolute(target));
    return {
      begin: (callback) => {
        if (byDescriptor) writeAll(state, target, bytes, callback);
        else state.logged(name, [target, bytes, withoutEncoding(options)], true, callback);
      },
      now: (caller) => sync.writeFile(name, { target, bytes, options }, caller),
    };
  };
}

function writesOf(state: VirtualFs, sync: SyncOperations): FsCalls {
  return {
    write: ([fd, ...rest]) => {
      const region = writeRegion(rest);
      if (!isDescriptor(fd) || region === undefined) return undefined;
      const { bytes, position } = region;
      return {
        begin: (callback) =>
          state.write('fs.write', { fd, pieces: [bytes], position }, (error, count) =>
            callback(error, count ?? 0, rest[0]),
          ),
        now: (caller) => sync.write(fd, [bytes], position as number | null, caller),
      };
    },
    writev: ([fd, ...rest]) => {
      const region = vectorRegion(rest);
      if (!isDescriptor(fd) || region === undefined) return undefined;
      return {
        begin: (callback) =>
          state.write('fs.writev', { fd, ...region }, (error, count) => callback(error, count ?? 0, rest[0])),
        now: (caller) => sync.write(fd, region.pieces, region.position, caller),
      };
    },
    writeFile: wholeFile(state, sync, 'writeFile'),
    appendFile: appendByPath(state, sync),
  };
}

/** The table, over the operations of one virtual file system. */
export function fsCalls(state: VirtualFs): FsCalls {
  const sync = new SyncOperations(state);
  return {
    ...queries(state, sync),
    ...effects(state, sync),
    ...openAndClose(state, sync),
    ...reads(state, sync),
    ...writesOf(state, sync),
  };
}
