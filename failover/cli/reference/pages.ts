/** The pages of docs/reference that are generated from the tables of the code. */
import { ERROR_CODES, EXIT_CODES } from '../../admin/error-codes.js';
import type { EventField, EventSpec } from '../../admin/event-spec.js';
import { COMMON_EVENT_FIELDS, EVENTS, type EventName, levelOf } from '../../admin/events.js';
import { STATUS_SCHEMA } from '../../admin/status.js';
import { renderClusterConfig } from '../../cluster/config/reference.js';
import { gatewayConfigLines } from '../../gateway/config-reference.js';
import { COMMANDS } from '../commands.js';
import { groupConfigLines } from '../group-config.js';
import { optionTitle, sections, wrap } from '../help.js';
import type { CommandSpec, OptionSpec } from '../options.js';
import { renderLogFormat } from './log-format.js';
import { code, pageHead, table, WIDTH } from './markdown.js';
import { explainLines, metricsLines } from './metrics-page.js';
import { renderNodeApi } from './node-api.js';
import { STATUS_FIELDS, type StatusField, type StatusFields } from './status-fields.js';

/** A generated page: its path below docs/reference, and its text. */
export interface ReferencePage {
  path: string;
  text: string;
}

function optionRow(name: string, option: OptionSpec): string[] {
  const { value, default: given, defaultText, example, multiple } = option;
  const kind = value === undefined ? 'flag' : `${value.kind}${multiple === true ? ', repeatable' : ''}`;
  const limits = [value?.unit, value?.kind === 'choice' ? undefined : value?.range].filter(
    (part) => part !== undefined,
  );
  const preset = given === undefined ? (defaultText ?? '') : code(given);
  const sample = example === undefined ? '' : code(example);
  return [code(optionTitle(name, option)), kind, limits.join('; '), preset, option.meaning, sample, option.since];
}

function commandSection(spec: CommandSpec): string[] {
  const out = [`## ft-tcp ${spec.name}`, '', '```', spec.usage, '```', ''];
  out.push(...spec.description.flatMap((paragraph) => [...wrap(paragraph, WIDTH), '']));
  const head = ['Option', 'Value', 'Unit, range', 'Default', 'Meaning', 'Example', 'Since'];
  for (const [section, options] of sections(spec)) {
    out.push(`### ${spec.name}: ${section.toLowerCase()}`, '');
    out.push(
      ...table(
        head,
        options.map(([name, option]) => optionRow(name, option)),
      ),
    );
  }
  out.push(...(spec.notes ?? []).flatMap((note) => [note, '']));
  const codes = Object.entries(spec.exitCodes ?? {});
  if (codes.length > 0) out.push(...table(['Exit code', 'Meaning'], codes));
  return [...out, '```sh', ...spec.examples, '```', ''];
}

/** docs/reference/cli.md */
export function renderCli(): string {
  const out = pageHead('Command line', 'the option tables in failover/cli', [
    '`ft-tcp help COMMAND` and `ft-tcp COMMAND --help` print the same. An invalid option ends the command with exit ' +
      'code 2 and an error that names the option, its value and what is expected.',
  ]);
  out.push(
    ...table(
      ['Command', 'Purpose'],
      COMMANDS.map(({ spec }) => [`[${spec.name}](#ft-tcp-${spec.name.replaceAll(' ', '-')})`, spec.summary]),
    ),
  );
  out.push(
    '## Exit codes',
    '',
    'They are the same for all commands. The section of a command has more, where there is more.',
    '',
  );
  out.push(...table(['Exit code', 'Meaning'], Object.entries(EXIT_CODES)));
  for (const { spec } of COMMANDS) out.push(...commandSection(spec));
  return text(out);
}

function eventRows(fields: Readonly<Record<string, EventField>>, prefix = ''): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => [
    [
      code(prefix + name),
      `${field.type}${field.optional === true ? ', optional' : ''}`,
      field.unit ?? '',
      field.meaning,
    ],
    ...(field.fields === undefined ? [] : eventRows(field.fields, `${prefix}${name}.`)),
  ]);
}

function eventSection(name: EventName, { when, action, fields }: EventSpec): string[] {
  return [
    `### ${name}`,
    '',
    when,
    '',
    `Level: ${levelOf(name)}. Operator: ${action}`,
    '',
    ...(Object.keys(fields).length === 0 ? [] : table(FIELD_HEAD, eventRows(fields))),
  ];
}

const FIELD_HEAD = ['Field', 'Type', 'Unit', 'Meaning'];

/** docs/reference/events.md */
export function renderEvents(): string {
  const out = pageHead('Events', 'failover/admin/events.ts', [
    'Replicas and agents write events to standard error, one JSON object per line. Lines that do not begin with `{` are ' +
      'output of the program, or errors. On a terminal events are text for people. `--events FILE|FD` writes the JSON ' +
      'lines to a place of their own.',
    'Of each name at most 50 events in a second are written; `left-out` counts the others.',
    'Names and fields are stable: they change only together with `schema`. New events and fields may appear in any version.',
  ]);
  out.push('## Fields of every event', '', ...table(FIELD_HEAD, eventRows(COMMON_EVENT_FIELDS)));
  const all = Object.entries(EVENTS) as [EventName, EventSpec][];
  for (const [source, title] of [
    ['replica', 'Events of a replica'],
    ['supervisor', 'Events of a supervisor (ft-tcp up)'],
    ['agent', 'Events of an agent (--cluster)'],
  ] as const) {
    out.push(`## ${title}`, '');
    for (const [name, spec] of all) if (spec.source === source) out.push(...eventSection(name, spec));
  }
  return text(out);
}

