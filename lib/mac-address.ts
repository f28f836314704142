/** MAC addresses as 6 bytes (IEEE 802, EUI-48). */

/**
 * Parses "02:00:00:00:00:01", six groups of two hexadecimal digits; undefined for anything else.
 */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** "02:00:00:00:00:01". */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
