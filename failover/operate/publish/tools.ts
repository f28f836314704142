/** `nft` and `ip`, as they are called here: their output, or a typed error. */
import childProcess from 'node:child_process';
import { FtError } from '../../../lib/errors.js';
import { findTool, installHint } from '../../lab/required-tools.js';

// The runtime replaces Node's function for a program, and the last call is made at its end.
const { spawnSync } = childProcess;

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 64 << 20;

/** What to do without the right to change the network. */
export const PRIVILEGE_HINT =
  'Start it as root or with CAP_NET_ADMIN, or let root make the network before: ft-tcp net up (docs/guides/serving.md)';

/**
 * Runs a program, and returns what it prints. Throws FtError ERR_FT_TOOLS when it is missing, EPERM
 * without the right, ERR_FT_PUBLISH when it fails.
 */
export function runTool(tool: 'nft' | 'ip', args: readonly string[], input = ''): string {
  const path = findTool(tool);
  if (path === null)
    throw new FtError('ERR_FT_TOOLS', `Not installed: ${tool}`, `Install it (Debian: ${installHint([tool])})`);
  const result = spawnSync(path, args, { input, encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES });
  if (result.status === 0) return result.stdout;
  const message = `${result.stderr ?? ''}${result.error?.message ?? ''}`.trim();
  const what = `${tool} ${args.join(' ')}`;
  if (/not permitted|permission denied/i.test(message))
    throw new FtError('EPERM', `This user may not change the network (${what})`, PRIVILEGE_HINT);
  throw new FtError('ERR_FT_PUBLISH', `${what}: ${message.split('\n').slice(0, 2).join(' ')}`, 'See ft-tcp doctor');
}

/** The JSON that `ip -j` prints; it prints nothing for an empty list. */
export function ipJson<T>(...args: string[]): T[] {
  const text = runTool('ip', ['-j', ...args]).trim();
  return text === '' ? [] : (JSON.parse(text) as T[]);
}

/** Several commands of `ip` in one process. */
export function ipBatch(commands: readonly string[]): void {
  if (commands.length > 0) runTool('ip', ['-batch', '-'], `${commands.join('\n')}\n`);
}

/** An object that `nft -j` lists, under its kind: `{ "table": … }`. */
export type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The objects that `nft -j list …` prints. */
export function nftList(...what: string[]): NftObject[] {
  const { nftables } = JSON.parse(runTool('nft', ['-j', 'list', ...what])) as { nftables: NftObject[] };
  return nftables;
}

/** Applies a script as a whole, or nothing of it. */
export function nftApply(script: string): void {
  runTool('nft', ['-f', '-'], script);
}