function typeOf({ type, nullable, optional }: StatusField): string {
  const words = [type === 'list' ? 'list of objects' : type === 'map' ? 'map of objects' : type];
  if (nullable === true) words.push('or null');
  return words.join(' ') + (optional === true ? ', optional' : '');
}

/** How the place of a field's own fields is written: `replicas[].pid`, `peers.NAME.up`. */
function placeBelow(name: string, { type }: StatusField): string {
  return `${name}${type === 'list' ? '[]' : type === 'map' ? '.NAME' : ''}.`;
}

function statusRows(fields: StatusFields, prefix: string): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => [
    [code(prefix + name), typeOf(field), field.unit ?? '', field.meaning],
    // Counters have a table of their own.
    ...(field.fields === undefined || name === 'counters'
      ? []
      : statusRows(field.fields, placeBelow(prefix + name, field))),
  ]);
}

function counterTables(title: string, field: StatusField | undefined): string[] {
  const out = [
    `## ${title}`,
    '',
    'A part that a replica does not have, for example the device of a backup, has no counters.',
    '',
  ];
  for (const [part, { meaning, fields = {} }] of Object.entries(field?.fields ?? {})) {
    out.push(`### ${part}`, '', meaning, '');
    out.push(
      ...table(
        ['Counter', 'Meaning'],
        Object.entries(fields).map(([name, one]) => [code(name), one.meaning]),
      ),
    );
  }
  return out;
}

/** docs/reference/status.md */
export function renderStatus(): string {
  const out = pageHead('Status', 'failover/cli/reference/status-fields.ts', [
    '`ft-tcp status --json` prints one JSON object. Its exit code is 0 when the group has what `--require` says (a primary), else 1.',
    `The fields below are stable: they change only together with \`schema\` (now ${STATUS_SCHEMA}). Counters may change in any ` +
      'version. All counters start at 0 with the process.',
  ]);
  out.push(...table(FIELD_HEAD, statusRows(STATUS_FIELDS, '')));
  const { replicas, cluster } = STATUS_FIELDS;
  out.push(...counterTables('Counters of a replica', replicas.fields?.['counters']));
  out.push(...counterTables('Counters of an agent', cluster.fields?.['counters']));
  return text(out);
}

/** docs/reference/errors.md */
export function renderErrors(): string {
  const out = pageHead('Errors', 'failover/admin/error-codes.ts', [
    'Every error that ft-tcp reports has a stable code. Errors of the operating system keep the code of Node.js, as ' +
      '`EADDRINUSE`. Everything else has a code of this page.',
    'The command line prints `ft-tcp: CODE: what is wrong. What to do`. In the library it is `error.code` of an `FtError`, ' +
      'and `error.hint` says what to do.',
  ]);
  for (const [name, { when, action, exit }] of Object.entries(ERROR_CODES))
    out.push(`## ${name}`, '', when, '', `What to do: ${action}`, '', `Exit code: ${exit} (${EXIT_CODES[exit]})`, '');
  return text(out);
}

/** docs/reference/group-config.md */
export function renderGroupConfig(): string {
  const out = pageHead('Group configuration file', 'failover/cli/up-table.ts', [
    '`ft-tcp up -c FILE` reads a JSON file with a program and the options of the command. A mistake ends the command with ' +
      'exit code 2, and an error that names the key, the value and what is expected.',
    'Only the path of the program is relative to the file.',
  ]);
  out.push(...groupConfigLines(table));
  return text(out);
}

/** docs/reference/gateway-config.md */
export function renderGatewayConfig(): string {
  const out = pageHead('Gateway configuration file', 'failover/gateway/config.ts', [
    '`ft-tcp gateway --config FILE` reads a JSON file. A mistake ends the command with exit code 2, and an error that names ' +
      'the place, the value and what is expected.',
  ]);
  out.push(...gatewayConfigLines(table));
  return text(out);
}

function text(lines: string[]): string {
  return `${lines.join('\n').trimEnd()}\n`;
}

/** All generated pages. */
export function referencePages(): ReferencePage[] {
  return [
    { path: 'cli.md', text: renderCli() },
    { path: 'events.md', text: renderEvents() },
    { path: 'log-format.md', text: renderLogFormat() },
    { path: 'node-api.md', text: renderNodeApi() },
    { path: 'status.md', text: renderStatus() },
    { path: 'metrics.md', text: text(metricsLines()) },
    { path: 'explain.md', text: text(explainLines()) },
    { path: 'errors.md', text: renderErrors() },
    { path: 'cluster-config.md', text: renderClusterConfig() },
    { path: 'group-config.md', text: renderGroupConfig() },
    { path: 'gateway-config.md', text: renderGatewayConfig() },
  ];
}
