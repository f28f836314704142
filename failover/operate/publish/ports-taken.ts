/** Who already has a port of the host: another group, or a socket that listens. */
import { FtError } from '../../../lib/errors.js';
import { formatIPv4 } from '../../../lib/ipv4-address.js';
import { formatIPv6 } from '../../../lib/ipv6-address.js';
import { readFileSync } from '../../../lib/own-node.js';
import { usersOf } from './claims.js';
import { isSameAddress, overlap, type PublishedPort, publishedText } from './ports.js';
import type { Network } from './rules.js';

/** TCP_LISTEN in /proc/net/tcp. */
const LISTEN = '0A';

/** A socket that listens. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

function addressOf(hex: string): string {
  // Words of 32 bits, in the machine's byte order.
  const words = Buffer.from(hex, 'hex').swap32();
  return words.length === 4 ? formatIPv4(words.readUInt32BE(0)) : formatIPv6(words);
}

/** All listening TCP sockets of this network namespace. */
export function listeners(): Listener[] {
  const found: Listener[] = [];
  for (const file of ['tcp', 'tcp6']) {
    let text = '';
    try {
      text = readFileSync(`/proc/self/net/${file}`, 'utf8');
    } catch {
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const [hex = '', port = ''] = local.split(':');
      if (state === LISTEN) found.push({ address: addressOf(hex), port: Number.parseInt(port, 16) });
    }
  }
  return found;
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** Throws FtError EADDRNOTAVAIL when a port is to be published at an address that is not here. */
export function requireOwnAddresses({ ports }: Pick<Network, 'ports'>, own: readonly string[]): void {
  for (const port of ports) {
    const { address } = port;
    if (address === null || own.some((one) => isSameAddress(one, address))) continue;
    throw new FtError(
      'EADDRNOTAVAIL',
      `Port ${publishedText(port)} cannot be published: ${address} is no address of this machine`,
      'Leave the address out for all addresses, also later ones; ip address shows those of now',
    );
  }
}

/** Throws FtError EADDRINUSE when a port is another group's, or a socket's. */
export function requireFreePorts(own: Pick<Network, 'ports'>, others: readonly Network[]): void {
  const sockets = listeners();
  for (const port of own.ports) {
    const other = others.find(({ ports }) => ports.some((one) => overlap(one, port)));
    if (other !== undefined) throw takenByGroup(port, other);
    const socket = sockets.find((one) => isTakenBy(port, one));
    if (socket === undefined) continue;
    const where = `${socket.address.includes(':') ? `[${socket.address}]` : socket.address}:${socket.port}`;
    throw new FtError(
      'EADDRINUSE',
      `Port ${publishedText(port)} cannot be published: a process of this machine listens at ${where}`,
      'Choose another port, as --publish 8080:80, or end that process (ss -ltnp shows it)',
    );
  }
}

function isTakenBy({ address, port }: PublishedPort, socket: Listener): boolean {
  if (socket.port !== port) return false;
  return address === null || isWildcard(socket.address) || isSameAddress(address, socket.address);
}

function takenByGroup(port: PublishedPort, other: Network): FtError {
  const isUsed = other.isKept || usersOf(other).length > 0;
  return new FtError(
    'EADDRINUSE',
    `Port ${publishedText(port)} cannot be published: the group ${other.group} has it${isUsed ? '' : ', of which no process runs'}`,
    isUsed
      ? 'Choose another port; ft-tcp net show lists all of them'
      : `Choose another port, or remove what is left: ft-tcp cleanup --group ${other.group}`,
  );
}
