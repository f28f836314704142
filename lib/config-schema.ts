/**
 * The schema of a configuration file: tables of keys. Validation, error messages and the reference
 * pages (docs/reference/cluster-config.md, docs/reference/gateway-config.md) all come from them.
 */

import { dirname, resolve } from 'node:path';
import { errorCode, FtError } from './errors.js';
import { closeSync, fstatSync, geteuid, openSync, readFileSync } from './own-node.js';

/** Where a value stands: the file, and the path of keys in it. */
export interface Place {
  /** Path of the file, from whose directory relative paths start. */
  file: string;
  /** Keys as in JavaScript, e.g. `nodes[0].port`; '' for the whole file. */
  key: string;
  /** The reference page; absent: that of the cluster's file. */
  page?: string;
}

/** One key of an object. */
export interface Field<T> {
  /** Type and range, as in the reference page and after "expected" in errors. */
  readonly expected: string;
  /** What the key means, in one sentence. */
  readonly meaning: string;
  /** Default value, as in the reference page; undefined: the key is required. */
  readonly default: string | undefined;
  /** The key's former name, for the error message. */
  readonly formerName?: string;
  /** Checks a value. Throws FtError ERR_FT_CONFIG. */
  read(value: unknown, place: Place): T;
}

/** The keys of one object. */
export type Section = Readonly<Record<string, Field<unknown>>>;

/** What reading a section gives. */
export type Values<S extends Section> = { [K in keyof S]: S[K] extends Field<infer T> ? T : never };

/** Describes a key. `fallback` is the value of a key that is left out. */
export interface FieldOptions<T> {
  meaning: string;
  /** Left out: the key is required. */
  fallback?: T;
  /** The default as text, where `fallback` does not show it. */
  default?: string;
  formerName?: string;
}

/** An error in the file: place, value, and what is expected. */
export function invalidValue(place: Place, value: unknown, expected: string): FtError {
  const key = place.key === '' ? '' : `${place.key}: `;
  const problem = value === undefined ? 'missing' : `invalid value ${preview(value)}`;
  return configError(place.file, `${key}${problem}; expected ${expected}`, place.page);
}

/** An error in the file at `path`; `page` is the reference page. */
export function configError(path: string, message: string, page = 'docs/reference/cluster-config.md'): FtError {
  return new FtError('ERR_FT_CONFIG', `${path}: ${message}`, `See ${page}`);
}

const MAX_PREVIEW = 60;

function preview(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_PREVIEW ? `${text.slice(0, MAX_PREVIEW)}...` : text;
}

function field<T>(expected: string, options: FieldOptions<T>, parse: (value: unknown, place: Place) => T): Field<T> {
  const { meaning, fallback, formerName } = options;
  const text = options.default ?? (fallback === undefined ? undefined : JSON.stringify(fallback));
  return {
    expected,
    meaning,
    default: text,
    ...(formerName === undefined ? {} : { formerName }),
    read: (value, place) => (value === undefined && fallback !== undefined ? fallback : parse(value, place)),
  };
}

/**
 * A key that may be left out without a value in its place; `text` is its default in the reference
 * page.
 */
export function optional<T>(inner: Field<T>, text: string): Field<T | undefined> {
  return {
    ...inner,
    default: text,
    read: (value, place) => (value === undefined ? undefined : inner.read(value, place)),
  };
}

/** An integer from `min` to `max`, in a unit. */
export function integer(min: number, max: number, unit: string, options: FieldOptions<number>): Field<number> {
  const expected = `an integer from ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`;
  return field(expected, options, (value, place) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw invalidValue(place, value, expected);
    return value;
  });
}

/** A text that is not empty. */
export function text(expected: string, pattern: RegExp, options: FieldOptions<string>): Field<string> {
  return field(expected, options, (value, place) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw invalidValue(place, value, expected);
    return value;
  });
}

/** A path, relative to the directory of the configuration file. */
export function path(expected: string, options: FieldOptions<string>): Field<string> {
  return field(expected, options, (value, place) => {
    if (typeof value !== 'string' || value === '') throw invalidValue(place, value, expected);
    return resolve(dirname(place.file), value);
  });
}

/** A path to a file whose content is read. */
export function fileContent(expected: string, options: FieldOptions<Buffer>): Field<Buffer> {
  return field(expected, options, (value, place) => {
    if (typeof value !== 'string' || value === '') throw invalidValue(place, value, expected);
    const name = resolve(dirname(place.file), value);
    try {
      return readFileSync(name);
    } catch (error) {
      throw configError(place.file, `${place.key}: ${name} cannot be read (${errorCode(error) ?? 'error'})`);
    }
  });
}

