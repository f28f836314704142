/** Addresses, networks and MAC addresses as users write them. */
import { FtError } from '../../lib/errors.js';
import { type Cidr4, parseCidr4 } from '../../lib/ipv4-address.js';
import { type Cidr6, parseCidr6 } from '../../lib/ipv6-address.js';
import { parseMac } from '../../lib/mac-address.js';
import type { Random } from '../../lib/random.js';
import { type AddressBook, isV6 } from '../core/address-book.js';

/** A network, with its address as a number of the address book. */
export interface Network {
  v6: boolean;
  network: number;
  /** Bits of `network` that count. */
  prefix: number;
}

/** Addresses with prefix lengths, by family. @throws FtError EINVAL */
export function parseInterfaceAddresses(texts: readonly string[]): { four: Cidr4[]; six: Cidr6[] } {
  const four: Cidr4[] = [];
  const six: Cidr6[] = [];
  for (const text of texts) {
    const cidr4 = parseCidr4(text);
    const cidr6 = cidr4 === undefined ? parseCidr6(text) : undefined;
    if (cidr4 !== undefined) four.push(cidr4);
    else if (cidr6 !== undefined) six.push(cidr6);
    else
      throw new FtError(
        'EINVAL',
        `"${text}" is not an IP address with a prefix length`,
        'Write it like 10.0.0.2/24 or 2001:db8::2/64',
      );
  }
  return { four, six };
}

/** An address of either family as its number. @throws FtError EINVAL */
export function parseAddress(book: AddressBook, text: string, hint = 'Write it like 10.0.0.1 or 2001:db8::1'): number {
  const address = book.parse(text);
  if (address === undefined) throw new FtError('EINVAL', `"${text}" is not an IP address`, hint);
  return address;
}

/**
 * The network "A.B.C.D/LEN", "v6/LEN", or "default" of the gateway's family.
 * @param gateway the route's gateway, 0 for none
 * @throws FtError EINVAL, ENOBUFS when the address book is full
 */
export function parseNetwork(book: AddressBook, text: string, gateway: number): Network {
  const cidr = text === 'default' ? (isV6(gateway) ? '::/0' : '0.0.0.0/0') : text;
  const four = parseCidr4(cidr);
  if (four !== undefined) return { v6: false, network: four.address, prefix: four.prefix };
  const six = parseCidr6(cidr);
  if (six === undefined)
    throw new FtError('EINVAL', `"${text}" is not a network`, 'Write it like 10.0.0.0/8, 2001:db8::/32 or default');
  const network = book.intern(six.address, 0);
  if (network < 0) throw new FtError('ENOBUFS', 'Too many addresses are in use', 'Close connections or remove routes');
  return { v6: true, network, prefix: six.prefix };
}

/**
 * A unicast MAC address; a locally administered one is drawn for undefined.
 * @throws FtError EINVAL
 */
export function interfaceMac(text: string | undefined, random: Random): Uint8Array {
  if (text === undefined) {
    const drawn = new Uint8Array(6);
    random.fill(drawn);
    drawn[0] = (drawn[0] & 0xfc) | 2;
    return drawn;
  }
  const mac = parseMac(text);
  if (mac === undefined || (mac[0] & 1) !== 0)
    throw new FtError('EINVAL', `"${text}" is not a unicast MAC address`, 'Write it like 02:00:00:00:00:02');
  return mac;
}
