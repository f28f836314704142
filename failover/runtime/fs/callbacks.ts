/** The callback functions of node:fs, over the operations of {@link VirtualFs}. */
import fs from 'node:fs';
import { promisify } from 'node:util';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { encodingOf, fileData, isTarget, readRegion, vectorRegion, withoutEncoding, writeRegion } from './arguments.js';
import { absolute, parseFlags, writes } from './descriptors.js';
import type { VirtualFs } from './virtual-fs.js';

type NodeCallback = (error: NodeJS.ErrnoException | null, ...values: unknown[]) => void;
/** Takes over a call; false: the arguments are for Node to complain about. */
type Handler = (args: unknown[], callback: NodeCallback) => boolean;

/** Their result says something, and nothing changes. */
const QUERIES = ['stat', 'lstat', 'fstat', 'statfs', 'access', 'readdir', 'readlink', 'realpath'];
/** They change something. The number says which arguments name what changes. */
const EFFECTS: Record<string, readonly number[]> = {
  mkdir: [],
  mkdtemp: [],
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

/** Functions that fs offers and replay does not repeat. */
const UNSUPPORTED = ['watch', 'watchFile', 'opendir', 'openAsBlob'];

export { EFFECTS };

function generic(state: VirtualFs, name: string, effect: boolean, dirty: readonly number[]): Handler {
  return (args, callback) => {
    if (!isTarget(args[0])) return false;
    for (const at of dirty)
      if (typeof args[at] !== 'number' && isTarget(args[at])) state.fds.markDirty(absolute(args[at]));
    state.logged(name, args, effect, callback);
    return true;
  };
}

/** Writes all of it: at explicit positions or, without one, wherever the file goes on. */
function writeAll(state: VirtualFs, fd: number, bytes: Uint8Array, callback: NodeCallback): void {
  state.write('fs.writeFile', { fd, pieces: [bytes], position: null }, (error, count) => {
    if (error !== null) callback(error);
    else if ((count as number) < bytes.length) writeAll(state, fd, bytes.subarray(count as number), callback);
    else callback(null);
  });
}

function handlers(state: VirtualFs): Record<string, Handler> {
  const whole =
    (name: 'writeFile' | 'appendFile'): Handler =>
    ([target, data, options], callback) => {
      const bytes = fileData(data, options);
      if (bytes === undefined || !isTarget(target)) return false;
      if (typeof target === 'number') writeAll(state, target, bytes, callback);
      else {
        state.fds.markDirty(absolute(target));
        state.logged(name, [target, bytes, withoutEncoding(options)], true, callback);
      }
      return true;
    };
  const own: Record<string, Handler> = {
    open: ([target, flags, mode], callback) => {
      const numeric = parseFlags(flags);
      const bits = typeof mode === 'string' ? Number.parseInt(mode, 8) : (mode ?? 0o666);
      if (!isTarget(target) || typeof target === 'number' || numeric === undefined) return false;
      if (typeof bits !== 'number' || Number.isNaN(bits)) return false;
      state.open(target, numeric, bits, callback);
      return true;
    },
    close: ([fd], callback) => {
      if (typeof fd !== 'number') return false;
      state.close(fd, callback);
      return true;
    },
    read: ([fd, ...rest], callback) => {
      const region = readRegion(rest);
      // Reading nothing is answered by Node itself, with the next tick.
      if (typeof fd !== 'number' || region === undefined || region.bytes.length === 0) return false;
      const { buffer, bytes, position } = region;
      state.read('fs.read', { fd, pieces: [bytes], position }, (error, count) => callback(error, count ?? 0, buffer));
      return true;
    },
    readv: ([fd, ...rest], callback) => {
      const region = vectorRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return false;
      state.read('fs.readv', { fd, ...region }, (error, count) => callback(error, count ?? 0, rest[0]));
      return true;
    },
    write: ([fd, ...rest], callback) => {
      const region = writeRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return false;
      const { bytes, position } = region;
      state.write('fs.write', { fd, pieces: [bytes], position }, (error, count) =>
        callback(error, count ?? 0, rest[0]),
      );
      return true;
    },
    writev: ([fd, ...rest], callback) => {
      const region = vectorRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return false;
      state.write('fs.writev', { fd, ...region }, (error, count) => callback(error, count ?? 0, rest[0]));
      return true;
    },
    readFile: ([target, options], callback) => {
      const encoding = encodingOf(options);
      if (!isTarget(target) || (encoding !== undefined && !Buffer.isEncoding(encoding))) return false;
      const flags = parseFlags((options as { flag?: unknown } | null | undefined)?.flag);
      if (flags !== undefined && writes(flags) && typeof target !== 'number') state.fds.markDirty(absolute(target));
      state.readFile(target, withoutEncoding(options), (error, data) => {
        if (error !== null) callback(error);
        else callback(null, encoding === undefined ? data : (data as Buffer).toString(encoding));
      });
      return true;
    },
    writeFile: whole('writeFile'),
    appendFile: whole('appendFile'),
  };
  for (const name of QUERIES) own[name] = generic(state, name, false, []);
  for (const [name, dirty] of Object.entries(EFFECTS)) own[name] = generic(state, name, true, dirty);
  return own;
}

/** A function of fs that takes its callback last. */
function wrap(state: VirtualFs, name: string, handler: Handler): (original: AnyFunction) => AnyFunction {
  return (original) =>
    (...args) => {
      const callback = args[args.length - 1];
      // fs.close may do without a callback.
      const given = typeof callback === 'function';
      if (!state.runtime.active || !(given || name === 'close')) return original(...args);
      const rest = given ? args.slice(0, -1) : args;
      const settle: NodeCallback = given
        ? (callback as NodeCallback)
        : (error) => {
            if (error !== null) throw error;
          };
      if (handler(rest, settle)) return undefined;
      return state.runtime.outside(() => original(state.fds.toReal(args[0]), ...args.slice(1)));
    };
}

/** Patches fs and returns the patched functions as promises, for fs.promises. */
export function installFsCallbacks(state: VirtualFs, patcher: Patcher): void {
  for (const [name, handler] of Object.entries(handlers(state))) patcher.method(fs, name, wrap(state, name, handler));
  const native = wrap(state, 'realpath', generic(state, 'realpath', false, []));
  patcher.value(fs.realpath, 'native', native(fs.realpath.native as AnyFunction));
  for (const name of UNSUPPORTED) {
    patcher.method(fs, name, (original) => (...args: unknown[]) => {
      state.runtime.reportNondeterministic(`fs.${name}`);
      return original(...args);
    });
  }
  // The promisified form of fs.exists is a fixed property of the original: only a wrapper can carry another one.
  const exists = (original: AnyFunction): AnyFunction => {
    const wrapper: AnyFunction = (...args) => original(...args);
    Object.defineProperty(wrapper, promisify.custom, {
      value: (target: fs.PathLike) =>
        new Promise<boolean>((resolve) => fs.access(target, (error) => resolve(error === null))),
    });
    return wrapper;
  };
  patcher.method(fs, 'exists', exists);
}
