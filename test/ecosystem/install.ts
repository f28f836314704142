/** The packages of ecosystem programs, installed once and kept beside the project's own. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROGRAMS } from './programs.js';

/** dist/test/ecosystem/ -> the checkout */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SOURCES = join(ROOT, 'test/ecosystem/programs');
const CACHE = join(ROOT, 'node_modules/.cache/ft-tcp-ecosystem');
const INSTALL_MS = 300_000;

/**
 * Installs the packages from npm's registry, unless they are there.
 * @returns the directory with the programs' code. Throws Error with npm's output when it fails.
 */
export function installPrograms(): string {
  const dependencies = Object.assign({}, ...PROGRAMS.map(({ packages }) => packages)) as Record<string, string>;
  const manifest = JSON.stringify({ name: 'ft-tcp-ecosystem', private: true, type: 'module', dependencies });
  const directory = join(CACHE, createHash('sha256').update(manifest).digest('hex').slice(0, 16));
  if (!existsSync(directory)) {
    const unfinished = `${directory}.${process.pid}`;
    mkdirSync(unfinished, { recursive: true });
    writeFileSync(join(unfinished, 'package.json'), manifest);
    const args = ['install', '--no-audit', '--no-fund', '--loglevel=error'];
    const npm = spawnSync('npm', args, { cwd: unfinished, encoding: 'utf8', timeout: INSTALL_MS });
    if (npm.status !== 0) {
      rmSync(unfinished, { recursive: true, force: true });
      throw new Error(`npm install of the programs failed: ${npm.error?.message ?? npm.stderr}`);
    }
    renameSync(unfinished, directory);
  }
  cpSync(SOURCES, directory, { recursive: true });
  return directory;
}
