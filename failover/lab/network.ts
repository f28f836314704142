/**
 * The lab's network: a TAP with the client on the kernel's side and, for comparison, a namespace
 * across a veth.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { FtError } from '../../lib/errors.js';

/** The TAP device. */
export const TAP = 'ft0';
/** The kernel's address on the TAP. */
export const CLIENT_ADDRESS = '10.77.0.1';
/** The stack's address on the TAP. */
export const STACK_ADDRESS = '10.77.0.2';
/** The client's end of the veth. */
export const VETH_CLIENT = '10.78.0.1';
/** The server's end of the veth. */
export const VETH_SERVER = '10.78.0.2';

/**
 * Runs `ip` in the network namespace of a process, or in this one. Throws FtError EPERM,
 * ERR_FT_DEVICE.
 */
export function ip(command: string, netnsOf?: number): void {
  const args = command.split(' ');
  const result =
    netnsOf === undefined
      ? spawnSync('ip', args, { encoding: 'utf8' })
      : spawnSync('nsenter', ['-t', String(netnsOf), '-n', 'ip', ...args], { encoding: 'utf8' });
  if (result.status === 0) return;
  const message = `${result.stderr ?? ''}${result.error?.message ?? ''}`.trim();
  const code = /not permitted|denied/i.test(message) ? 'EPERM' : 'ERR_FT_DEVICE';
  throw new FtError(code, `ip ${command}: ${message}`, 'See ft-tcp doctor');
}

/**
 * Sets up loopback and the TAP. CUBIC, because BBR without pacing limits the kernel's throughput.
 */
export function makeTap(offload: boolean): void {
  ip('link set lo up');
  ip(`tuntap add dev ${TAP} mode tap multi_queue${offload ? ' vnet_hdr' : ''}`);
  ip(`addr add ${CLIENT_ADDRESS}/24 dev ${TAP}`);
  ip(`link set ${TAP} up`);
  useCubic('10.77.0.0/24', TAP);
}

function useCubic(prefix: string, device: string, netnsOf?: number): void {
  try {
    ip(`route replace ${prefix} dev ${device} congctl cubic`, netnsOf);
  } catch {
    // A kernel without the option keeps its default, which is nearly always CUBIC.
  }
}

/**
 * Makes another network namespace across a veth, with the kernel's TCP at both ends.
 * @returns the process that holds it
 */
export async function makeVeth(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 100000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((done, fail) => {
    holder.stdout.once('data', () => done());
    holder.once('exit', () => fail(new FtError('EPERM', 'No second network namespace', 'See ft-tcp doctor')));
  });
  const { pid } = holder;
  if (pid === undefined) throw new FtError('ERR_FT_STATE', 'The namespace has no process', 'See ft-tcp doctor');
  ip('link add veth-client type veth peer name veth-server');
  ip(`link set veth-server netns ${pid}`);
  ip(`addr add ${VETH_CLIENT}/24 dev veth-client`);
  ip('link set veth-client up');
  ip(`addr add ${VETH_SERVER}/24 dev veth-server`, pid);
  ip('link set veth-server up', pid);
  ip('link set lo up', pid);
  useCubic('10.78.0.0/24', 'veth-client');
  useCubic('10.78.0.0/24', 'veth-server', pid);
  return holder;
}

/** Connections that the kernel has opened in this namespace (RFC 4022, tcpActiveOpens). */
export function activeOpens(): number {
  const [names = [], values = []] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('ActiveOpens')]);
}
