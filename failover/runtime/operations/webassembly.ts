/**
 * WebAssembly is compiled at once in an event: V8 would do so on other threads, and settle its
 * promise between events. Node's fetch is a user. Patches public functions only; the same on Node
 * 20, 22, 24 and 26.
 */
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

/** The promise of what a function returns or throws. */
async function settled<T>(fn: () => T): Promise<T> {
  return fn();
}

/** A compiled module. */
type Module = object;

/** The part of the global `WebAssembly` that is used here. */
interface WebAssemblyApi {
  Module: new (bytes: unknown) => Module;
  Instance: new (module: Module, imports: unknown) => object;
}

function instantiateNow(api: WebAssemblyApi, source: unknown, imports: unknown): unknown {
  if (source instanceof api.Module) return new api.Instance(source, imports);
  const module = new api.Module(source);
  return { module, instance: new api.Instance(module, imports) };
}

/** Makes compilation repeatable, and reports what is compiled from a stream. */
export function installWebAssembly(runtime: RuntimeContext, patcher: Patcher): void {
  const api = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
  patcher.method(api, 'compile', (original) => (...args: unknown[]) => {
    return runtime.active ? settled(() => new api.Module(args[0])) : original(...args);
  });
  patcher.method(api, 'instantiate', (original) => (...args: unknown[]) => {
    return runtime.active ? settled(() => instantiateNow(api, args[0], args[1])) : original(...args);
  });
  for (const name of ['compileStreaming', 'instantiateStreaming']) {
    patcher.method(api, name, (original) => (...args: unknown[]) => {
      runtime.reportNondeterministic(`WebAssembly.${name}`);
      return original(...args);
    });
  }
}
