/**
 * Results of asynchronous operations in the log: a tag byte, then an error, values, the data
 * itself, or only the data's digest (length and CRC-32C) where a backup can read the same data by
 * itself.
 */
import fs from 'node:fs';
import { crc32c } from '../../../lib/crc32c.js';
import type { NativeAddon } from '../../../lib/native/native.js';
import type { Outcome } from './async-operations.js';

/** Longest data that a result carries, in bytes; longer data is represented by its digest. */
const MAX_RESULT_BYTES = 65536;
/** Tag, length (6 bytes), CRC-32C (4 bytes). */
const DIGEST_BYTES = 11;

const Tag = { Done: 0, Error: 1, Values: 2, Digest: 3, Data: 4 } as const;

/** A result, decoded from the log. */
export type Logged =
  | { tag: 'done' }
  | { tag: 'error'; error: NodeJS.ErrnoException }
  | { tag: 'values'; values: unknown[] }
  | { tag: 'digest'; length: number; crc: number }
  | { tag: 'data'; data: Buffer };

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
 * Makes a value fit for JSON, with the types that fs returns: undefined, bigint, Buffer, Stats,
 * Dirent.
 */
function pack(value: unknown): unknown {
  if (value === undefined) return { $: 'u' };
  if (typeof value === 'bigint') return { $: 'n', v: value.toString() };
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(pack);
  if (value instanceof Uint8Array)
    return { $: 'b', v: Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64') };
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
  return plain;
}

function bigTimes(stats: Bag): string[] {
  return STAT_TIMES.map((time) => String(stats[`${time}Ns`]));
}

let bigStats: object | undefined;

/** Node does not export the class of Stats with bigint. */
function bigStatsPrototype(): object {
  bigStats ??= Object.getPrototypeOf(fs.statSync('.', { bigint: true })) as object;
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
    // The same rounding as Node's.
    stats[time] = new Date(Math.floor(Number(stats[`${time}Ms`]) + 0.5));
  });
  return stats;
}

const Dirent = fs.Dirent as unknown as new (name: unknown, type: number, path: unknown) => unknown;

function unpack(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(unpack);
  const bag = value as Bag & { $?: string; v?: unknown };
  switch (bag.$) {
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
    default: {
      const plain: Bag = {};
      for (const [key, entry] of Object.entries(bag)) plain[key] = unpack(entry);
      return plain;
    }
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
  const { name, message, code, errno, syscall, path } = error;
  const dest = (error as { dest?: unknown }).dest;
  return tagged(Tag.Error, Buffer.from(JSON.stringify({ name, message, code, errno, syscall, path, dest })));
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

/** The data itself; its digest if it is longer than 64 KiB. */
export function encodeData(native: NativeAddon | null, pieces: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length > MAX_RESULT_BYTES) return encodeDigest(native, pieces);
  return tagged(Tag.Data, pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
}

/** An outcome with its error or values; the digest of the values if they are longer than 64 KiB. */
export function encodeOutcome(native: NativeAddon | null, outcome: Outcome): Buffer {
  if (outcome.error !== null) return encodeError(outcome.error);
  if (outcome.values.length === 0) return Buffer.from([Tag.Done]);
  const body = Buffer.from(JSON.stringify(outcome.values.map(pack)));
  return body.length > MAX_RESULT_BYTES ? encodeDigest(native, [body]) : tagged(Tag.Values, body);
}

/**
 * Reads a logged result. No bytes at all mean success without a value. Throws a TypeError for a tag
 * that this version does not know.
 */
export function decodeResult(bytes: Uint8Array | null): Logged {
  if (bytes === null || bytes.length === 0 || bytes[0] === Tag.Done) return { tag: 'done' };
  const body = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1);
  switch (bytes[0]) {
    case Tag.Error: {
      const { message, name, ...rest } = JSON.parse(body.toString()) as Bag;
      const error = Object.assign(new Error(message as string), rest);
      if (name !== 'Error') error.name = name as string;
      return { tag: 'error', error };
    }
    case Tag.Values:
      return { tag: 'values', values: (JSON.parse(body.toString()) as unknown[]).map(unpack) };
    case Tag.Digest:
      return { tag: 'digest', length: body.readUIntLE(0, 6), crc: body.readUInt32LE(6) };
    case Tag.Data:
      return { tag: 'data', data: body };
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
