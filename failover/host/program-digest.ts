/**
 * The digest of a program: of its main file and of the modules that it imports, as far as their
 * names stand in the source. Replicas with different digests would run different code.
 *
 * A module whose name is computed is not found, nor is data that the program reads. Packages are
 * resolved as `require` does; of one that has only an entry for `import`, its package.json counts.
 */
import { createHash, type Hash } from 'node:crypto';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { readFileSync, realpathSync, statSync } from '../../lib/own-node.js';

/** Files and bytes that are read; of a larger program the rest is not compared. */
const MAX_FILES = 5000;
const MAX_BYTES = 64 * 1024 * 1024;
/** Names of modules in `import`, `export … from`, `import()` and `require()`. */
const NAMES = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(["'])([^"'\n]{1,500})\1/g;
const SOURCE = /\.(?:[cm]?[jt]s|jsx|tsx)$|^[^.]*$/;
const SUFFIXES = ['', '.js', '.mjs', '.cjs', '.json', '.node', '.ts', '/index.js', '/index.cjs', '/index.mjs'];

/** SHA-256, hexadecimal. Throws what reading the main file throws. */
export function programDigest(main: string): string {
  const hash = createHash('sha256');
  const first = realpathSync(resolve(main));
  const seen = new Set([first]);
  const queue = [first];
  let bytes = 0;
  for (const path of queue) {
    const content = path === first ? readFileSync(path) : contentOf(path);
    if (content === null) continue;
    bytes += content.length;
    if (bytes > MAX_BYTES) break;
    hash.update(`${content.length}\n`).update(content);
    if (!SOURCE.test(path.slice(path.lastIndexOf('/') + 1))) continue;
    for (const found of importsOf(path, content.toString(), hash)) {
      if (seen.has(found) || seen.size >= MAX_FILES) continue;
      seen.add(found);
      queue.push(found);
    }
  }
  return hash.digest('hex');
}

function contentOf(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

/** Files of the modules that a file imports, in the order of the source. */
function importsOf(path: string, source: string, hash: Hash): string[] {
  const found: string[] = [];
  for (const [, , name] of source.matchAll(NAMES)) {
    if (name === undefined || isBuiltin(name)) continue;
    const file = /^\.{0,2}\//.test(name) ? fileOf(resolve(dirname(path), name)) : packageFile(path, name);
    if (file === null) hash.update(`no ${name}\n`);
    else found.push(file);
  }
  return found;
}

function fileOf(path: string): string | null {
  for (const suffix of SUFFIXES) {
    try {
      if (statSync(path + suffix).isFile()) return realpathSync(path + suffix);
    } catch {
      // The next one.
    }
  }
  return null;
}

function packageFile(from: string, name: string): string | null {
  try {
    return realpathSync(createRequire(from).resolve(name));
  } catch {
    const parts = name.split('/');
    const directory = name.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? name);
    for (let at = dirname(from); ; at = dirname(at)) {
      const file = fileOf(join(at, 'node_modules', directory, 'package.json'));
      if (file !== null || at === dirname(at)) return file;
    }
  }
}
