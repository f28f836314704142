/**
 * Results of asynchronous operations in the log: a tag byte, then an error, values, the data
 * itself, or only the data's digest (length and CRC-32C) where a backup can read the same data by
 * itself.
 */
import fs from 'node:fs';
import { types } from 'node:util';
import { crc32c } from '../../../lib/crc32c.js';
import type { NativeAddon } from '../../../lib/native/native.js';
import type { Outcome } from './async-operations.js';
import { originals } from './originals.js';

/** Longest data that a result carries, in bytes; longer data is represented by its digest. */
const MAX_RESULT_BYTES = 65536;
/** Longest message of an error whose other properties are too long. */
const MAX_MESSAGE_UNITS = 8192;
/** Tag, length (6 bytes), CRC-32C (4 bytes). */
const DIGEST_BYTES = 11;

const Tag = { Done: 0, Error: 1, Values: 2, Digest: 3, Data: 4, Numbers: 5 } as const;

/** A result, decoded from the log. */
export type Logged =
  | { tag: 'done' }
  | { tag: 'error'; error: NodeJS.ErrnoException }
  | { tag: 'values'; values: unknown[] }
  | { tag: 'digest'; length: number; crc: number }
  | { tag: 'data'; data: Buffer }
  | { tag: 'numbers'; numbers: number[] };

/** CRC-32C over the pieces, taken together. */
export function crcOf(native: NativeAddon | null, pieces: readonly Uint8Array[]): number {
  let crc = 0;
  for (const piece of pieces) crc = native === null ? crc32c(piece, crc) : native.crc32c(piece, 0, piece.length, crc);
  return crc >>> 0;
}

const STAT_FIELDS = [
  'dev',
  'mode',
  'nlink',
  'uid',
  'gid',
  'rdev',
  'blksize',
  'ino',
  'size',
  'blocks',
  'atimeMs',
  'mtimeMs',
  'ctimeMs',
  'birthtimeMs',
] as const;
const STAT_TIMES = ['atime', 'mtime', 'ctime', 'birthtime'] as const;
const DIRENT_KINDS = [
  ['isFile', 'UV_DIRENT_FILE'],
  ['isDirectory', 'UV_DIRENT_DIR'],
  ['isSymbolicLink', 'UV_DIRENT_LINK'],
  ['isFIFO', 'UV_DIRENT_FIFO'],
  ['isSocket', 'UV_DIRENT_SOCKET'],
  ['isCharacterDevice', 'UV_DIRENT_CHAR'],
  ['isBlockDevice', 'UV_DIRENT_BLOCK'],
] as const;

type Bag = Record<string, unknown>;

/**
 * Makes a value fit for JSON, with the types that Node's functions return: undefined, bigint,
 * numbers that are not finite, Buffer, Map, Stats, Dirent.
 */
function pack(value: unknown): unknown {
  if (value === undefined) return { $: 'u' };
  if (typeof value === 'bigint') return { $: 'n', v: value.toString() };
  if (typeof value === 'number' && !Number.isFinite(value)) return { $: 'f', v: String(value) };
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(pack);
  if (value instanceof Error) return { $: 'e', v: packError(value) };
  // Node's own maps have another prototype.
  if (types.isMap(value)) return { $: 'm', v: Array.from(Map.prototype.entries.call(value), pack) };
  if (value instanceof Uint8Array)
    return {
      $: Buffer.isBuffer(value) ? 'b' : 'a',
      v: Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64'),
    };
  if ('atimeMs' in value && 'isFile' in value) {
    const stats = value as Bag;
    const big = typeof stats['size'] === 'bigint';
    return {
      $: big ? 'S' : 's',
      v: STAT_FIELDS.map((field) => (big ? String(stats[field]) : stats[field])),
      t: big ? bigTimes(stats) : undefined,
    };
  }
  if (value instanceof fs.Dirent) {
    const kind = DIRENT_KINDS.find(([test]) => value[test]())?.[1];
    return { $: 'd', v: [pack(value.name), kind ?? 'UV_DIRENT_UNKNOWN', value.parentPath ?? value.path] };
  }
  const plain: Bag = {};
  for (const [key, entry] of Object.entries(value)) plain[key] = pack(entry);
  if (Object.getPrototypeOf(value) === null) return { $: 'z', v: plain };
  return '$' in plain ? { $: 'o', v: plain } : plain;
}

