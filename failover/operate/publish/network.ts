/**
 * The network of a group whose ports are published: a device, rules, and forwarding. It belongs to
 * the group: the first replica makes it, further ones find it, it stays when they are killed, and
 * the last one that ends removes it.
 */
import { createHash } from 'node:crypto';
import { FtError } from '../../../lib/errors.js';
import { checkDevice } from '../../host/device-check.js';
import { claim, type Owner, usersOf, whileLocked } from './claims.js';
import {
  aliasOf,
  chooseFree,
  hostsFor,
  type Interface,
  isIn,
  makeDevice,
  ownerOf,
  type Place,
  placeOn,
  readInterfaces,
  removeDevice,
  renameOwner,
  uplinkMtu,
} from './devices.js';
import { closeForwarding, FORWARDING_TABLE, openForwarding, readSysctl, writeSysctl } from './forwarding.js';
import { type PublishedPort, publishedText } from './ports.js';
import { requireFreePorts, requireOwnAddresses } from './ports-taken.js';
import { type Network, networkOf, placeOf, rulesOf, TABLE_PREFIX, tableOf } from './rules.js';
import { nftApply, nftList, runTool } from './tools.js';

/** What is wanted. */
export interface NetworkWish {
  readonly group: string;
  /** The directory of the groups. */
  readonly directory: string;
  /** undefined: the first free one. */
  readonly device: string | undefined;
  /** The stack's, with prefix lengths; none: of a free network. */
  readonly addresses: readonly string[];
  /** The host's addresses on the device; none: the first of each network. */
  readonly gateways: readonly string[];
  readonly ports: readonly PublishedPort[];
  readonly offload: boolean;
  /** Another process of the group has just made it: what it made is used as it is. */
  readonly isMadeBefore?: boolean;
  /** It stays without replicas, and this user may open the device. */
  readonly kept?: { readonly user: string | undefined };
}

/** A network that this process uses. */
export interface RaisedNetwork {
  readonly device: string;
  readonly addresses: readonly string[];
  /** The host's addresses: the stack's routers. */
  readonly gateways: readonly string[];
  /** The device was made here: no other host is on it. */
  readonly isPrivate: boolean;
  /** Frees it. @param isOver the group has ended: the last process removes the network */
  release(isOver: boolean): void;
}

/** A place, and whether its device was made here. */
type MadePlace = Place & { readonly isMade: boolean };

/** All that is there. */
interface Found {
  readonly networks: readonly Network[];
  readonly interfaces: readonly Interface[];
  readonly hasForwardingTable: boolean;
}

function readAll(): Found {
  const tables = nftList('tables')
    .map(({ table }) => table)
    .filter((table) => table?.['family'] === 'inet')
    .map((table) => String(table?.['name']));
  const networks = tables
    .filter((name) => name.startsWith(TABLE_PREFIX))
    .map((name) => networkOf(nftList('table', 'inet', name)));
  return {
    networks: networks.filter((network) => network !== null),
    interfaces: readInterfaces(),
    hasForwardingTable: tables.includes(FORWARDING_TABLE),
  };
}

/** All networks of groups, also those of which only the device is left. Throws FtError EPERM. */
export function findNetworks(): Network[] {
  const { networks, interfaces } = readAll();
  const lost = interfaces.flatMap((one): Network[] => {
    const owner = ownerOf(one);
    if (owner === null || networks.some((network) => isOf(network, owner))) return [];
    const { group, place, isKept } = owner;
    const addresses = placeOn(one)?.addresses ?? [];
    return [{ group, place, isKept, isMade: true, device: one.ifname, addresses, ports: [] }];
  });
  return [...networks, ...lost];
}

function isOf(one: Owner, other: Owner): boolean {
  return one.group === other.group && one.place === other.place;
}

/** The ports as one word of a device's alias, which may have 255 characters. */
function portsWord(ports: readonly PublishedPort[]): string {
  return createHash('sha256').update(ports.map(publishedText).join()).digest('hex').slice(0, 12);
}

/**
 * Makes the network, or finds it as it was made. Throws FtError EADDRINUSE, EBUSY, EINVAL,
 * EADDRNOTAVAIL, EPERM, ERR_FT_MISMATCH, ERR_FT_TOOLS, ERR_FT_PUBLISH; nothing has changed then.
 */
