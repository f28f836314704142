/**
 * The configuration file of one group (`ft-tcp up -c FILE`): JSON, with a program and the options
 * of `ft-tcp run`, whose table is the only one. docs/reference/group-config.md is made from it.
 */
import { configError, custom, type Field, path, readSection, type Section } from '../../lib/config-schema.js';
import { errorCode } from '../../lib/errors.js';
import { readFileSync } from '../../lib/own-node.js';
import type { OptionSpec } from './options.js';
import { UP_OPTIONS } from './up-table.js';

/** The reference page. */
const PAGE = 'docs/reference/group-config.md';
const MAX_ARGUMENTS = 256;

/** The key of an option: `hang-timeout` is `hangTimeout`. */
export function keyOf(option: string): string {
  return option.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** An option as a key, whose value is the words of a command line. */
function optionField(name: string, option: OptionSpec): Field<string[]> {
  const { value, multiple, meaning } = option;
  const preset = option.default ?? option.defaultText ?? (value === undefined ? 'false' : 'none');
  const facts = { meaning, fallback: [], default: preset };
  if (value === undefined)
    return custom('true or false', facts, (given) =>
      typeof given === 'boolean' ? (given ? [`--${name}`] : []) : undefined,
    );
  const unit = value.unit === undefined ? '' : ` (${value.unit})`;
  const one = value.expected.includes(unit) ? value.expected : `${value.expected}${unit}`;
  const expected = multiple === true ? `${one}; or a list of them` : one;
  return custom(expected, facts, (given) => {
    const list: unknown[] = multiple === true && Array.isArray(given) ? given : [given];
    const texts = list.map((item) => (typeof item === 'string' || typeof item === 'number' ? String(item) : ''));
    return texts.every((text) => value.read(text) !== undefined) ? texts.map((text) => `--${name}=${text}`) : undefined;
  });
}

function fields(): Section {
  const entries = Object.entries(UP_OPTIONS as Readonly<Record<string, OptionSpec>>)
    .filter(([name, { internal }]) => name !== 'config' && internal !== true)
    .map(([name, option]) => [keyOf(name), optionField(name, option)]);
  return Object.fromEntries(entries) as Section;
}

/** The keys of the file. */
export const GROUP_FILE = {
  program: path("a file's path, relative to this file", { meaning: 'The program.' }),
  arguments: custom(
    `a list of at most ${MAX_ARGUMENTS} texts`,
    { meaning: "The program's arguments.", fallback: [], default: '[]' },
    (value): string[] | undefined =>
      Array.isArray(value) && value.length <= MAX_ARGUMENTS && value.every((one) => typeof one === 'string')
        ? (value as string[])
        : undefined,
  ),
  ...fields(),
} satisfies Section;

/**
 * Reads the file. Throws FtError ERR_FT_CONFIG.
 * @returns the command line that says the same
 */
export function readGroupConfig(file: string): string[] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? `not JSON: ${error.message}` : `cannot be read (${errorCode(error)})`;
    throw configError(file, why, PAGE);
  }
  const {
    program,
    arguments: programArguments,
    ...options
  } = readSection(GROUP_FILE, json, { file, key: '', page: PAGE });
  return [...(Object.values(options) as string[][]).flat(), '--', program, ...programArguments];
}

const EXAMPLE = `{
  "group": "web",
  "program": "server.js",
  "publish": [80, "8443:443"],
  "commit": "acked",
  "metrics": "127.0.0.1:9464"
}`;

/** The reference page's lines below its head. @param table makes the lines of a table */
export function groupConfigLines(
  table: (head: readonly string[], rows: readonly (readonly string[])[]) => string[],
): string[] {
  const rows = Object.entries(GROUP_FILE as Section).map(([key, field]) => [
    `\`${key}\``,
    field.expected,
    field.default ?? 'required',
    field.meaning,
  ]);
  return ['```json', ...EXAMPLE.split('\n'), '```', '', ...table(['Key', 'Value', 'Default', 'Meaning'], rows)];
}
