/**
 * The tables of the commands that ask or command a group that exists, and what they have in common.
 */
import { native } from '../../lib/native/native.js';
import { defaultDirectory, Group } from '../host/group-directory.js';
import type { CommandSpec, OptionSpec } from './options.js';
import { choice, integer, number, text } from './value-types.js';

/** Options that name a group. */
export const GROUP_OPTIONS = {
  group: {
    value: text('NAME', "a group's name: 1 to 64 letters, digits, '.', '_' and '-'"),
    default: 'default',
    meaning: "The group's name. Replicas with the same name and directory belong together.",
    since: '0.1',
  },
  dir: {
    value: text('DIR', "a directory's path"),
    defaultText: '/run/ft-tcp; without root $XDG_RUNTIME_DIR/ft-tcp',
    meaning: 'Directory of the groups. It should be in memory (tmpfs).',
    since: '0.1',
    example: '--dir /run/ft-tcp',
  },
} as const satisfies Record<string, OptionSpec>;

/** Prints JSON instead of text. */
export const JSON_OPTION = {
  meaning: 'Print one JSON object (docs/reference/status.md).',
  since: '0.1',
} as const satisfies OptionSpec;

/** The directory of the groups that the options name. */
export function groupsDirectory({ dir }: { dir: string | undefined }): string {
  return dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0);
}

/**
 * Finds the group that the options name; null when there is none. Throws FtError ERR_FT_GROUP,
 * EACCES, ENOTDIR.
 */
export function findGroup(values: { group: string; dir: string | undefined }): Group | null {
  return Group.find(native(), groupsDirectory(values), values.group);
}

/** What `ft-tcp status` can require of a group, each with all before it. */
export const REQUIREMENTS = ['primary', 'protected', 'all-connections'] as const;
/** One of them. */
export type Requirement = (typeof REQUIREMENTS)[number];

const STATUS_OPTIONS = {
  ...GROUP_OPTIONS,
  json: JSON_OPTION,
  require: {
    value: choice(...REQUIREMENTS),
    default: 'primary',
    meaning:
      'What makes the exit code 0. protected: a backup could take over at once. all-connections: and every connection ' +
      'would survive.',
    since: '0.2',
  },
} as const;

/** The table of `ft-tcp status`. */
export const STATUS: CommandSpec<typeof STATUS_OPTIONS> = {
  name: 'status',
  summary: 'primary, backup, connections, lag and counters of a group',
  usage: 'ft-tcp status [--group NAME] [--dir DIR] [--json] [--require WHAT]',
  description: ['Asks all replicas of a group on this machine, and its agent if it has one.'],
  options: STATUS_OPTIONS,
  exitCodes: { 0: 'the group has what --require says', 1: 'it has not; standard error says why' },
  examples: ['ft-tcp status --group web', 'ft-tcp status --group web --require protected'],
};

function timeoutOption<const D extends string>(preset: D) {
  return {
    value: number({ min: 0.001, unit: 's', placeholder: 'S' }),
    default: preset,
    meaning: 'How long to wait for the result.',
    since: '0.2',
  } as const satisfies OptionSpec;
}

const SWITCHOVER_OPTIONS = { ...GROUP_OPTIONS, timeout: timeoutOption('10') } as const;

/** The table of `ft-tcp switchover`. */
export const SWITCHOVER: CommandSpec<typeof SWITCHOVER_OPTIONS> = {
  name: 'switchover',
  summary: 'the backup becomes primary: for deploys and maintenance',
  usage: 'ft-tcp switchover [--group NAME] [--dir DIR] [--timeout S]',
  description: [
    'The backup takes over from the primary, and no data is retransmitted. The process of the old primary ends with ' +
      'exit code 0.',
    'Start the same command again, or let a supervisor do so: it becomes the backup.',
  ],
  options: SWITCHOVER_OPTIONS,
  exitCodes: { 0: 'the backup is primary', 1: 'there was no backup that could take over; nothing has changed' },
  examples: ['ft-tcp switchover --group web'],
};

const DRAIN_OPTIONS = { ...GROUP_OPTIONS, timeout: timeoutOption('3600') } as const;

/** The table of `ft-tcp drain`. */
export const DRAIN: CommandSpec<typeof DRAIN_OPTIONS> = {
  name: 'drain',
  summary: 'refuse new connections; end the group when the last one has closed',
  usage: 'ft-tcp drain [--group NAME] [--dir DIR] [--timeout S]',
  description: [
    'New connections are refused from now on. Existing connections stay, also when the primary dies.',
    'When the last connection has closed, all replicas end with exit code 0.',
  ],
  options: DRAIN_OPTIONS,
  exitCodes: { 0: 'the group has ended', 1: 'connections were still open after the timeout; the drain continues' },
  examples: ['ft-tcp drain --group web --timeout 600'],
};

const HISTORY_OPTIONS = {
  ...GROUP_OPTIONS,
  last: {
    value: integer({ min: 1, max: 1000 }),
    default: '50',
    meaning: 'How many events are shown, at most.',
    since: '0.2',
  },
  json: { meaning: 'Print one JSON object.', since: '0.2' },
} as const;

/** The table of `ft-tcp history`. */
export const HISTORY: CommandSpec<typeof HISTORY_OPTIONS> = {
  name: 'history',
  summary: 'what happened to a group: takeovers with their phases, joins, divergences',
  usage: 'ft-tcp history [--group NAME] [--dir DIR] [--last N] [--json]',
  description: [
    'Prints events of all processes that a group had on this machine, the latest one last.',
    "They are kept in the group's directory, 128 KiB of them at most. What a program said or sent is not among them. " +
      'ft-tcp cleanup removes them with the group.',
  ],
  options: HISTORY_OPTIONS,
  exitCodes: { 0: 'there is such a group', 1: 'there is none' },
  examples: ['ft-tcp history --group web', 'ft-tcp history --group web --last 5 --json'],
};

const EXPLAIN_OPTIONS = { ...GROUP_OPTIONS, json: { meaning: 'Print one JSON object.', since: '0.2' } } as const;

/** The table of `ft-tcp explain`. */
export const EXPLAIN: CommandSpec<typeof EXPLAIN_OPTIONS> = {
  name: 'explain',
  summary: 'what protects one connection, or why nothing does',
  usage: 'ft-tcp explain ADDRESS:PORT [--group NAME] [--dir DIR] [--json]',
  description: [
    'Asks the primary for the connections with this peer: the address and the port of a client, or of a server that the ' +
      'program has connected to.',
    'docs/reference/explain.md has all reasons.',
  ],
  options: EXPLAIN_OPTIONS,
  exitCodes: { 0: 'the connections are protected', 1: 'one is not, there is none, or the group has no primary' },
  examples: ['ft-tcp explain 10.77.0.1:50123', 'ft-tcp explain [fd77::1]:50123 --group web --json'],
};
