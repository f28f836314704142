/**
 * What a TAP or TUN device and its addresses must be like, before a stack uses them: the kernel
 * accepts much that cannot work. Reads only; `ft-tcp doctor` prints the same.
 */

import { checkOptions } from '../../lib/device/tap-errors.js';
import { errorCode, FtError } from '../../lib/errors.js';
import { parseCidr4, parseIPv4 } from '../../lib/ipv4-address.js';
import { inCidr6, parseCidr6, parseIPv6 } from '../../lib/ipv6-address.js';
import { type NativeAddon, native } from '../../lib/native/native.js';
import { existsSync, readFileSync } from '../../lib/own-node.js';

/** Flags of net_device and tun_struct (linux/if.h, linux/if_tun.h). */
const IFF_UP = 1;
const IFF_MULTI_QUEUE = 0x100;

/** How a device is to be used. */
export interface DeviceUse {
  name: string;
  mode: 'tap' | 'tun';
  /** Several processes open it. */
  multiQueue: boolean;
  /** Checksum and segmentation offload is wanted. */
  offload: boolean;
  /** The stack's addresses, `A.B.C.D/LEN` or `X::Y/LEN`. */
  addresses: readonly string[];
}

/** Something that does not work, and what to do. */
export interface Problem {
  /** Node's code, as ENODEV. */
  code: string;
  problem: string;
  /** The command, or what to choose. */
  hint: string;
}

/**
 * What the kernel shows of a device in /sys; null where /sys belongs to another network
 * namespace.
 */
function inSys(name: string, index: number): string | null {
  const directory = `/sys/class/net/${name}`;
  return readNumber(`${directory}/ifindex`) === index ? directory : null;
}

function readNumber(path: string): number | null {
  try {
    return Number(readFileSync(path, 'utf8').trim());
  } catch {
    return null;
  }
}

function describe(name: string): ReturnType<NativeAddon['ifDescribe']> | null {
  try {
    return native().ifDescribe(name);
  } catch (error) {
    if (errorCode(error) === 'ENODEV') return null;
    throw error;
  }
}

/** Whether there is a device of this name. */
export function hasDevice(name: string): boolean {
  return describe(name) !== null;
}

/** The commands that make the device, as root. */
function makeCommand({ name, mode, multiQueue, offload }: Omit<DeviceUse, 'addresses'>): string {
  const flags = `${multiQueue ? ' multi_queue' : ''}${offload ? ' vnet_hdr' : ''}`;
  return `ip tuntap add dev ${name} mode ${mode} user USER${flags} && ip link set ${name} up`;
}

/**
 * Looks at the device.
 * @returns null: it can be used. Throws FtError EINVAL for what is no name.
 */
export function checkDevice(use: Omit<DeviceUse, 'addresses'>): Problem | null {
  const { name, mode, multiQueue, offload } = use;
  checkOptions({ name, mode, multiQueue, offload, detached: false }, 1);
  const found = describe(name);
  if (found === null)
    return {
      code: 'ENODEV',
      problem: `There is no device ${name}`,
      hint: `As root: ${makeCommand(use)}. Or add --create`,
    };
  if (found.kind !== mode)
    return {
      code: 'EINVAL',
      problem: `'${name}' is not a ${mode.toUpperCase()} device`,
      hint: `Choose another one with --${mode}; ip -d link show ${name} tells its kind`,
    };
  const directory = inSys(name, found.index);
  const flags = directory === null ? null : readNumber(`${directory}/tun_flags`);
  if (multiQueue && flags !== null && (flags & IFF_MULTI_QUEUE) === 0)
    return {
      code: 'EINVAL',
      problem: `The device ${name} has a single queue`,
      hint: `As root: ip link del ${name} && ${makeCommand(use)}`,
    };
  if ((found.flags & IFF_UP) === 0)
    return { code: 'ENETDOWN', problem: `The device ${name} is down`, hint: `As root: ip link set ${name} up` };
  return null;
}

/** An address of this machine. */
interface OwnAddress {
  device: string;
  address: string;
  /** `ADDRESS/LENGTH` */
  cidr: string;
}

