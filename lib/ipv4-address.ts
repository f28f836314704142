/**
 * IPv4 addresses as unsigned 32-bit numbers. Parsers are strict and return undefined for anything
 * else.
 */

/** An address with the prefix length of its network (RFC 4632). */
export interface Cidr4 {
  address: number;
  /** 0 to 32 bits. */
  prefix: number;
  /** The network mask. */
  mask: number;
}

const DECIMAL = /^(0|[1-9]\d{0,2})$/;

/** Parses "192.0.2.1"; neither octal numbers nor short forms. */
export function parseIPv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!DECIMAL.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** "192.0.2.1". */
export function formatIPv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** Parses "192.0.2.1/24". */
export function parseCidr4(text: string): Cidr4 | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseIPv4(text.slice(0, slash));
  const bits = text.slice(slash + 1);
  if (address === undefined || !DECIMAL.test(bits) || Number(bits) > 32) return undefined;
  return cidr4(address, Number(bits));
}

/** An address with a prefix length of 0 to 32 bits. */
export function cidr4(address: number, prefix: number): Cidr4 {
  return { address, prefix, mask: prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0 };
}

/** Whether the address is in 224.0.0.0/4 (RFC 5771). */
export function isMulticast4(address: number): boolean {
  return address >>> 28 === 14;
}

/**
 * Whether the address is all ones, or the directed broadcast of the network (RFC 922); networks of
 * /31 and /32 have none (RFC 3021).
 */
export function isBroadcast4(address: number, net: Cidr4): boolean {
  if (address === 0xffffffff) return true;
  return net.prefix < 31 && address === ((net.address & net.mask) | (~net.mask >>> 0)) >>> 0;
}
