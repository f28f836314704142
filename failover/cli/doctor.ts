/**
 * `ft-tcp doctor`: checks whether ft-tcp runs on this machine, and what to install or allow.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { errorCode } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { ExitCode } from '../admin/error-codes.js';
import { checkAddresses, checkDevice, type Problem } from '../host/device-check.js';
import { deviceClaim } from '../host/device-claim.js';
import { defaultDirectory } from '../host/group-directory.js';
import { isSupportedNode, supportedNodeVersions } from '../host/node-version.js';
import { unshareFlags } from '../lab/namespace.js';
import { findTool, installHint, missingTools, TOOLS, type Tool } from '../lab/required-tools.js';
import { publishChecks } from '../operate/publish/checks.js';
import type { PublishedPort } from '../operate/publish/ports.js';
import { deviceUse } from './create-device.js';
import { DOCTOR } from './doctor-options.js';
import { parseOptions } from './options.js';

interface Check {
  name: string;
  ok: boolean;
  /** ft-tcp does not run without it. */
  needed: boolean;
  found: string;
  advice?: string;
}

/** @returns 0, or 3 when something is missing that ft-tcp needs. Throws FtError ERR_FT_USAGE. */
export async function doctorCommand(argv: string[]): Promise<number> {
  const { json, tap: device, ip: addresses, publish } = parseOptions(DOCTOR, argv);
  const checks = [
    platform(),
    node(),
    addon(),
    tunDevice(),
    namespaces(),
    tap(),
    pidfd(),
    directory(),
    cubic(),
    ...(device === undefined ? [] : deviceChecks(device, addresses)),
    ...(publish.length === 0 ? [] : publishingChecks(publish)),
    ...tools(),
  ];
  const ok = checks.every((check) => check.ok || !check.needed);
  if (json) process.stdout.write(`${JSON.stringify({ ok, checks })}\n`);
  else print(checks, ok);
  return ok ? ExitCode.Ok : ExitCode.Environment;
}

function print(checks: Check[], ok: boolean): void {
  for (const { name, ok: fine, needed, found, advice } of checks) {
    const mark = fine ? 'ok     ' : needed ? 'MISSING' : 'absent ';
    process.stdout.write(`${mark}  ${name}: ${found}\n`);
    if (!fine && advice !== undefined) process.stdout.write(`         ${advice}\n`);
  }
  process.stdout.write(ok ? 'ft-tcp can run here.\n' : 'ft-tcp cannot run here until what is MISSING is provided.\n');
}

function platform(): Check {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const ok = process.platform === 'linux' && (major > 5 || (major === 5 && minor >= 4));
  const advice = 'Linux 5.4 or later is needed (pidfd)';
  return { name: 'kernel', ok, needed: true, found: `${process.platform} ${release()}`, advice };
}

function node(): Check {
  const ok = isSupportedNode(process.versions.node);
  const supported = `supported: ${supportedNodeVersions()}`;
  const found = `${process.version} (${supported})`;
  return { name: 'Node.js', ok, needed: true, found, advice: `Install Node.js ${supportedNodeVersions()}` };
}

function addon(): Check {
  try {
    native();
    return { name: 'native addon', ok: true, needed: true, found: 'loads' };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    const advice = 'apt-get install -y build-essential python3, then npm rebuild';
    return { name: 'native addon', ok: false, needed: true, found, advice };
  }
}

function tunDevice(): Check {
  const path = '/dev/net/tun';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return { name: path, ok: true, needed: true, found: 'can be opened' };
  } catch (error) {
    const missing = errorCode(error) === 'ENOENT';
    return {
      name: path,
      ok: false,
      needed: true,
      found: missing ? 'does not exist' : 'this user may not open it',
      advice: missing
        ? 'modprobe tun; in a container, pass the device in (--device /dev/net/tun)'
        : 'as root: chmod 0666 /dev/net/tun (the usual mode; creating interfaces needs CAP_NET_ADMIN as well)',
    };
  }
}

function namespaces(): Check {
  const name = process.getuid?.() === 0 ? 'network namespaces' : 'user and network namespaces';
  try {
    unshareFlags();
    return { name, ok: true, needed: false, found: 'can be created (used by the demo and the tests)' };
  } catch (error) {
    const advice = 'sysctl kernel.unprivileged_userns_clone=1, or run the demo as root';
    return { name, ok: false, needed: false, found: error instanceof Error ? error.message : String(error), advice };
  }
}

