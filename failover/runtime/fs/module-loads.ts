/**
 * What Node's module loaders read. They hold Node's own functions, so that the patches of node:fs
 * do not reach them; here the binding below is patched instead.
 *
 * - The ESM loader reads files in the thread pool. In an event its reads are done at once, so that
 *   a module, its imports and what awaits them run in the event that has begun the import, in the
 *   same order on every replica.
 * - The CommonJS loader's readFileSync opens files by the public function, which gives out virtual
 *   descriptors, and asks the binding for their status.
 *
 * Depends on these internals, checked on Node 20, 22, 24 and 26: `openFileHandle`, `fstat`, `read`,
 * `FileHandle` and `kUsePromises` of the binding `fs`.
 */
import { type Binding, bindingOf } from '../core/bindings.js';
import { type AnyFunction, originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import type { VirtualFs } from './virtual-fs.js';

/** Node's native handle of a file. */
interface NativeHandle {
  /** @returns the descriptor, which is the caller's from now on */
  releaseFD(): number;
  close: () => Promise<void>;
}

/** The promise of what a function returns or throws. */
async function settled<T>(fn: () => T): Promise<T> {
  return fn();
}

/** A native handle that is opened, and later closed, at once. */
function openNow(binding: Binding, [target, flags, mode]: unknown[]): NativeHandle {
  const Handle = binding['FileHandle'] as new (fd: number) => NativeHandle;
  const handle = new Handle(originals.fs.openSync(target as string, flags as number, mode as number));
  handle.close = () => settled(() => originals.fs.closeSync(handle.releaseFD()));
  return handle;
}

function readNow([fd, buffer, offset, length, position]: unknown[]): number {
  const at = typeof position === 'number' && position < 0 ? null : position;
  return originals.fs.readSync(
    fd as number,
    buffer as Uint8Array,
    offset as number,
    length as number,
    at as number | null,
  );
}

/** The binding's fields of a file's status. They are in one array that the binding uses again. */
function statusNow(fstat: AnyFunction, [fd, big]: unknown[]): unknown {
  // Throws first: on failure the binding's own way to say so differs between versions.
  originals.fs.fstatSync(fd as number);
  return (fstat(fd, big, undefined, {}) as Float64Array).slice();
}

/**
 * Lets the module loaders read within an event. Reports `import` on a Node whose internals differ.
 */
export function installModuleLoads({ runtime, fds }: VirtualFs, patcher: Patcher): void {
  const binding = bindingOf('fs');
  const usePromises = binding?.['kUsePromises'];
  if (binding === undefined || typeof usePromises !== 'symbol') {
    runtime.reportOnce('import');
    return;
  }
  const inEvent = (args: unknown[]): boolean => runtime.active && args.includes(usePromises);
  patcher.method(binding, 'openFileHandle', (original) => (...args: unknown[]) => {
    return inEvent(args) ? settled(() => openNow(binding, args)) : original(...args);
  });
  patcher.method(binding, 'read', (original) => (...args: unknown[]) => {
    return inEvent(args) ? settled(() => readNow(args)) : original(...args);
  });
  patcher.method(binding, 'fstat', (original) => (fd: unknown, ...rest: unknown[]) => {
    if (inEvent(rest)) return settled(() => statusNow(original, [fd, ...rest]));
    return original(fds.toReal(fd), ...rest);
  });
}
