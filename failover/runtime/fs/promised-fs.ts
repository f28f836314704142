/** The functions of fs.promises, over the table of calls. */
import type { AnyFunction } from '../core/originals.js';
import type { FsCalls } from './calls.js';
import { FileHandle } from './file-handle.js';
import type { NodeCallback, VirtualFs } from './virtual-fs.js';

/** They take what the callback functions take, and give their first value. */
const DIRECT = [
  'access',
  'copyFile',
  'cp',
  'rename',
  'truncate',
  'rm',
  'rmdir',
  'mkdir',
  'mkdtemp',
  'opendir',
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

/** Frames that are looked at to recognise the module loader. */
const LOADER_FRAMES = 8;

/** Drops trailing undefined: an optional argument before the callback must not be there. */
function withoutTail(args: readonly unknown[]): readonly unknown[] {
  let end = args.length;
  while (end > 1 && args[end - 1] === undefined) end--;
  return args.slice(0, end);
}

/**
 * Whether Node's module loader reads a source file: the start of the program must not wait for
 * events.
 */
function fromLoader(file: unknown, options: unknown): boolean {
  if (options !== undefined || !(file instanceof URL)) return false;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = LOADER_FRAMES;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = limit;
  return stack.includes('node:internal/modules/');
}

/** Runs calls of the table as promises. */
export class PromisedFs {
  readonly #state: VirtualFs;
  readonly #calls: FsCalls;

  constructor(state: VirtualFs, calls: FsCalls) {
    this.#state = state;
    this.#calls = calls;
  }

  /**
   * Calls a function by the name of its callback form. @returns the values that a callback would
   * get
   */
  values(name: string, ...args: unknown[]): Promise<unknown[]> {
    const given = withoutTail(args);
    return new Promise((resolve, reject) => {
      const settle: NodeCallback = (error, ...values) => {
        if (error) reject(error);
        else resolve(values);
      };
      const call = this.#calls[name](given);
      if (call !== undefined) call.begin(settle);
      // Node complains, and the promise is rejected.
      else this.#state.call(name, [this.#state.fds.toReal(given[0]), ...given.slice(1), settle]);
    });
  }

  /** As {@link values}. @returns the first value */
  async value(name: string, ...args: unknown[]): Promise<unknown> {
    return (await this.values(name, ...args))[0];
  }

  async #open(file: unknown, flags: unknown, mode: unknown): Promise<FileHandle> {
    return new FileHandle(this, (await this.value('open', file, flags, mode ?? 0o666)) as number);
  }

  #readFile(file: unknown, options?: unknown): Promise<unknown> {
    if (file instanceof FileHandle) return file.readFile(options);
    if (fromLoader(file, options)) return new Promise((resolve) => resolve(this.#state.call('readFileSync', [file])));
    return this.value('readFile', file, options);
  }

  async #write(name: 'writeFile' | 'appendFile', [file, data, options]: unknown[]): Promise<void> {
    if (file instanceof FileHandle) return file.writeFile(data, options);
    const isData = typeof data === 'string' || ArrayBuffer.isView(data);
    const iterable =
      typeof data === 'object' && data !== null && (Symbol.asyncIterator in data || Symbol.iterator in data);
    if (isData || !iterable) {
      await this.value(name, file, data, options);
      return;
    }
    const { flag, mode } = (typeof options === 'object' ? (options ?? {}) : {}) as { flag?: string; mode?: number };
    const handle = await this.#open(file, flag ?? (name === 'writeFile' ? 'w' : 'a'), mode);
    try {
      await handle.writeFile(data, options);
    } finally {
      await handle.close();
    }
  }

  /** What replaces the functions of fs.promises, by name. */
  functions(): Record<string, AnyFunction> {
    const functions: Record<string, AnyFunction> = {
      readFile: (file, options) => this.#readFile(file, options),
      writeFile: (...args) => this.#write('writeFile', args),
      appendFile: (...args) => this.#write('appendFile', args),
      open: (file, flags, mode) => this.#open(file, flags ?? 'r', mode),
    };
    for (const name of DIRECT) functions[name] = (...args) => this.value(name, ...args);
    return functions;
  }
}