function bigTimes(stats: Bag): string[] {
  return STAT_TIMES.map((time) => String(stats[`${time}Ns`]));
}

let bigStats: object | undefined;

/** Node does not export the class of Stats with bigint. */
function bigStatsPrototype(): object {
  bigStats ??= Object.getPrototypeOf(originals.fs.statSync('.', { bigint: true })) as object;
  return bigStats;
}

function unpackStats(fields: unknown[], times: string[] | undefined): unknown {
  const big = times !== undefined;
  const stats = Object.create(big ? bigStatsPrototype() : fs.Stats.prototype) as Bag;
  STAT_FIELDS.forEach((field, i) => {
    stats[field] = big ? BigInt(fields[i] as string) : fields[i];
  });
  STAT_TIMES.forEach((time, i) => {
    if (big) stats[`${time}Ns`] = BigInt(times[i]);
    // From Node 24 on the prototype makes the dates. The same rounding as Node's.
    if (!(time in stats)) stats[time] = new Date(Math.floor(Number(stats[`${time}Ms`]) + 0.5));
  });
  return stats;
}

const Dirent = fs.Dirent as unknown as new (name: unknown, type: number, path: unknown) => unknown;

function unpackPlain(bag: Bag): Bag {
  const plain: Bag = {};
  for (const [key, entry] of Object.entries(bag)) plain[key] = unpack(entry);
  return plain;
}

function unpack(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(unpack);
  const bag = value as Bag & { $?: string; v?: unknown };
  switch (bag.$) {
    case 'a':
      return Uint8Array.from(Buffer.from(bag.v as string, 'base64'));
    case 'e':
      return decodeError(bag.v as Bag);
    case 'z':
      return Object.setPrototypeOf(unpackPlain(bag.v as Bag), null);
    case 'f':
      return Number(bag.v);
    case 'm':
      return new Map((bag.v as unknown[]).map(unpack) as [unknown, unknown][]);
    case 'o':
      return unpackPlain(bag.v as Bag);
    case 'u':
      return undefined;
    case 'n':
      return BigInt(bag.v as string);
    case 'b':
      return Buffer.from(bag.v as string, 'base64');
    case 's':
    case 'S':
      return unpackStats(bag.v as unknown[], bag['t'] as string[] | undefined);
    case 'd': {
      const [name, kind, path] = bag.v as [unknown, string, unknown];
      return new Dirent(unpack(name), (fs.constants as unknown as Record<string, number>)[kind] ?? 0, path);
    }
    default:
      return unpackPlain(bag);
  }
}

function tagged(tag: number, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + body.length);
  bytes[0] = tag;
  bytes.set(body, 1);
  return bytes;
}

/** An error, with its code and where it came from. */
export function encodeError(error: NodeJS.ErrnoException): Buffer {
  const body = Buffer.from(JSON.stringify(packError(error)));
  if (body.length <= MAX_RESULT_BYTES) return tagged(Tag.Error, body);
  const { name, message, code, errno, syscall } = error;
  const short = message.slice(0, MAX_MESSAGE_UNITS);
  return tagged(Tag.Error, Buffer.from(JSON.stringify({ name, message: short, code, errno, syscall })));
}

/** An error's name and message, and what else it has: code, status, output … */
function packError(error: Error): Bag {
  const plain: Bag = { name: error.name, message: error.message };
  for (const [key, value] of Object.entries(error)) plain[key] = pack(value);
  return plain;
}

