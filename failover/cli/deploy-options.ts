/** The tables of `ft-tcp deploy`, `ft-tcp restart` and `ft-tcp rollback`. */
import { type Check, parseCheck } from '../operate/deploy/health-check.js';
import { GROUP_OPTIONS } from './group-options.js';
import type { CommandSpec, OptionSpec, ValueType } from './options.js';
import { FILE, number, text } from './value-types.js';

const CHECK: ValueType<Check> = {
  placeholder: 'URL|CMD',
  kind: 'URL or command',
  expected: 'an http or https URL, or a command',
  read: parseCheck,
};

const COMMON_OPTIONS = {
  ...GROUP_OPTIONS,
  timeout: {
    value: number({ min: 0.1, unit: 's', placeholder: 'S' }),
    default: '60',
    meaning: 'How long the new process may take to load, listen and pass its check.',
    since: '0.2',
  },
  log: {
    value: FILE,
    defaultText: "deploy.log in the group's directory",
    meaning: 'Where the new processes write their output and their events.',
    since: '0.2',
    example: '--log /var/log/web.log',
  },
  json: { meaning: 'Print one JSON object, also for a failure.', since: '0.2' },
} as const satisfies Record<string, OptionSpec>;

const MOVE_OPTIONS = {
  ...COMMON_OPTIONS,
  check: {
    value: CHECK,
    meaning:
      'A health check of the new version, before it serves and while --rollback-within lasts. A URL has to answer with ' +
      'a status from 200 to 399; its host is not looked up. A command has to end with 0; it finds a Unix socket to ' +
      'each server in FT_TCP_CHECK_SOCKET_<port>.',
    since: '0.2',
    example: '--check http://localhost/health',
  },
  'rollback-within': {
    value: number({ min: 0, unit: 's', placeholder: 'S' }),
    default: '0',
    meaning:
      'The old version stands by for this time. The group goes back to it when the new version ends, or fails three ' +
      'checks one after the other.',
    since: '0.2',
    example: '--rollback-within 60',
  },
} as const satisfies Record<string, OptionSpec>;

const DEPLOY_OPTIONS = {
  ...MOVE_OPTIONS,
  cwd: {
    value: text('DIR', "a directory's path"),
    defaultText: "the old version's",
    meaning: 'The working directory of the new version.',
    since: '0.2',
    example: '--cwd /srv/app/releases/42',
  },
} as const satisfies Record<string, OptionSpec>;

const EXIT_CODES = {
  0: 'the new version serves',
  1: 'it does not; the old version serves on, with all connections',
  4: 'it served, and the group went back to the old version',
};

/** The table of `ft-tcp deploy`. */
export const DEPLOY: CommandSpec<typeof DEPLOY_OPTIONS> = {
  name: 'deploy',
  summary: 'move a group in state mode, with its connections, to a new version',
  usage: 'ft-tcp deploy [options] new.js [args]',
  description: [
    'Starts the new version beside the group, with the options and the environment of the group. When it has loaded, ' +
      'listens where the old version listens and passes its check, the connections move to it.',
    'If anything fails before, or this command is killed, the old version serves on. docs/guides/deploying.md says more.',
  ],
  options: DEPLOY_OPTIONS,
  exitCodes: EXIT_CODES,
  examples: [
    'ft-tcp deploy --group web /srv/app/releases/42/server.js',
    'ft-tcp deploy --group web --check http://localhost/health --rollback-within 60 server.js 8080',
  ],
};

/** The table of `ft-tcp restart`. */
export const RESTART: CommandSpec<typeof MOVE_OPTIONS> = {
  name: 'restart',
  summary: 'start the program of a group in state mode anew, and keep its connections',
  usage: 'ft-tcp restart [options]',
  description: ['The same as ft-tcp deploy with the program and arguments that the group has.'],
  options: MOVE_OPTIONS,
  exitCodes: EXIT_CODES,
  examples: ['ft-tcp restart --group web'],
};

/** The table of `ft-tcp rollback`. */
export const ROLLBACK: CommandSpec<typeof COMMON_OPTIONS> = {
  name: 'rollback',
  summary: 'move a group back to the version before its last deploy',
  usage: 'ft-tcp rollback [options]',
  description: [
    'If the version before stands by (--rollback-within), it takes over at once. Otherwise it is started as a deploy ' +
      'starts a new version.',
  ],
  options: COMMON_OPTIONS,
  exitCodes: { 0: 'the version before serves', 1: 'it does not; the version that served serves on' },
  examples: ['ft-tcp rollback --group web'],
};
