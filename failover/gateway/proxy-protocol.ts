/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a header in front of a
 * connection's bytes that says between which addresses the client's own connection runs.
 */

/** Both ends of the client's connection; addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export interface ProxyEnds {
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
}

/**
 * What a connection begins with: a header of `length` bytes, whose ends are null when the sender
 * speaks for itself; not yet all of one; or no header.
 */
export type ProxyHeader = { length: number; ends: ProxyEnds | null } | 'incomplete' | 'invalid';

/** The longest header that is read, bytes; longer ones are invalid. */
export const MAX_HEADER_BYTES = 1024;
const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const MAX_V1_BYTES = 107;
const FIXED_V2_BYTES = 16;
const V4_BYTES = 12;
const V6_BYTES = 36;
const VERSION_2 = 0x20;
const COMMAND_PROXY = 1;
const FAMILY_TCP4 = 0x11;
const FAMILY_TCP6 = 0x21;
const V1_PREFIX = 'PROXY ';

/**
 * Reads the header at the beginning of `bytes`. It never throws.
 * @param parse the 16 bytes of an address in text; undefined: it is none
 */
export function readProxyHeader(bytes: Uint8Array, parse: (text: string) => Uint8Array | undefined): ProxyHeader {
  if (bytes.length === 0) return 'incomplete';
  return bytes[0] === SIGNATURE[0] ? readV2(bytes) : readV1(bytes, parse);
}

function readV1(bytes: Uint8Array, parse: (text: string) => Uint8Array | undefined): ProxyHeader {
  const text = Buffer.from(bytes.subarray(0, MAX_V1_BYTES)).toString('latin1');
  const end = text.indexOf('\r\n');
  if (end < 0) {
    const begins = V1_PREFIX.startsWith(text.slice(0, V1_PREFIX.length));
    return begins && bytes.length < MAX_V1_BYTES ? 'incomplete' : 'invalid';
  }
  const [word, family, from, to, fromPort, toPort, ...more] = text.slice(0, end).split(' ');
  if (word !== 'PROXY') return 'invalid';
  const length = end + 2;
  if (family === 'UNKNOWN') return { length, ends: null };
  if ((family !== 'TCP4' && family !== 'TCP6') || more.length > 0) return 'invalid';
  const source = parse(from ?? '');
  const destination = parse(to ?? '');
  const sourcePort = portOf(fromPort);
  const destinationPort = portOf(toPort);
  if (source === undefined || destination === undefined || sourcePort < 0 || destinationPort < 0) return 'invalid';
  const four = family === 'TCP4';
  if (isMapped(source) !== four || isMapped(destination) !== four) return 'invalid';
  return { length, ends: { source, destination, sourcePort, destinationPort } };
}

function portOf(text: string | undefined): number {
  return text !== undefined && /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : -1;
}

function readV2(bytes: Uint8Array): ProxyHeader {
  for (let i = 0; i < SIGNATURE.length && i < bytes.length; i++) if (bytes[i] !== SIGNATURE[i]) return 'invalid';
  if (bytes.length < FIXED_V2_BYTES) return 'incomplete';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const command = bytes[12] & 0xf;
  const family = bytes[13];
  const length = FIXED_V2_BYTES + view.getUint16(14);
  if ((bytes[12] & 0xf0) !== VERSION_2 || command > COMMAND_PROXY || length > MAX_HEADER_BYTES) return 'invalid';
  if (bytes.length < length) return 'incomplete';
  // LOCAL, and families that carry no TCP addresses: the sender speaks for itself.
  if (command !== COMMAND_PROXY || (family !== FAMILY_TCP4 && family !== FAMILY_TCP6)) return { length, ends: null };
  const size = family === FAMILY_TCP4 ? 4 : 16;
  const needed = family === FAMILY_TCP4 ? V4_BYTES : V6_BYTES;
  if (length < FIXED_V2_BYTES + needed) return 'invalid';
  const ports = FIXED_V2_BYTES + 2 * size;
  return {
    length,
    ends: {
      source: address(bytes, FIXED_V2_BYTES, size),
      destination: address(bytes, FIXED_V2_BYTES + size, size),
      sourcePort: view.getUint16(ports),
      destinationPort: view.getUint16(ports + 2),
    },
  };
}

function address(bytes: Uint8Array, from: number, size: number): Uint8Array {
  const out = new Uint8Array(16);
  if (size === 4) out.fill(0xff, 10, 12);
  out.set(bytes.subarray(from, from + size), 16 - size);
  return out;
}

/** Whether 16 bytes are an IPv4 address. */
function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The header of version 1. @param format an address of 16 bytes as text */
export function proxyHeaderV1(ends: ProxyEnds, format: (bytes: Uint8Array) => string): Uint8Array {
  const { source, destination, sourcePort, destinationPort } = ends;
  // Both in one family: a client of IPv6 may have come to an IPv4 address, through another proxy.
  if (isMapped(source) !== isMapped(destination)) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  const family = isMapped(source) ? 'TCP4' : 'TCP6';
  const text = `PROXY ${family} ${format(source)} ${format(destination)} ${sourcePort} ${destinationPort}\r\n`;
  return Buffer.from(text, 'latin1');
}

/** The header of version 2. */
export function proxyHeaderV2({ source, destination, sourcePort, destinationPort }: ProxyEnds): Uint8Array {
  const four = isMapped(source) && isMapped(destination);
  const size = four ? 4 : 16;
  const out = new Uint8Array(FIXED_V2_BYTES + (four ? V4_BYTES : V6_BYTES));
  const view = new DataView(out.buffer);
  out.set(SIGNATURE);
  out[12] = VERSION_2 | COMMAND_PROXY;
  out[13] = four ? FAMILY_TCP4 : FAMILY_TCP6;
  view.setUint16(14, out.length - FIXED_V2_BYTES);
  out.set(source.subarray(16 - size), FIXED_V2_BYTES);
  out.set(destination.subarray(16 - size), FIXED_V2_BYTES + size);
  view.setUint16(FIXED_V2_BYTES + 2 * size, sourcePort);
  view.setUint16(FIXED_V2_BYTES + 2 * size + 2, destinationPort);
  return out;
}
