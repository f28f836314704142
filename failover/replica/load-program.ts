/**
 * The start of a program. It is one event, which ends when Node's event loop would wait for the
 * first time: all ticks, microtasks and imports of modules belong to it. What comes later, a
 * server that listens after `await database.connect()` among it, is an event like any other.
 *
 * Node's own entry runs the program, so that `require.main`, `import.meta.main`, package types,
 * loaders and TypeScript are Node's.
 */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';
import { originals } from '../runtime/core/originals.js';
import type { Replica } from './replica.js';

/** A backup looks at this interval whether it has been admitted to the log. */
const ADMISSION_POLL_MS = 1;

/** A start waits this long for the thread of a module loader, milliseconds. */
const LOADING_LIMIT_MS = 60_000;
const LOADER_OPTION = /--(import|loader|experimental-loader)\b/;

interface ModuleInternals {
  /** Runs a main file as `node FILE` does; the same on Node 20, 22, 24 and 26. */
  runMain(main: string): void;
}

const require = createRequire(import.meta.url);
const { runMain } = require('node:module') as ModuleInternals;

/**
 * The main file of a program as Node finds it: with or without extension, or a directory. Throws
 * FtError ERR_FT_PROGRAM when there is none.
 */
export function findProgram(file: string): string {
  try {
    return createRequire(join(process.cwd(), 'main')).resolve(resolve(file));
  } catch (error) {
    if (errorCode(error) !== 'MODULE_NOT_FOUND') throw error;
    throw new FtError('ERR_FT_PROGRAM', `The program ${file} cannot be found`, 'Give the path of its main file');
  }
}

/** Ports to other threads that Node's event loop waits for. */
function openPorts(): number {
  return originals.getActiveResourcesInfo().filter((kind) => kind === 'MessagePort').length;
}

/**
 * Loaders that the command line registers (tsx, ts-node) work in a thread, whose port is referenced
 * while it owes an answer. @returns whether one does; false where there are none
 */
function loaderWatch(): () => boolean {
  const { execArgv, env } = process;
  if (![...execArgv, env['NODE_OPTIONS'] ?? ''].some((word) => LOADER_OPTION.test(word))) return () => false;
  const own = openPorts();
  const until = originals.performanceNow() + LOADING_LIMIT_MS;
  return () => openPorts() > own && originals.performanceNow() < until;
}

/**
 * Runs a program on a replica, with arguments of its own. Resolves when its start is over. Throws
 * FtError ERR_FT_PROGRAM when there is no such file. What the program throws is uncaught, as in
 * Node. On a warm standby it resolves when the replica follows the primary.
 */
export async function loadProgram(replica: Replica, file: string, args: string[]): Promise<void> {
  findProgram(file);
  const main = resolve(file);
  process.argv = [process.argv[0], main, ...args];
  if (replica.standby === null) replica.follow();
  // The log tells a backup which connections the start has opened.
  while (!replica.mayStart) await new Promise((done) => originals.setTimeout(done, ADMISSION_POLL_MS));
  await replica.start(() => runMain(main), loaderWatch());
  if (replica.standby === null) return;
  replica.emit('standingBy');
  await replica.takePlace();
}
