/** The arguments of verbs, read and written. */
import { bad, whole } from './settings.js';
import { type Name, posix, type Socket } from './sockets.js';

/** Bytes that one send or inject may carry. */
export const MAX_BYTES = 16 * 1024 * 1024;

/** Fewest and most arguments of each verb. */
export const ARGUMENTS: Record<string, [number, number]> = {
  socket: [2, 2],
  bind: [3, 3],
  listen: [2, 2],
  accept: [1, 1],
  connect: [3, 3],
  send: [2, 3],
  sendto: [4, 4],
  recv: [2, 2],
  recvfrom: [2, 2],
  shutdown: [2, 2],
  close: [1, 1],
  nonblock: [2, 2],
  setopt: [2, 6],
  getopt: [2, 2],
  poll: [1, 1],
  info: [1, 1],
  inject: [1, 1],
  emit: [0, 0],
  advance: [1, 1],
  now: [0, 0],
  takeover: [0, 0],
  stats: [0, 0],
};

/** An argument that must be there. */
export function need(args: string[], at: number): string {
  const value = args[at];
  if (value === undefined) throw bad('an argument is missing');
  return value;
}

/** Bytes out of hexadecimal digits; "-" for none. */
export function hex(digits: string): Buffer {
  if (digits === '-') return Buffer.alloc(0);
  if (!/^([0-9a-f]{2})+$/.test(digits) || digits.length > 2 * MAX_BYTES) throw bad('bytes are lower-case hex');
  return Buffer.from(digits, 'hex');
}

/** Bytes as hexadecimal digits; "-" for none. */
export function text(bytes: Buffer): string {
  return bytes.length === 0 ? '-' : bytes.toString('hex');
}

/** Values as name=value. */
export function pairs(values: Record<string, number>): string[] {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

/** An address and a port of a socket's family. */
export function parseName(socket: Socket, address: string | undefined, port: string | undefined): Name {
  const number = whole(port, 0, 65_535);
  const parsed = address === undefined ? undefined : socket.stack.book.parse(address);
  if (parsed === undefined) throw bad(`"${address}" is no address`);
  // A mapped address is IPv4, also in a socket of IPv6; an IPv6 address is none for a socket of
  // IPv4.
  if (socket.family === 4 && parsed >= 2 ** 32) throw posix('EAFNOSUPPORT');
  if (socket.family === 6 && parsed < 2 ** 32 && !address!.includes(':')) throw posix('EAFNOSUPPORT');
  return { address: parsed, port: number };
}
