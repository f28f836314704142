/**
 * node:zlib works on libuv's thread pool, so its completions come in any order. Here the native
 * streams below it compute at once and complete with the next tick, inside the same event. Depends
 * on these internals, checked on Node 20, 22, 24 and 26: a stream's `_handle` with `init`, `write`
 * and `writeSync`, whose `init` gets the completion callback.
 */
import zlib from 'node:zlib';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

interface Engine {
  init: AnyFunction;
  write: AnyFunction;
  writeSync: AnyFunction;
}

interface ZlibStream {
  _handle: Engine;
  close(): void;
}

/**
 * Finds the callback that Node's zlib gives to a native stream, to be called when a chunk is done.
 */
function completionCallback(prototype: Engine, create: () => unknown): AnyFunction | undefined {
  const init = prototype.init;
  let found: AnyFunction | undefined;
  prototype.init = function (this: unknown, ...args: unknown[]) {
    found = args.find((arg) => typeof arg === 'function') as AnyFunction | undefined;
    return init.apply(this, args);
  };
  try {
    (create() as ZlibStream).close();
  } finally {
    prototype.init = init;
  }
  return found;
}

/** Makes the native streams of zlib synchronous. Reports zlib on a Node whose internals differ. */
export function installZlib(runtime: RuntimeContext, patcher: Patcher): void {
  const kinds = [() => zlib.createGzip(), () => zlib.createBrotliCompress(), () => zlib.createBrotliDecompress()];
  for (const create of kinds) {
    const sample = create() as unknown as ZlibStream;
    const prototype = Object.getPrototypeOf(sample._handle) as Engine;
    sample.close();
    const completed = completionCallback(prototype, create);
    if (completed === undefined) {
      runtime.reportNondeterministic('zlib');
      continue;
    }
    patcher.method(
      prototype,
      'write',
      (original) =>
        function write(this: Engine, ...args: unknown[]) {
          if (!runtime.active) return original.apply(this, args);
          this.writeSync(...args);
          // As in Node: the callback reads from the stream's state whether there was an error.
          process.nextTick(() => completed.call(this));
          return undefined;
        },
    );
  }
}
