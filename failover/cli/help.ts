/** The text of `--help`, made from a command's table. */
import type { CommandSpec, OptionSpec } from './options.js';

const WIDTH = 100;
/** Widest left column; a longer option has its meaning on the next line. */
const MAX_LEFT = 26;

/** Breaks a text into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** `--name VALUE`. */
export function optionTitle(name: string, { value }: OptionSpec): string {
  return `--${name}${value === undefined ? '' : ` ${value.placeholder}`}`;
}

/** What follows a meaning: default, unit, range, whether the option repeats. */
function facts({ value, default: given, defaultText, multiple }: OptionSpec): string {
  const list: string[] = [];
  const unit = value?.unit === undefined ? '' : ` ${value.unit}`;
  if (given !== undefined) list.push(`default: ${given}${unit}`);
  else if (defaultText !== undefined) list.push(`default: ${defaultText}`);
  else if (unit !== '') list.push(unit.trim());
  if (value?.range !== undefined && value.kind !== 'choice') list.push(value.range);
  if (multiple === true) list.push('repeatable');
  return list.length === 0 ? '' : ` [${list.join('; ')}]`;
}

/** The options that users see, with their sections in order. */
export function sections(spec: CommandSpec): Map<string, [string, OptionSpec][]> {
  const found = new Map<string, [string, OptionSpec][]>();
  for (const [name, option] of Object.entries(spec.options)) {
    if (option.internal === true) continue;
    const section = option.section ?? 'Options';
    found.set(section, [...(found.get(section) ?? []), [name, option]]);
  }
  return found;
}

function optionLines(name: string, option: OptionSpec, left: number): string[] {
  const title = `  ${optionTitle(name, option)}`;
  const lines = wrap(`${option.meaning}${facts(option)}`, WIDTH - left);
  const indented = lines.map((line) => ' '.repeat(left) + line);
  if (title.length + 2 > left) return [title, ...indented];
  return [title.padEnd(left) + (lines[0] ?? ''), ...indented.slice(1)];
}

/** The help of one command. */
export function helpText(spec: CommandSpec): string {
  const out = [`Usage: ${spec.usage}`, ''];
  for (const paragraph of spec.description) out.push(...wrap(paragraph, WIDTH), '');
  const parts = sections(spec);
  const titles = [...parts.values()].flat().map(([name, option]) => optionTitle(name, option).length + 4);
  const left = Math.min(MAX_LEFT, Math.max(...titles, 'help'.length));
  for (const [section, options] of parts) {
    out.push(`${section}:`);
    for (const [name, option] of options) out.push(...optionLines(name, option, left));
    out.push('');
  }
  for (const note of spec.notes ?? []) out.push(...wrap(note, WIDTH), '');
  const codes = Object.entries(spec.exitCodes ?? {});
  if (codes.length > 0) out.push('Exit codes:', ...codes.map(([code, meaning]) => `  ${code.padEnd(5)}${meaning}`), '');
  out.push('Examples:', ...spec.examples.map((example) => `  ${example}`), '');
  return out.join('\n');
}

/** The list of all commands. */
export function overviewText(commands: readonly CommandSpec[], exitCodes: Record<number, string>): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return [
    'ft-tcp: TCP connections that survive the death of the process that serves them',
    '',
    'Usage: ft-tcp COMMAND [options]',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    '',
    '  ft-tcp help COMMAND, ft-tcp COMMAND --help   options of a command',
    '  ft-tcp --version',
    '',
    'Exit codes:',
    ...Object.entries(exitCodes).map(([code, meaning]) => `  ${code}  ${meaning}`),
    '',
  ].join('\n');
}