export function raiseNetwork(wish: NetworkWish): RaisedNetwork {
  const owner = { group: wish.group, place: placeOf(wish.directory) };
  return whileLocked(() => {
    const free = claim(owner);
    try {
      const { device, addresses, hosts, isMade } =
        (wish.isMadeBefore === true ? madeBefore(wish, owner) : null) ?? make(wish, owner);
      const gateways = hosts.map(withoutLength);
      return { device, addresses, gateways, isPrivate: isMade, release: (isOver) => leave(owner, free, isOver) };
    } catch (error) {
      free();
      throw error;
    }
  });
}

function withoutLength(cidr: string): string {
  return cidr.slice(0, cidr.indexOf('/'));
}

function leave(owner: Owner, free: () => void, isOver: boolean): void {
  whileLocked(() => {
    free();
    if (!isOver || usersOf(owner).length > 0) return;
    const network = findNetworks().find((one) => isOf(one, owner));
    if (network !== undefined && !network.isKept) remove(network);
  });
}

function make(wish: NetworkWish, owner: Owner): MadePlace {
  let found: Found;
  try {
    found = readAll();
  } catch (error) {
    const place = error instanceof FtError && error.code === 'EPERM' ? madeBefore(wish, owner) : null;
    if (place === null) throw error;
    return place;
  }
  const { networks, interfaces } = found;
  const mine = networks.find((one) => isOf(one, owner));
  const place = choose(wish, owner, interfaces, mine);
  const made = interfaces.find(({ ifname }) => ifname === place.device);
  const isMade = made === undefined || ownerOf(made) !== null;
  const isKept = wish.kept !== undefined || mine?.isKept === true;
  const network: Network = {
    ...owner,
    device: place.device,
    isMade,
    isKept,
    addresses: place.addresses,
    ports: wish.ports,
  };
  requireSame(network, mine, wish.kept !== undefined);
  requireOwnAddresses(
    network,
    interfaces.flatMap(({ addr_info: own }) => own.map(({ local }) => local)),
  );
  requireFreePorts(
    network,
    networks.filter((one) => one !== mine),
  );
  const alias = aliasOf({ ...owner, isKept, ports: portsWord(wish.ports) });
  try {
    if (made === undefined) {
      const mtu = uplinkMtu(interfaces, place.device);
      makeDevice(place, { offload: wish.offload, mtu, user: wish.kept?.user, alias });
      letLoopbackIn(place.device);
    } else if (isMade && made.ifalias !== alias) renameOwner(place.device, alias);
    openForwarding([place.device, ...networks.map(({ device }) => device)], found.hasForwardingTable);
    nftApply(rulesOf(network));
  } catch (error) {
    if (mine === undefined) undo({ ...network, isMade: made === undefined });
    throw error;
  }
  return { ...place, isMade };
}

/** Clients of 127.0.0.1 are answered: the rules let nothing else of 127.0.0.0/8 through. */
function letLoopbackIn(device: string): void {
  const name = `net/ipv4/conf/${device}/route_localnet`;
  if (readSysctl(name) === '1') return;
  try {
    writeSysctl(name, '1');
  } catch {
    // In a container /proc/sys may be read-only: clients of other addresses are served.
  }
}

/** Removes what a failed attempt has made. */
function undo(network: Network): void {
  try {
    remove(network);
  } catch {
    // The attempt's own error says more.
  }
}

/** A network that was made before, by root (`ft-tcp net up`) or a supervisor, is used as it is. */
function madeBefore(wish: NetworkWish, owner: Owner): MadePlace | null {
  const found = readInterfaces().find((one) => {
    const made = ownerOf(one);
    return made !== null && isOf(made, owner) && made.ports === portsWord(wish.ports);
  });
  return found === undefined ? null : { ...placeFor(wish, found), isMade: true };
}

