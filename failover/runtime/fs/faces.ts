/**
 * Patches node:fs: generates its callback, promise and synchronous functions from the table of
 * calls. Uses Node's public functions only; the same on Node 20, 22, 24 and 26.
 */
import fs from 'node:fs';
import { promisify } from 'node:util';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { isPath } from './arguments.js';
import { type FsCalls, fsCalls, type Signature } from './calls.js';
import { FileHandle } from './file-handle.js';
import { installModuleLoads } from './module-loads.js';
import { PromisedFs } from './promised-fs.js';
import type { NodeCallback, VirtualFs } from './virtual-fs.js';

/** Functions that fs offers and replay does not repeat. */
const UNSUPPORTED = ['watch', 'watchFile', 'openAsBlob'];
const UNSUPPORTED_PROMISES = ['watch'];

/** A function of fs that takes its callback last. */
function callbackFace(state: VirtualFs, name: string, signature: Signature): (original: AnyFunction) => AnyFunction {
  return (original) =>
    (...args) => {
      const last = args[args.length - 1];
      const given = typeof last === 'function';
      // fs.close works without a callback, too.
      if (!state.runtime.active || !(given || name === 'close')) return original(...args);
      const call = signature(given ? args.slice(0, -1) : args);
      if (call === undefined) {
        return state.runtime.outside(() => original(state.fds.toReal(args[0]), ...args.slice(1)));
      }
      const throwing: NodeCallback = (error) => {
        if (error !== null) throw error;
      };
      call.begin(given ? (last as NodeCallback) : throwing);
      return undefined;
    };
}

function syncFace(state: VirtualFs, signature: Signature): (original: AnyFunction) => AnyFunction {
  return (original) => {
    function face(...args: unknown[]): unknown {
      if (!state.runtime.active) return original(...args);
      const call = signature(args);
      return call?.now === undefined ? state.runtime.outside(() => original(...args)) : call.now(face);
    }
    return face;
  };
}

function installCallbacks(state: VirtualFs, calls: FsCalls, patcher: Patcher): void {
  for (const [name, signature] of Object.entries(calls)) patcher.method(fs, name, callbackFace(state, name, signature));
  const native = callbackFace(state, 'realpath', calls['realpath']);
  patcher.value(fs.realpath, 'native', native(fs.realpath.native as AnyFunction));
  // The promisified form of fs.exists is a fixed property of the original: only a wrapper can have
  // another.
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

function installSync(state: VirtualFs, calls: FsCalls, patcher: Patcher): void {
  for (const [name, signature] of Object.entries(calls)) patcher.method(fs, `${name}Sync`, syncFace(state, signature));
  const native = syncFace(state, calls['realpath']);
  patcher.value(fs.realpathSync, 'native', native(fs.realpathSync.native as AnyFunction));
  // It never throws; Node's own function asks a binding.
  patcher.method(fs, 'existsSync', (original: AnyFunction) => (target: unknown) => {
    if (!state.runtime.active || !isPath(target)) return original(target);
    return state.runtime.samples.take({ name: 'fs.existsSync', take: () => original(target) }, original);
  });
}

function installPromises(state: VirtualFs, calls: FsCalls, patcher: Patcher): void {
  const { runtime } = state;
  for (const [name, promised] of Object.entries(new PromisedFs(state, calls).functions())) {
    patcher.method(fs.promises, name, (original) => (...args: unknown[]) => {
      return runtime.active ? promised(...args) : original(...args);
    });
  }
  // Streams take Node's FileHandle only.
  for (const name of ['createReadStream', 'createWriteStream'] as const) {
    patcher.method(fs, name, (original) => (...args: unknown[]) => {
      const options = args[1] as { fd?: unknown } | undefined;
      const handle = options?.fd;
      if (!(handle instanceof FileHandle)) return original(...args);
      return handle[name]({ ...options, fd: undefined });
    });
  }
}

function reportUnsupported(state: VirtualFs, patcher: Patcher, owner: object, prefix: string, names: string[]): void {
  for (const name of names) {
    patcher.method(owner, name, (original) => (...args: unknown[]) => {
      state.runtime.reportNondeterministic(`${prefix}.${name}`);
      return original(...args);
    });
  }
}

/** Puts a virtual file system under node:fs and node:fs/promises. */
export function installFs(state: VirtualFs, patcher: Patcher): void {
  const calls = fsCalls(state);
  installCallbacks(state, calls, patcher);
  installSync(state, calls, patcher);
  installPromises(state, calls, patcher);
  installModuleLoads(state, patcher);
  reportUnsupported(state, patcher, fs, 'fs', UNSUPPORTED);
  reportUnsupported(state, patcher, fs.promises, 'fs.promises', UNSUPPORTED_PROMISES);
}