/** Creates a TAP as the lab does, in a namespace that ends at once. */
function tap(): Check {
  const name = 'TAP with offload and several queues';
  const advice = 'The kernel needs CONFIG_TUN, the user CAP_NET_ADMIN in its namespace';
  if (findTool('ip') === null) return { name, ok: false, needed: false, found: 'not tried: no ip', advice };
  try {
    const make = 'tuntap add dev ft0 mode tap multi_queue vnet_hdr'.split(' ');
    const tried = spawnSync('unshare', [...unshareFlags(), 'ip', ...make], { encoding: 'utf8', timeout: 10_000 });
    const ok = tried.status === 0;
    return {
      name,
      ok,
      needed: true,
      found: ok ? 'can be created' : `${tried.stderr ?? ''}${tried.error?.message ?? ''}`.trim(),
      advice,
    };
  } catch {
    return { name, ok: false, needed: false, found: 'not tried: no namespace', advice };
  }
}

/** A device and addresses, as `ft-tcp run` would use them. */
function deviceChecks(device: string, addresses: readonly string[]): Check[] {
  const use = { ...deviceUse({ tap: device, offload: true }), addresses };
  const check = (name: string, problem: Problem | null | undefined): Check => ({
    name,
    ok: problem === null || problem === undefined,
    needed: true,
    found: problem?.problem ?? 'can be used',
    advice: problem?.hint ?? '',
  });
  const problem = checkDevice(use);
  const found = [check(`device ${device}`, problem)];
  if (problem !== null) return found;
  const problems = checkAddresses(use);
  if (addresses.length > 0)
    found.push(...(problems.length === 0 ? [null] : problems).map((one) => check('addresses', one)));
  found.push(check(`claim of ${device}`, claimProblem(device)));
  return found;
}

/** What `--publish` needs, as `ft-tcp run` would use it. */
function publishingChecks(ports: readonly PublishedPort[]): Check[] {
  return publishChecks(ports).map(({ name, problem, found }) => ({
    name: `publishing: ${name}`,
    ok: problem === null,
    needed: true,
    found: problem?.problem ?? found,
    advice: problem?.hint ?? '',
  }));
}

function claimProblem(device: string): Problem | null {
  const fd = native().lockName(deviceClaim(device));
  if (fd >= 0) native().closeFd(fd);
  if (fd >= 0) return null;
  return { code: 'EBUSY', problem: 'another ft-tcp process uses it', hint: 'See ft-tcp list; one group per device' };
}

function pidfd(): Check {
  const name = 'pidfd';
  try {
    const addon = native();
    addon.closeFd(addon.pidfdOpen(process.pid));
    return { name, ok: true, needed: true, found: 'works' };
  } catch (error) {
    const advice = 'Needs Linux 5.4; some container runtimes filter pidfd_open';
    return { name, ok: false, needed: true, found: errorCode(error) ?? String(error), advice };
  }
}

function directory(): Check {
  const path = defaultDirectory(process.env, process.getuid?.() ?? 0);
  const parent = path.slice(0, path.lastIndexOf('/'));
  const name = `directory of the groups (${path})`;
  const advice = `Use --dir, or make ${parent} writable with 64 MiB free; it should be in memory (tmpfs)`;
  try {
    accessSync(existsSync(path) ? path : parent, constants.W_OK);
    const { bavail, bsize } = statfsSync(parent);
    const free = Math.floor((bavail * bsize) / 1024 / 1024);
    return { name, ok: free >= 64, needed: true, found: `${free} MiB free`, advice };
  } catch (error) {
    return { name, ok: false, needed: true, found: errorCode(error) ?? String(error), advice };
  }
}

function cubic(): Check {
  const name = "congestion control of the kernel's side";
  const advice = 'modprobe tcp_cubic; only comparisons with the kernel need it';
  let loaded = '';
  try {
    loaded = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8').trim();
  } catch {
    // The kernel does not show the list.
  }
  return { name, ok: loaded.includes('cubic'), needed: false, found: loaded || 'unknown', advice };
}

function tools(): Check[] {
  const missing = new Set(missingTools(Object.keys(TOOLS) as Tool[]));
  return (Object.keys(TOOLS) as Tool[]).map((tool) => ({
    name: tool,
    ok: !missing.has(tool),
    needed: tool === 'ip',
    found: findTool(tool) ?? 'not found',
    advice: installHint([tool]),
  }));
}