/** Access to a secret file that is refused: others may not read it, nor the group write it. */
const REFUSED_MODE = 0o027;

/** A path to a file with a secret, whose content is read. Other users must have no access to it. */
export function secretFile(expected: string, options: FieldOptions<string>): Field<Buffer> {
  return field<Buffer>(expected, { meaning: `${options.meaning} Mode 0600 or 0640.` }, (value, place) => {
    if (typeof value !== 'string' || value === '') throw invalidValue(place, value, expected);
    const name = resolve(dirname(place.file), value);
    let fd = -1;
    try {
      fd = openSync(name, 'r');
      const { mode, uid } = fstatSync(fd);
      if ((mode & REFUSED_MODE) !== 0) {
        const shown = (mode & 0o777).toString(8).padStart(4, '0');
        throw configError(place.file, `${place.key}: ${name} has mode ${shown}; use chmod 600 ${name}`);
      }
      if (uid !== 0 && uid !== geteuid?.())
        throw configError(place.file, `${place.key}: ${name} belongs to user ${uid}, who can change it`);
      return readFileSync(fd);
    } catch (error) {
      if (error instanceof FtError) throw error;
      throw configError(place.file, `${place.key}: ${name} cannot be read (${errorCode(error) ?? 'error'})`);
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  });
}

/** A list of `min` to `max` items, which are checked by `item`. */
export function list<T>(
  expected: string,
  item: (value: unknown, place: Place) => T,
  { min, max, ...options }: FieldOptions<T[]> & { min: number; max: number },
): Field<T[]> {
  return field(expected, options, (value, place) => {
    if (!Array.isArray(value)) throw invalidValue(place, value, expected);
    if (value.length < min || value.length > max)
      throw configError(place.file, `${place.key}: ${value.length} entries; expected ${expected}`, place.page);
    return value.map((one, i) => item(one, { ...place, key: `${place.key}[${i}]` }));
  });
}

/** A value that is always the same: it selects one kind of object. */
export function literal<const T extends string>(value: T, meaning: string): Field<T> {
  const expected = JSON.stringify(value);
  return field(expected, { meaning }, (read, place) => {
    if (read !== value) throw invalidValue(place, read, expected);
    return value;
  });
}

/** True or false. */
export function flag(options: FieldOptions<boolean>): Field<boolean> {
  return field('true or false', options, (value, place) => {
    if (typeof value !== 'boolean') throw invalidValue(place, value, 'true or false');
    return value;
  });
}

/** One of several texts. */
export function choice<const T extends string>(values: readonly T[], options: FieldOptions<T>): Field<T> {
  const expected = values.map((value) => JSON.stringify(value)).join(' or ');
  return field(expected, options, (value, place) => {
    const found = values.find((one) => one === value);
    if (found === undefined) throw invalidValue(place, value, expected);
    return found;
  });
}

/** A value with a check of its own. */
export function custom<T>(
  expected: string,
  options: FieldOptions<T>,
  parse: (value: unknown) => T | undefined,
): Field<T> {
  return field(expected, options, (value, place) => {
    const parsed = parse(value);
    if (parsed === undefined) throw invalidValue(place, value, expected);
    return parsed;
  });
}

/** Checks that a value is an object. Throws FtError ERR_FT_CONFIG. */
export function readObject(value: unknown, place: Place): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidValue(place, value, 'an object');
  return value as Record<string, unknown>;
}

/**
 * Checks an object: all its keys are known, and each value is valid. Throws FtError ERR_FT_CONFIG.
 */
export function readSection<S extends Section>(section: S, value: unknown, place: Place): Values<S> {
  const json = readObject(value, place);
  const prefix = place.key === '' ? '' : `${place.key}.`;
  for (const key of Object.keys(json)) {
    if (Object.hasOwn(section, key)) continue;
    const renamed = Object.entries(section).find(([, { formerName }]) => formerName === key)?.[0];
    const hint = renamed === undefined ? `expected one of ${Object.keys(section).join(', ')}` : `use ${renamed}`;
    throw configError(place.file, `${prefix}${key}: unknown key; ${hint}`, place.page);
  }
  const values = Object.entries(section).map(([key, { read }]) => [
    key,
    read(json[key], { ...place, key: `${prefix}${key}` }),
  ]);
  return Object.fromEntries(values) as Values<S>;
}
