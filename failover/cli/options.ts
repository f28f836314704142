/**
 * The command line's options. Each command has one table of them; parsing, validation, `--help` and
 * docs/reference/cli.md all come from that table.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { FtError } from '../../lib/errors.js';
import { nearest } from './nearest.js';

/** How the text after an option becomes a value. */
export interface ValueType<T> {
  /** Name of the value in --help, as `FILE`. */
  placeholder: string;
  /** Kind of value for the reference, as `integer`. */
  kind: string;
  unit?: string;
  range?: string;
  /** Completes the error "invalid value; expected …". */
  expected: string;
  /** @returns undefined for a text that is not a value of this type */
  read(text: string): T | undefined;
}

/** One option of a command. Without `value` it is a flag. */
export interface OptionSpec {
  value?: ValueType<unknown>;
  /** Whole sentences. */
  meaning: string;
  /** The text that counts when the option is not given. */
  default?: string;
  /** For --help only: what happens when the option is not given, where that is no fixed text. */
  defaultText?: string;
  /** It may be given several times. */
  multiple?: true;
  /** Heading in --help and in the reference. */
  section?: string;
  /** The first version with it. */
  since: string;
  /** A value for the reference, where `default` is none. */
  example?: string;
  /** Earlier names. They are refused with a hint. */
  formerly?: readonly string[];
  /** Between processes of ft-tcp only: in no help. */
  internal?: true;
}

/** Options by name, without the dashes. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** One command. */
export interface CommandSpec<O extends OptionTable = OptionTable> {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  usage: string;
  /** Paragraphs for --help and the reference. */
  description: readonly string[];
  options: O;
  /** What follows the options in --help. */
  notes?: readonly string[];
  /** What the general exit codes mean for this command. */
  exitCodes?: Readonly<Record<number, string>>;
  /** Whole command lines. */
  examples: readonly string[];
}

type ValueOf<S> = S extends { value: ValueType<infer T> }
  ? S extends { multiple: true }
    ? T[]
    : S extends { default: string }
      ? T
      : T | undefined
  : boolean;

/** The values of a command's options. A repeatable option that is not given is an empty list. */
export type OptionValues<O extends OptionTable> = { -readonly [K in keyof O]: ValueOf<O[K]> };

/** An error for the user's command line; it names the command's help. */
export function usageError(command: string, message: string): FtError {
  return new FtError('ERR_FT_USAGE', message, `See ft-tcp ${command} --help`);
}

/** The error for a value that its option does not take. */
export function invalidValue(command: string, option: string, text: string, expected: string): FtError {
  return usageError(command, `--${option} ${text}: invalid value; expected ${expected}`);
}

/** Reads a command's options. Throws FtError ERR_FT_USAGE. */
export function parseOptions<O extends OptionTable>(spec: CommandSpec<O>, args: readonly string[]): OptionValues<O> {
  const given = readTokens(spec, args);
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(spec.options)) {
    const texts = given.get(name) ?? (option.default === undefined ? [] : [option.default]);
    const { value } = option;
    if (value === undefined) {
      values[name] = given.has(name);
      continue;
    }
    const read = texts.map((text) => {
      const result = value.read(text);
      if (result === undefined) throw invalidValue(spec.name, name, text, value.expected);
      return result;
    });
    values[name] = option.multiple === true ? read : read.at(-1);
  }
  return values as OptionValues<O>;
}

/** The texts that were given for each option. */
function readTokens(spec: CommandSpec, args: readonly string[]): Map<string, string[]> {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, { value }] of Object.entries(spec.options))
    options[name] = { type: value === undefined ? 'boolean' : 'string' };
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const given = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === 'positional') throw usageError(spec.name, `Unexpected argument "${token.value}"`);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(spec.options, token.name) ? spec.options[token.name] : undefined;
    if (option === undefined || !token.rawName.startsWith('--')) throw unknownOption(spec, token.rawName);
    if (option.value === undefined) {
      if (token.value !== undefined) throw usageError(spec.name, `--${token.name} takes no value`);
      given.set(token.name, []);
      continue;
    }
    const { value = '', inlineValue } = token;
    // A dash begins the next option: the value was forgotten. Write --name=-1 for such a value.
    if (value === '' || (inlineValue !== true && value.startsWith('-')))
      throw usageError(spec.name, `--${token.name}: value missing; expected ${option.value.expected}`);
    given.set(token.name, [...(given.get(token.name) ?? []), value]);
  }
  return given;
}

function unknownOption(spec: CommandSpec, rawName: string): FtError {
  const name = rawName.replace(/^-+/, '');
  const open = Object.entries(spec.options).filter(([, { internal }]) => internal !== true);
  const renamed = open.find(([, { formerly }]) => formerly?.includes(name));
  if (renamed !== undefined) return usageError(spec.name, `${rawName}: renamed to --${renamed[0]}`);
  const like = nearest(name, [...open.map(([known]) => known), 'help']);
  return usageError(spec.name, `${rawName}: unknown option${like === undefined ? '' : `; did you mean --${like}`}`);
}

/**
 * The index of the program's name in the arguments of `ft-tcp run`: behind the options.
 * `argv.length`: there is none.
 */
export function programIndex(options: OptionTable, argv: readonly string[]): number {
  let i = 0;
  while (i < argv.length) {
    const argument = argv[i] ?? '';
    if (argument === '--') return i + 1;
    if (!argument.startsWith('-')) return i;
    const option = options[argument.slice(2)];
    const takesNext = !argument.includes('=') && (option === undefined || option.value !== undefined);
    i += takesNext ? 2 : 1;
  }
  return argv.length;
}
