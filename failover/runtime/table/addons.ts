/**
 * Native addons. What their code does is below everything that the runtime sees, so an addon is
 * loaded only if it is known to be part of the program, or if the user allows it by name.
 */
import { FtError } from '../../../lib/errors.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

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

/** They have functions that end outside of events: reported, and their functions at once work. */
const PARTLY_PURE_ADDONS: ReadonlySet<string> = new Set(['bcrypt', 'argon2', '@node-rs/bcrypt', '@node-rs/argon2']);

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

/** Refuses addons that are not known. */
export function installAddons(runtime: RuntimeContext, patcher: Patcher, allowed: AllowedAddons): void {
  patcher.method(
    process,
    'dlopen',
    (original: AnyFunction) =>
      function dlopen(this: unknown, ...args: unknown[]): unknown {
        if (!runtime.active || allowed === 'all') return original.apply(process, args);
        const name = addonName(String(args[1]));
        if (!PURE_ADDONS.has(name)) {
          if (!allowed.includes(name) && !PARTLY_PURE_ADDONS.has(name))
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