function ownAddresses(): OwnAddress[] {
  return native()
    .ifAddresses()
    .map((text) => {
      const [device = '', cidr = ''] = text.split(' ');
      return { device, cidr, address: cidr.slice(0, cidr.indexOf('/')) };
    });
}

/** Looks at the stack's addresses. @returns one problem for each address that cannot work */
export function checkAddresses({ name, addresses }: Pick<DeviceUse, 'name' | 'addresses'>): Problem[] {
  const found: Problem[] = [];
  const own = ownAddresses();
  for (const text of addresses) {
    const address = text.slice(0, text.indexOf('/'));
    const problem = ownAddress(own, address) ?? outsideOfNetworks(name, own, address);
    if (problem !== null) found.push(problem);
  }
  return found;
}

function ownAddress(own: readonly OwnAddress[], address: string): Problem | null {
  const found = own.find((one) => isSameAddress(one.address, address));
  if (found === undefined) return null;
  return {
    code: 'EADDRINUSE',
    problem: `${address} is this machine's own address (${found.device})`,
    hint: 'Choose another address of that network with --ip',
  };
}

function isSameAddress(one: string, other: string): boolean {
  const four = parseIPv4(one);
  if (four !== undefined) return four === parseIPv4(other);
  const [a, b] = [parseIPv6(one), parseIPv6(other)];
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}

/** This machine sends packets for the address elsewhere, unless the device belongs to a bridge. */
function outsideOfNetworks(name: string, own: readonly OwnAddress[], address: string): Problem | null {
  const isV4 = parseIPv4(address) !== undefined;
  const networks = own
    .filter((one) => one.device === name && (parseIPv4(one.address) !== undefined) === isV4)
    .filter(({ cidr }) => !cidr.startsWith('fe80:'));
  const directory = inSys(name, describe(name)?.index ?? 0);
  // Behind a bridge the networks are the bridge's.
  if (networks.length === 0 || directory === null || existsSync(`${directory}/master`)) return null;
  if (networks.some(({ cidr }) => contains(cidr, address)) || isRouted(name, address)) return null;
  return {
    code: 'EADDRNOTAVAIL',
    problem: `${address} is in no network of ${name} (${networks.map(({ cidr }) => cidr).join(', ')}), and no route leads to it`,
    hint: `Choose an address of that network with --ip, or as root: ip route add ${address} dev ${name}`,
  };
}

function contains(cidr: string, address: string): boolean {
  const net = parseCidr4(cidr);
  const four = parseIPv4(address);
  if (net !== undefined) return four !== undefined && ((four ^ net.address) & net.mask) === 0;
  const [net6, six] = [parseCidr6(cidr), parseIPv6(address)];
  return net6 !== undefined && six !== undefined && inCidr6(six, net6);
}

/** Whether the main routing table has a route for the address through the device. */
function isRouted(name: string, address: string): boolean {
  const four = parseIPv4(address);
  try {
    if (four === undefined) return isRouted6(name, address);
    return readFileSync('/proc/net/route', 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.split('\t'))
      .some(([device, to = '', , , , , , mask = '']) => device === name && ((four ^ hex4(to)) & hex4(mask)) === 0);
  } catch {
    return false;
  }
}

/** As the kernel prints an address there: in the machine's byte order. */
function hex4(text: string): number {
  return Buffer.from(text.padStart(8, '0'), 'hex').readInt32LE(0);
}

function isRouted6(name: string, address: string): boolean {
  const six = parseIPv6(address);
  if (six === undefined) return false;
  return readFileSync('/proc/net/ipv6_route', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .some(([to = '', length = '', ...rest]) => {
      if (rest.at(-1) !== name || to.length !== 32) return false;
      return inCidr6(six, { address: Buffer.from(to, 'hex'), prefix: Number.parseInt(length, 16) });
    });
}

/** The same for a command. Throws FtError ENODEV, EINVAL, ENETDOWN, EADDRINUSE, EADDRNOTAVAIL. */
export function requireDevice(use: DeviceUse): void {
  const problem = checkDevice(use) ?? checkAddresses(use)[0];
  if (problem !== undefined) throw new FtError(problem.code, problem.problem, problem.hint);
}