/** A digest of data. */
export function encodeDigest(native: NativeAddon | null, pieces: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(DIGEST_BYTES);
  bytes[0] = Tag.Digest;
  let length = 0;
  for (const piece of pieces) length += piece.length;
  bytes.writeUIntLE(length, 1, 6);
  bytes.writeUInt32LE(crcOf(native, pieces), 7);
  return bytes;
}

/** Whether a result has only a digest of what was too long for the log. */
export function isDigest(result: Uint8Array): boolean {
  return result[0] === Tag.Digest;
}

/** The data itself; its digest if it is longer than 64 KiB. */
export function encodeData(native: NativeAddon | null, pieces: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length > MAX_RESULT_BYTES) return encodeDigest(native, pieces);
  return tagged(Tag.Data, pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
}

/** Numbers, eight bytes each, and their tag. @returns the used part of `into` */
export function encodeNumbers(numbers: readonly number[], into: Buffer): Buffer {
  into[0] = Tag.Numbers;
  let at = 1;
  for (const number of numbers) at = into.writeDoubleLE(number, at);
  return into.subarray(0, at);
}

/** An outcome with its error or values; the digest of the values if they are longer than 64 KiB. */
export function encodeOutcome(native: NativeAddon | null, outcome: Outcome): Buffer {
  if (outcome.error !== null) return encodeError(outcome.error);
  if (outcome.values.length === 0) return Buffer.from([Tag.Done]);
  const body = Buffer.from(JSON.stringify(outcome.values.map(pack)));
  return body.length > MAX_RESULT_BYTES ? encodeDigest(native, [body]) : tagged(Tag.Values, body);
}

const ERROR_CLASSES: Record<string, new (message: string) => Error> = { TypeError, RangeError, SyntaxError };

function decodeError({ message, name, ...rest }: Bag): NodeJS.ErrnoException {
  const Class = ERROR_CLASSES[name as string] ?? Error;
  const error: NodeJS.ErrnoException = Object.assign(new Class(message as string), unpackPlain(rest));
  if (error.name !== name) error.name = name as string;
  // As Node's own errors of asynchronous calls: no frames, which would differ between replicas.
  error.stack = `${String(name)}: ${String(message)}`;
  return error;
}

/**
 * Reads a logged result. No bytes at all mean success without a value. Throws a TypeError for a tag
 * that this version does not know.
 */
export function decodeResult(bytes: Uint8Array | null): Logged {
  if (bytes === null || bytes.length === 0 || bytes[0] === Tag.Done) return { tag: 'done' };
  const body = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1);
  switch (bytes[0]) {
    case Tag.Error:
      return { tag: 'error', error: decodeError(JSON.parse(body.toString()) as Bag) };
    case Tag.Values:
      return { tag: 'values', values: (JSON.parse(body.toString()) as unknown[]).map(unpack) };
    case Tag.Digest:
      return { tag: 'digest', length: body.readUIntLE(0, 6), crc: body.readUInt32LE(6) };
    case Tag.Data:
      return { tag: 'data', data: body };
    case Tag.Numbers:
      return { tag: 'numbers', numbers: Array.from({ length: body.length / 8 }, (_, i) => body.readDoubleLE(8 * i)) };
    default:
      throw new TypeError(`Unknown result in the log (${bytes[0]})`);
  }
}

/** Whether data has the logged digest. */
export function matches(
  native: NativeAddon | null,
  logged: { length: number; crc: number },
  pieces: readonly Uint8Array[],
): boolean {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length === logged.length && crcOf(native, pieces) === logged.crc;
}

/** Whether an outcome's values have the logged digest. */
export function sameOutcome(
  native: NativeAddon | null,
  logged: { length: number; crc: number },
  outcome: Outcome,
): boolean {
  return outcome.error === null && matches(native, logged, [Buffer.from(JSON.stringify(outcome.values.map(pack)))]);
}
