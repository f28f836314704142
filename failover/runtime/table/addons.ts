/**
 * Native addons. What their code does is below everything that the runtime sees, so an addon is
 * loaded only if it is known to be part of the program, or if the user allows it by name.
 */
import { FtError } from '../../../lib/errors.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { loggedFunction } from '../operations/addon-calls.js';

/** Which addons a program may load beside the known ones: names of packages, or all. */
export type AllowedAddons = readonly string[] | 'all';

/** Addons whose functions compute at once from their arguments. */
const PURE_ADDONS: ReadonlySet<string> = new Set([
  'bufferutil',
  'utf-8-validate',
  'msgpackr-extract',
  'farmhash',
  'xxhash',
  'snappy',
  're2',
  'iconv',
  'libxmljs2',
  'tree-sitter',
]);

/**
 * Addons whose functions compute at once, or on another thread: these end with a callback, or the
 * named ones with a promise. Such a call is an operation, and its result is in the log.
 */
const THREADED_ADDONS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['bcrypt', new Set()],
  ['argon2', new Set(['hash'])],
  ['@node-rs/bcrypt', new Set(['genSalt', 'hash', 'compare', 'verify'])],
  ['@node-rs/argon2', new Set(['hash', 'hashRaw', 'verify'])],
]);

/** The package of an addon's file, or the file's name without its ending. */
export function addonName(file: string): string {
  const words = file.split(/[\\/]/);
  const at = words.lastIndexOf('node_modules');
  if (at >= 0 && at + 1 < words.length) {
    const [first, second] = words.slice(at + 1);
    // '@img/sharp-linux-x64': the platform is not part of the name.
    const name = first.startsWith('@') ? `${first}/${second}` : first;
    return name.replace(/-(?:linux|linuxmusl|darwin|win32)(?:-[\w]+)*$/, '');
  }
  return words[words.length - 1].replace(/\.node$/, '');
}

/** Loads an addon, and replaces its functions in the module's exports. */
function loadThreaded(
  runtime: RuntimeContext,
  { name, promises }: { name: string; promises: ReadonlySet<string> },
  load: () => unknown,
  module: unknown,
): unknown {
  const result = load();
  const { exports } = module as { exports: Record<string, unknown> };
  for (const [key, value] of Object.entries(exports)) {
    if (typeof value !== 'function') continue;
    exports[key] = loggedFunction(runtime, `${name}.${key}`, value as AnyFunction, promises.has(key));
  }
  return result;
}

/** Refuses addons that are not known. */
export function installAddons(runtime: RuntimeContext, patcher: Patcher, allowed: AllowedAddons): void {
  patcher.method(
    process,
    'dlopen',
    (original: AnyFunction) =>
      function dlopen(this: unknown, ...args: unknown[]): unknown {
        if (!runtime.active || allowed === 'all') return original.apply(process, args);
        const name = addonName(String(args[1]));
        const promises = THREADED_ADDONS.get(name);
        if (promises !== undefined)
          return loadThreaded(runtime, { name, promises }, () => original.apply(process, args), args[0]);
        if (!PURE_ADDONS.has(name)) {
          if (!allowed.includes(name))
            throw new FtError(
              'ERR_FT_UNSUPPORTED',
              `The native addon ${name} may do what a backup cannot repeat`,
              `Allow it with --allow-addon ${name}, or run the program with --mode state`,
            );
          runtime.reportNondeterministic(`process.dlopen of ${name}`);
        }
        return original.apply(process, args);
      },
  );
}
