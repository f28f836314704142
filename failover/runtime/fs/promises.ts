/** fs.promises over the (patched) callback functions of node:fs. */
import fs from 'node:fs';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { FileHandle, promised } from './file-handle.js';
import type { VirtualFs } from './virtual-fs.js';

const SAME = [
  'access',
  'copyFile',
  'cp',
  'rename',
  'truncate',
  'rm',
  'rmdir',
  'mkdir',
  'mkdtemp',
  'readdir',
  'readlink',
  'symlink',
  'link',
  'lstat',
  'stat',
  'statfs',
  'unlink',
  'chmod',
  'lchmod',
  'chown',
  'lchown',
  'utimes',
  'lutimes',
  'realpath',
];

/** Optional arguments before the callback that must not be missing when a callback follows. */
function withoutTail(args: unknown[]): unknown[] {
  let end = args.length;
  while (end > 1 && args[end - 1] === undefined) end--;
  return args.slice(0, end);
}

function target(file: unknown): unknown {
  return file instanceof FileHandle ? file.fd : file;
}

/** Whether Node's module loader asks for a source file: the start of the program must not wait for events. */
function fromLoader(file: unknown, options: unknown): boolean {
  if (options !== undefined || !(file instanceof URL)) return false;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 8;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = limit;
  return stack.includes('node:internal/modules/');
}

function reader(state: VirtualFs) {
  return async (file: unknown, options?: unknown): Promise<unknown> => {
    if (fromLoader(file, options)) return state.call('readFileSync', [file]);
    return promised('readFile', target(file), options);
  };
}

function writer(name: 'writeFile' | 'appendFile') {
  return async (file: unknown, data: unknown, options?: unknown): Promise<void> => {
    if (file instanceof FileHandle) return file.writeFile(data, options);
    const isData = typeof data === 'string' || ArrayBuffer.isView(data);
    const iterable =
      typeof data === 'object' && data !== null && (Symbol.asyncIterator in data || Symbol.iterator in data);
    if (isData || !iterable) {
      await promised(name, file, data, options);
      return;
    }
    const { flag, mode } = (typeof options === 'object' ? (options ?? {}) : {}) as { flag?: string; mode?: number };
    const fd = (await promised('open', file, flag ?? (name === 'writeFile' ? 'w' : 'a'), mode ?? 0o666)) as number;
    const handle = new FileHandle(fd);
    try {
      await handle.writeFile(data, options);
    } finally {
      await handle.close();
    }
  };
}

export function installFsPromises(state: VirtualFs, patcher: Patcher): void {
  const { runtime } = state;
  const { promises } = fs;
  const patch = (name: string, mine: AnyFunction): void => {
    patcher.method(promises, name, (original) => (...args: unknown[]) => {
      return runtime.active ? mine(...args) : original(...args);
    });
  };
  for (const name of SAME) patch(name, async (...args) => promised(name, ...withoutTail(args)));
  patch('readFile', reader(state) as AnyFunction);
  patch('writeFile', writer('writeFile') as AnyFunction);
  patch('appendFile', writer('appendFile') as AnyFunction);
  patch('open', async (file, flags, mode) => {
    return new FileHandle((await promised('open', file, flags ?? 'r', mode ?? 0o666)) as number);
  });
  for (const name of ['opendir', 'watch']) {
    patcher.method(promises, name, (original) => (...args: unknown[]) => {
      runtime.reportNondeterministic(`fs.promises.${name}`);
      return original(...args);
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