/** The device and the addresses. */
function choose(wish: NetworkWish, owner: Owner, interfaces: readonly Interface[], mine: Network | undefined): Place {
  const isMine = (one: Interface): boolean => {
    const made = ownerOf(one);
    return made !== null && isOf(made, owner);
  };
  const name = wish.device ?? mine?.device ?? interfaces.find(isMine)?.ifname;
  const existing = interfaces.find(({ ifname }) => ifname === name);
  if (existing !== undefined) {
    requireOurs(existing, owner);
    const problem = checkDevice({ name: existing.ifname, mode: 'tap', multiQueue: true, offload: wish.offload });
    if (problem !== null) throw new FtError(problem.code, problem.problem, problem.hint);
    return placeFor(wish, existing);
  }
  if (wish.addresses.length === 0) return chooseFree(interfaces, name);
  const device = name ?? chooseFree(interfaces).device;
  return { device, addresses: wish.addresses, hosts: hostsFor(wish.addresses, wish.gateways) };
}

function requireOurs(device: Interface, owner: Owner): void {
  const made = ownerOf(device);
  if (made === null || isOf(made, owner)) return;
  const where = made.group === owner.group ? `the group ${made.group} of another directory` : `the group ${made.group}`;
  throw new FtError(
    'EBUSY',
    `The device ${device.ifname} belongs to ${where}`,
    'Choose another one with --tap, or leave --tap out; ft-tcp net show lists all of them',
  );
}

/** On a device that exists, the stack needs an address of its networks, or of its bridge. */
function placeFor(wish: NetworkWish, device: Interface): Place {
  const own = device.addr_info.filter(({ scope }) => scope === 'global');
  if (wish.addresses.length === 0) {
    const place = placeOn(device);
    if (place !== null) return place;
    throw new FtError(
      'EADDRNOTAVAIL',
      `The device ${device.ifname} was not made by ft-tcp, so that no address follows from it`,
      'Choose the address of the stack with --ip',
    );
  }
  const hosts = wish.addresses.flatMap((cidr) => {
    const host = own.find(({ local }) => isIn(local, cidr));
    return host === undefined ? [] : [`${host.local}/${host.prefixlen}`];
  });
  if (hosts.length > 0 || device.master !== undefined || wish.gateways.length > 0)
    return { device: device.ifname, addresses: wish.addresses, hosts };
  throw new FtError(
    'EADDRNOTAVAIL',
    `The device ${device.ifname} has no address in the network of ${wish.addresses.join(' or ')}`,
    'Choose another --ip, give the device an address of that network, or leave --tap out',
  );
}

/** Replicas that run share one network: it does not change under them. */
function requireSame(wanted: Network, mine: Network | undefined, byRoot: boolean): void {
  if (mine === undefined) return;
  const text = ({ device, addresses, ports }: Network): string =>
    `${device}, ${addresses.join(' ')}, ports ${ports.map(publishedText).join(' ')}`;
  // The claim of this process is among them.
  const isFree = usersOf(mine).length <= 1 && (byRoot || !mine.isKept);
  if (isFree || text(wanted) === text(mine)) return;
  throw new FtError(
    'ERR_FT_MISMATCH',
    `The group ${mine.group} publishes ${text(mine)}, and not ${text(wanted)}`,
    'Give all replicas the same options, or end the group first (ft-tcp drain, ft-tcp net down)',
  );
}

/** Removes the rules, the device if it was made here, and forwarding with the last network. */
function remove(network: Network): void {
  const { networks, interfaces, hasForwardingTable } = readAll();
  if (networks.some((one) => isOf(one, network))) runTool('nft', ['delete', 'table', 'inet', tableOf(network)]);
  const device = interfaces.find(({ ifname }) => ifname === network.device);
  const owner = device === undefined ? null : ownerOf(device);
  if (network.isMade && owner !== null && isOf(owner, network)) removeDevice(network.device);
  if (hasForwardingTable && networks.every((one) => isOf(one, network))) closeForwarding();
}

/**
 * Removes a network that no process uses. Throws FtError EBUSY, EPERM.
 * @returns false: there is none
 */
export function lowerNetwork(owner: Owner): boolean {
  return whileLocked(() => {
    const network = findNetworks().find((one) => isOf(one, owner));
    if (network === undefined) return false;
    const users = usersOf(owner);
    if (users.length > 0)
      throw new FtError(
        'EBUSY',
        `Processes of the group ${owner.group} use the network: ${users.join(', ')}`,
        'End the group first: ft-tcp drain',
      );
    remove(network);
    return true;
  });
}
