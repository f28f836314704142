/**
 * The TAP device of a network: which one, with which addresses and MTU. A device that is made here
 * says so in its alias, which every user can read, and which survives the rules.
 */
import { FtError } from '../../../lib/errors.js';
import { type Cidr4, formatIPv4, parseCidr4, parseIPv4 } from '../../../lib/ipv4-address.js';
import { inCidr6, parseCidr6, parseIPv6 } from '../../../lib/ipv6-address.js';
import { existsSync } from '../../../lib/own-node.js';
import { ipBatch, ipJson } from './tools.js';

/** Networks that are looked at for a free one: 10.77.N.0/24 and fd77:0:0:N::/64. */
const MAX_NETWORKS = 256;
const DEFAULT_MTU = 1500;
const ALIAS = 'ft-tcp';

/** An interface, as `ip -j address` shows it. */
export interface Interface {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly mtu: number;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

/** All interfaces of this network namespace. */
export function readInterfaces(): Interface[] {
  // With the details comes the alias.
  return ipJson<Interface>('-d', 'address', 'show');
}

/** Whose device it is. */
export interface DeviceOwner {
  readonly group: string;
  readonly place: string;
  readonly isKept: boolean;
  /** The published ports, as one word. */
  readonly ports: string;
}

/** The alias of a device that is made for a group. */
export function aliasOf({ group, place, isKept, ports }: DeviceOwner): string {
  return [ALIAS, group, place, isKept ? 'kept' : 'with-group', ports].join(' ');
}

/** Whose device it is by its alias; null: it was not made here. */
export function ownerOf({ ifalias = '' }: Pick<Interface, 'ifalias'>): DeviceOwner | null {
  const [alias, group, place, kept, ports = ''] = ifalias.split(' ');
  if (alias !== ALIAS || group === undefined || place === undefined) return null;
  return { group, place, isKept: kept === 'kept', ports };
}

/** A device, the stack's addresses on it, and the host's. */
export interface Place {
  readonly device: string;
  /** The stack's, with prefix lengths. */
  readonly addresses: readonly string[];
  /** The host's in the same networks: the stack's routers. */
  readonly hosts: readonly string[];
}

function hasIPv6(): boolean {
  return existsSync('/proc/sys/net/ipv6');
}

/** The addresses of the network with this number. */
function numbered(device: string, number: number): Place {
  const six = hasIPv6() ? [number === 0 ? 'fd77::' : `fd77:0:0:${number.toString(16)}::`] : [];
  return {
    device,
    addresses: [`10.77.${number}.2/24`, ...six.map((net) => `${net}2/64`)],
    hosts: [`10.77.${number}.1/24`, ...six.map((net) => `${net}1/64`)],
  };
}

/** Destinations of all routes but the default one, as networks. */
function routedNetworks(): Cidr4[] {
  return ipJson<{ dst: string }>('route', 'show', 'table', 'all')
    .map(({ dst }) => parseCidr4(dst.includes('/') ? dst : `${dst}/32`))
    .filter((net) => net !== undefined);
}

function touches(one: Cidr4, other: Cidr4): boolean {
  const mask = one.mask & other.mask;
  return ((one.address ^ other.address) & mask) === 0;
}

/** The first device name whose network nobody uses. @param wanted the name, if one was given */
export function chooseFree(found: readonly Interface[], wanted?: string): Place {
  const routed = routedNetworks();
  for (let number = 0; number < MAX_NETWORKS; number++) {
    const device = wanted ?? `ft${number}`;
    const net = parseCidr4(`10.77.${number}.0/24`);
    if (net === undefined || routed.some((other) => touches(net, other))) continue;
    if (wanted === undefined && found.some(({ ifname }) => ifname === device)) continue;
    return numbered(device, number);
  }
  throw new FtError('ERR_FT_PUBLISH', 'No network of 10.77.0.0/16 is free', 'Choose one with --tap and --ip');
}

/** Where the stack is on a device that exists: the addresses follow from the host's. */
export function placeOn({ ifname, addr_info: own }: Interface): Place | null {
  const four = own.find(({ local, prefixlen }) => prefixlen === 24 && /^10\.77\.\d+\.1$/.test(local));
  return four === undefined ? null : numbered(ifname, Number(four.local.split('.')[2]));
}

/**
 * The host's addresses in the networks of the stack's.
 * Throws FtError EADDRNOTAVAIL for a network without room.
 */
export function hostsFor(addresses: readonly string[], gateways: readonly string[]): string[] {
  return addresses.map((cidr) => {
    const [stack = '', length = ''] = cidr.split('/');
    const given = gateways.find((gateway) => isIn(gateway, cidr));
    const host = given ?? firstHost(cidr, stack);
    if (host === undefined)
      throw new FtError(
        'EADDRNOTAVAIL',
        `The network of ${cidr} has no room for an address of the host`,
        'Choose a shorter prefix with --ip, as 10.77.0.2/24',
      );
    return `${host}/${length}`;
  });
}

/** Whether an address is in the network of another one. */
export function isIn(address: string, cidr: string): boolean {
  const net = parseCidr4(cidr);
  const four = parseIPv4(address);
  if (net !== undefined) return four !== undefined && ((four ^ net.address) & net.mask) === 0;
  const [net6, six] = [parseCidr6(cidr), parseIPv6(address)];
  return net6 !== undefined && six !== undefined && inCidr6(six, net6);
}

/** The first address of the network that is not the stack's. */
function firstHost(cidr: string, stack: string): string | undefined {
  const net = parseCidr4(cidr);
  if (net !== undefined) {
    const first = ((net.address & net.mask) >>> 0) + 1;
    const room = [first, first + 1].map(formatIPv4).filter((one) => isIn(one, cidr));
    return net.prefix > 30 ? undefined : room.find((one) => one !== stack);
  }
  if (Number(cidr.split('/')[1]) > 126) return undefined;
  const six = parseCidr6(cidr)?.address;
  const bytes = six === undefined ? undefined : Uint8Array.from(six);
  if (bytes === undefined) return undefined;
  const last = bytes[15] ?? 0;
  // Its neighbour: within any network of four addresses or more.
  bytes[15] = last ^ (last % 4 === 1 ? 3 : (last % 4) ^ 1);
  return [...Array(8).keys()].map((i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16)).join(':');
}

/** The MTU of the way out: that of the default routes, else of all networks. */
export function uplinkMtu(found: readonly Interface[], device: string): number {
  const routes = (family: string): string[] =>
    ipJson<{ dev?: string }>(family, 'route', 'show', 'default').map(({ dev }) => dev ?? '');
  const ways = [...routes('-4'), ...routes('-6')];
  const others = found.filter(({ ifname, flags, ifalias = '' }) => {
    const isOwn = ifname === device || ifalias.startsWith(`${ALIAS} `);
    return !isOwn && !flags.includes('LOOPBACK') && flags.includes('UP');
  });
  const uplinks = others.filter(({ ifname }) => ways.includes(ifname));
  const used = uplinks.length > 0 ? uplinks : others.filter(({ addr_info: own }) => own.some(isGlobal));
  return used.length === 0 ? DEFAULT_MTU : Math.min(...used.map(({ mtu }) => mtu));
}

function isGlobal({ scope }: { scope: string }): boolean {
  return scope === 'global';
}

/** How a device is made. */
export interface DeviceMaking {
  readonly offload: boolean;
  readonly mtu: number;
  /** Who may open it without rights; undefined: nobody. */
  readonly user: string | undefined;
  readonly alias: string;
}

/** Makes a TAP device with several queues and the host's addresses, and sets it up. */
export function makeDevice({ device, hosts }: Place, { offload, mtu, user, alias }: DeviceMaking): void {
  const owner = user === undefined ? '' : ` user ${user}`;
  ipBatch([
    `tuntap add dev ${device} mode tap${owner} multi_queue${offload ? ' vnet_hdr' : ''}`,
    `link set dev ${device} alias "${alias}"`,
    `link set dev ${device} mtu ${mtu}`,
    ...hosts.map((cidr) => `address add ${cidr} dev ${device}${cidr.includes(':') ? ' nodad' : ''}`),
    `link set dev ${device} up`,
  ]);
}

/** Changes what a device says of its owner. */
export function renameOwner(device: string, alias: string): void {
  ipBatch([`link set dev ${device} alias "${alias}"`]);
}

/** Removes a device that was made here. */
export function removeDevice(device: string): void {
  ipBatch([`link delete dev ${device}`]);
}

/** Addresses of this machine at which clients can reach published ports. */
export function servingAddresses(found: readonly Interface[]): string[] {
  return found
    .filter(({ ifalias = '', flags }) => !ifalias.startsWith(`${ALIAS} `) && flags.includes('UP'))
    .flatMap(({ addr_info: own }) => own.filter(isGlobal).map(({ local }) => local));
}
