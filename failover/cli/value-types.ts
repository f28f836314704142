/** The types of values that options take. */
import { constants } from 'node:os';
import { parseCidr4, parseIPv4 } from '../../lib/ipv4-address.js';
import { parseCidr6, parseIPv6 } from '../../lib/ipv6-address.js';
import { parseMac } from '../../lib/mac-address.js';
import { type PublishedPort, parsePublished } from '../operate/publish/ports.js';
import type { ValueType } from './options.js';

/** The longest path of a Unix socket, bytes. */
const MAX_SOCKET_PATH = 107;

/** Limits of a number, and its unit. */
export interface NumberLimits {
  min: number;
  max?: number;
  unit?: string;
  /** Name of the value in --help (default `N`). */
  placeholder?: string;
}

function range({ min, max }: NumberLimits): string {
  return max === undefined ? `at least ${min}` : `${min} to ${max}`;
}

function within(value: number, { min, max = Number.POSITIVE_INFINITY }: NumberLimits): boolean {
  return value >= min && value <= max;
}

/** A whole number in decimal digits. */
export function integer(limits: NumberLimits): ValueType<number> {
  const { unit, placeholder = 'N' } = limits;
  return {
    placeholder,
    kind: 'integer',
    ...(unit === undefined ? {} : { unit }),
    range: range(limits),
    expected: `an integer${unit === undefined ? '' : ` (${unit})`}, ${range(limits)}`,
    read: (text) => (/^\d{1,15}$/.test(text) && within(Number(text), limits) ? Number(text) : undefined),
  };
}

/** A number, whole or not. */
export function number(limits: NumberLimits & { unit: string }): ValueType<number> {
  const { unit, placeholder = 'N' } = limits;
  return {
    placeholder,
    kind: 'number',
    unit,
    range: range(limits),
    expected: `a number of ${unit}, ${range(limits)}`,
    read: (text) => (text.trim() !== '' && within(Number(text), limits) ? Number(text) : undefined),
  };
}

/** One of several texts. */
export function choice<const T extends string>(...values: T[]): ValueType<T> {
  return {
    placeholder: values.join('|'),
    kind: 'choice',
    range: values.join(', '),
    expected: values.length === 2 ? values.join(' or ') : `one of ${values.join(', ')}`,
    read: (text) => values.find((value) => value === text),
  };
}

/** Any text but the empty one. */
export function text(placeholder: string, expected: string): ValueType<string> {
  return { placeholder, kind: 'text', expected, read: (value) => (value === '' ? undefined : value) };
}

/** The path of a file. */
export const FILE = text('FILE', "a file's path");

/** A port of TCP or UDP. */
export const PORT: ValueType<number> = { ...integer({ min: 1, max: 65_535, placeholder: 'PORT' }), kind: 'port' };

/** An interface's address with its prefix length, IPv4 or IPv6; as text. */
export const INTERFACE_ADDRESS: ValueType<string> = {
  placeholder: 'ADDRESS/LENGTH',
  kind: 'address with prefix length',
  expected: '10.0.0.2/24 or 2001:db8::2/64',
  read: (value) => (parseCidr4(value) === undefined && parseCidr6(value) === undefined ? undefined : value),
};

/** An address, IPv4 or IPv6; as text. */
export const ADDRESS: ValueType<string> = {
  placeholder: 'ADDRESS',
  kind: 'address',
  expected: '10.0.0.1 or 2001:db8::1',
  read: (value) => (parseIPv4(value) === undefined && parseIPv6(value) === undefined ? undefined : value),
};

/** An address of this machine with a port, or the path of a Unix socket. */
export const LISTEN_ADDRESS: ValueType<{ host: string; port: number } | { path: string }> = {
  placeholder: 'ADDRESS:PORT',
  kind: 'address with port, or path',
  expected: '127.0.0.1:9464, [::1]:9464 or /run/ft-tcp.metrics',
  read: (value) => {
    if (value.startsWith('/')) return value.length <= MAX_SOCKET_PATH ? { path: value } : undefined;
    const [, v6, v4, digits = ''] = /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/.exec(value) ?? [];
    const port = Number(digits);
    const host = v6 ?? v4 ?? '';
    const isAddress = v6 === undefined ? parseIPv4(host) !== undefined : parseIPv6(host) !== undefined;
    return isAddress && port >= 1 && port <= 65_535 ? { host, port } : undefined;
  },
};

/** A port of the host, and the stack's port that it leads to. */
export const PUBLISHED: ValueType<PublishedPort> = {
  placeholder: '[ADDRESS:]PORT[:PORT]',
  kind: "the host's port, and the stack's",
  expected: '80, 8080:80, 192.0.2.1:80 or [2001:db8::1]:8080:80',
  read: parsePublished,
};

/** An Ethernet address; as text. */
export const MAC: ValueType<string> = {
  placeholder: 'MAC',
  kind: 'MAC address',
  expected: '02:00:00:00:00:02',
  read: (value) => (parseMac(value) === undefined ? undefined : value),
};

/** A number of bytes, as `64`, `10K`, `1.5G`: powers of 1024. @returns NaN for anything else */
export function parseSize(value: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)i?B?$/i.exec(value);
  if (match === null) return Number.NaN;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** 1 byte to 1 TiB. */
export const SIZE: ValueType<number> = {
  placeholder: 'N',
  kind: 'size',
  unit: 'bytes',
  range: '1 to 1T',
  expected: 'a size from 1 to 1T; K, M, G and T are powers of 1024',
  read: (value) => {
    const bytes = parseSize(value);
    return bytes >= 1 && bytes <= 2 ** 40 ? bytes : undefined;
  },
};

/** A signal, with or without SIG. */
export const SIGNAL: ValueType<NodeJS.Signals> = {
  placeholder: 'SIGNAL',
  kind: 'signal',
  expected: 'a signal, as KILL, STOP or ABRT',
  read: (value) => {
    const name = value.toUpperCase();
    const signal = (name.startsWith('SIG') ? name : `SIG${name}`) as NodeJS.Signals;
    return Object.hasOwn(constants.signals, signal) ? signal : undefined;
  },
};

/** A file, or a descriptor by its number. */
export const FILE_OR_FD: ValueType<{ file: string } | { fd: number }> = {
  placeholder: 'FILE|FD',
  kind: 'file or descriptor',
  expected: "a file's path, or a descriptor's number from 2 on",
  read: (value) => {
    if (value === '') return undefined;
    if (!/^\d+$/.test(value)) return { file: value };
    return value.length < 10 && Number(value) >= 2 ? { fd: Number(value) } : undefined;
  },
};
