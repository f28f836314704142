/** Addresses: IPv4 as u32, IPv6 as 16 bytes, MAC as 6 bytes. Parsers are strict and return undefined for anything else. */

export interface Cidr4 {
  address: number;
  prefix: number;
  mask: number;
}

const DECIMAL = /^(0|[1-9]\d{0,2})$/;

/** "192.0.2.1"; no octal, no short forms. */
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

export function formatIPv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** "192.0.2.1/24". */
export function parseCidr4(text: string): Cidr4 | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseIPv4(text.slice(0, slash));
  const bits = text.slice(slash + 1);
  if (address === undefined || !DECIMAL.test(bits) || Number(bits) > 32) return undefined;
  const prefix = Number(bits);
  return { address, prefix, mask: prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0 };
}

/** "02:00:00:00:00:01", six groups of two hexadecimal digits. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export function isMulticast4(address: number): boolean {
  return address >>> 28 === 14;
}

/** All ones, or the directed broadcast of the network (RFC 922); networks of /31 and /32 have none (RFC 3021). */
export function isBroadcast4(address: number, net: Cidr4): boolean {
  if (address === 0xffffffff) return true;
  return net.prefix < 31 && address === ((net.address & net.mask) | (~net.mask >>> 0)) >>> 0;
}
