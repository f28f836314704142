/** IPv6 addresses (RFC 4291) as 16 bytes; written in the one form that RFC 5952 recommends. */
import { parseIPv4 } from './ipv4-address.js';

/** An address with the prefix length of its network, 0 to 128 bits. */
export interface Cidr6 {
  address: Uint8Array;
  prefix: number;
}

const GROUP = /^[0-9a-fA-F]{1,4}$/;

/**
 * Groups of 16 bits; undefined when one is not hexadecimal, or a dotted quad stands where it may
 * not.
 */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (GROUP.test(part)) out.push(Number.parseInt(part, 16));
    else if (last && i === parts.length - 1) {
      const quad = parseIPv4(part);
      if (quad === undefined) return undefined;
      out.push(quad >>> 16, quad & 0xffff);
    } else return undefined;
  }
  return out;
}

/**
 * "2001:db8::1", "::ffff:192.0.2.1"; no zone ("%eth0"), which says nothing to a stack that chooses
 * interfaces itself.
 */
export function parseIPv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1], true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const bytes = new Uint8Array(16);
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  for (const [i, group] of all.entries()) {
    bytes[2 * i] = group >>> 8;
    bytes[2 * i + 1] = group & 255;
  }
  return bytes;
}

/** The first longest run of at least two zero groups, as [start, length). */
function longestZeros(all: readonly number[]): [number, number] {
  let best: [number, number] = [-1, 1];
  let start = 0;
  for (let i = 0; i <= all.length; i++) {
    if (all[i] === 0) continue;
    if (i - start > best[1]) best = [start, i - start];
    start = i + 1;
  }
  return best;
}

/**
 * RFC 5952: lower case, no leading zeros, the longest run of zeros as "::"; an IPv4-mapped address
 * ends in a dotted quad.
 */
export function formatIPv6(address: Uint8Array): string {
  const all = Array.from({ length: 8 }, (_, i) => (address[2 * i] << 8) | address[2 * i + 1]);
  if (isMapped4(address)) return `::ffff:${address[12]}.${address[13]}.${address[14]}.${address[15]}`;
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  const [start, length] = longestZeros(all);
  return start < 0 ? hex(all) : `${hex(all.slice(0, start))}::${hex(all.slice(start + length))}`;
}

/** "2001:db8::/32". */
export function parseCidr6(text: string): Cidr6 | undefined {
  const slash = text.indexOf('/');
  const bits = text.slice(slash + 1);
  const address = slash < 0 ? undefined : parseIPv6(text.slice(0, slash));
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > 128) return undefined;
  return { address, prefix: Number(bits) };
}

/** Whether the first bits of an address are those of the network. */
export function inCidr6(address: Uint8Array, net: Cidr6): boolean {
  const whole = net.prefix >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== net.address[i]) return false;
  const rest = net.prefix & 7;
  return rest === 0 || (address[whole] ^ net.address[whole]) >> (8 - rest) === 0;
}

/** ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
export function isMapped4(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false;
  return address[10] === 255 && address[11] === 255;
}

/** ff00::/8. */
export function isMulticast6(address: Uint8Array): boolean {
  return address[0] === 255;
}

/** fe80::/10. */
export function isLinkLocal6(address: Uint8Array): boolean {
  return address[0] === 0xfe && (address[1] & 0xc0) === 0x80;
}
