/** The tables of the commands that look at all groups of this machine. */
import { GROUP_OPTIONS } from './group-options.js';
import type { CommandSpec, OptionTable } from './options.js';
import { number } from './value-types.js';

const JSON_OPTION = { meaning: 'Print one JSON object.', since: '0.2' } as const;

const LIST_OPTIONS = { dir: GROUP_OPTIONS.dir, json: JSON_OPTION } as const satisfies OptionTable;

/** The table of `ft-tcp list`. */
export const LIST: CommandSpec<typeof LIST_OPTIONS> = {
  name: 'list',
  summary: 'all groups of this machine: those that run, and what others have left behind',
  usage: 'ft-tcp list [--dir DIR] [--json]',
  description: [
    'Lists the groups in a directory. A group is running, left (all of its processes have died), or ended (on purpose).',
  ],
  options: LIST_OPTIONS,
  examples: ['ft-tcp list', 'ft-tcp list --json'],
};

const CLEANUP_OPTIONS = {
  group: {
    value: GROUP_OPTIONS.group.value,
    defaultText: 'all groups that do not run',
    meaning: 'Remove this group only, also when it could still be resumed.',
    since: '0.2',
    example: '--group web',
  },
  dir: GROUP_OPTIONS.dir,
  'restart-window': {
    value: number({ min: 0, unit: 's', placeholder: 'S' }),
    default: '60',
    meaning: 'Groups that died less than this long ago stay: a new process may resume them.',
    since: '0.2',
  },
  'dry-run': { meaning: 'Only print what would be removed.', since: '0.2' },
} as const satisfies OptionTable;

/** The table of `ft-tcp cleanup`. */
export const CLEANUP: CommandSpec<typeof CLEANUP_OPTIONS> = {
  name: 'cleanup',
  summary: 'remove what groups that do not run have left behind',
  usage: 'ft-tcp cleanup [--group NAME] [--dir DIR] [--restart-window S] [--dry-run]',
  description: [
    'Removes the directories of groups of which no process runs, with their logs and locks.',
    'Networks that were made for such groups (--publish) go, too; those of ft-tcp net up stay.',
    'Of groups that run it removes the sockets of processes that have ended.',
  ],
  options: CLEANUP_OPTIONS,
  exitCodes: { 0: 'nothing is left to remove', 1: 'the group that --group names runs, or could not be removed' },
  examples: ['ft-tcp cleanup --dry-run', 'ft-tcp cleanup --group web'],
};
