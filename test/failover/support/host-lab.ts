/**
 * A lab as a host: an uplink (a veth) to a second namespace with the clients, and directories of
 * its own at /run and /dev/shm.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../../../failover/lab/namespace.js';
import { ip, makeVeth } from '../../../failover/lab/network.js';

const CLI = fileURLToPath(new URL('../../../../bin/ft-tcp.js', import.meta.url));

/** The host's addresses on its uplink. */
export const HOST = '10.78.0.1';
export const HOST6 = 'fd78::1';
/** The client's. */
export const CLIENT = '10.78.0.2';
export const CLIENT6 = 'fd78::2';

/** @returns the process that holds the clients' namespace; does not return outside. */
export async function inHostLab(url: string): Promise<ChildProcess> {
  if (labDirectory() === undefined) process.exit(await runInLab(fileURLToPath(url), []));
  enterLab();
  for (const path of ['/run', '/dev/shm']) run('mount', '-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs', path);
  ip('link set lo up');
  const clients = await makeVeth();
  ip(`address add ${HOST6}/64 dev veth-client nodad`);
  ip(`address add ${CLIENT6}/64 dev veth-server nodad`, clients.pid);
  ip(`route add default via ${CLIENT}`);
  return clients;
}

/** Runs a program to its end. */
export function run(program: string, ...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 30_000 });
  return { code: status, out: stdout, err: stderr };
}

/** Runs a command of ft-tcp to its end. */
export function ftTcp(...args: string[]): { code: number | null; out: string; err: string } {
  return run(process.execPath, CLI, ...args);
}

const SYSCTLS = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv6/conf/veth-client/accept_ra'];

/** Everything of the machine that a group may change. */
export function machineState(): Record<string, string> {
  // Duplicate address detection of link-local addresses ends by itself.
  for (let i = 0; i < 100 && run('ip', '-6', 'address', 'show', 'tentative').out !== ''; i++) run('sleep', '0.05');
  // mount has a table of its own in /run.
  const files = (path: string): string =>
    readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => !name.startsWith('mount'))
      .sort()
      .join('\n');
  return {
    links: run('ip', '-o', 'link').out.replace(/^\d+: /gm, ''),
    addresses: run('ip', '-o', 'address').out,
    routes: run('ip', 'route', 'show', 'table', 'all').out,
    rules: run('nft', 'list', 'ruleset').out,
    sysctls: SYSCTLS.map((name) => `${name} ${readFileSync(`/proc/sys/net/${name}`, 'utf8').trim()}`).join('\n'),
    run: files('/run'),
    shm: files('/dev/shm'),
  };
}
