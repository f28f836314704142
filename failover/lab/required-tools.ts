/** Programs of the machine that the demo and the tests call, and how to get them. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { FtError } from '../../lib/errors.js';

/** The Debian package that each program comes with. */
export const TOOLS = {
  ip: 'iproute2',
  nft: 'nftables',
  unshare: 'util-linux',
  mount: 'mount',
  wget: 'wget',
  curl: 'curl',
  ab: 'apache2-utils',
  tcpdump: 'tcpdump',
  nsenter: 'util-linux',
  etcd: 'etcd-server',
  openssl: 'openssl',
  nginx: 'nginx-light',
  'redis-server': 'redis-server',
  'redis-benchmark': 'redis-tools',
  haproxy: 'haproxy',
  promtool: 'prometheus',
} as const;

/** A program that the demo or a test needs. */
export type Tool = keyof typeof TOOLS;

/** The path of a program, or null. Searches /usr/sbin and /sbin, too. */
export function findTool(name: string): string | null {
  const path = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
  for (const directory of path.split(delimiter)) {
    if (directory === '') continue;
    try {
      accessSync(join(directory, name), constants.X_OK);
      return join(directory, name);
    } catch {
      // Not here.
    }
  }
  return null;
}

/** Which of these programs are not installed. */
export function missingTools(tools: readonly Tool[]): Tool[] {
  return tools.filter((tool) => findTool(tool) === null);
}

/** The command that installs them. */
export function installHint(tools: readonly Tool[]): string {
  return `apt-get install -y ${[...new Set(tools.map((tool) => TOOLS[tool]))].join(' ')}`;
}

/**
 * Checks that the programs are installed; with `install`, installs missing ones with apt-get where
 * that is possible. Throws FtError ERR_FT_TOOLS, which names what to install.
 */
export function requireTools(tools: readonly Tool[], install: boolean): void {
  let missing = missingTools(tools);
  if (missing.length === 0) return;
  if (install && process.getuid?.() === 0 && findTool('apt-get') !== null) {
    const packages = [...new Set(missing.map((tool) => TOOLS[tool]))];
    process.stderr.write(`ft-tcp: installing ${packages.join(', ')} …\n`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (...args: string[]): boolean =>
      spawnSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000 }).status === 0;
    const get = ['install', '-y', '--no-install-recommends', ...packages];
    // The package lists may be missing or out of date.
    if (!apt(...get)) apt('update') && apt(...get);
    missing = missingTools(tools);
    if (missing.length === 0) return;
  }
  throw new FtError(
    'ERR_FT_TOOLS',
    `Not installed: ${missing.join(', ')}`,
    `Install them (Debian: ${installHint(missing)})`,
  );
}
