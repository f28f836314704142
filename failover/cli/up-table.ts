/** The table of `ft-tcp up`. */
import type { CommandSpec, OptionTable } from './options.js';
import { RUN_OPTIONS } from './run-options.js';
import { FILE, integer } from './value-types.js';

const MAX_REPLICAS = 8;
const SUPERVISION = 'Supervision';

// Replicas of several machines have an agent; one without a log needs no supervisor.
const {
  cluster: _cluster,
  node: _node,
  member: _member,
  agent: _agent,
  hold: _hold,
  solo: _solo,
  ...SHARED
} = RUN_OPTIONS;

/** The options of `ft-tcp up`: those of `ft-tcp run` on one machine, and its own. */
export const UP_OPTIONS = {
  config: {
    value: FILE,
    meaning: 'Reads the program and all options from a file (docs/reference/group-config.md); -c FILE is the same.',
    section: SUPERVISION,
    since: '0.2',
    example: '--config group.json',
  },
  replicas: {
    value: integer({ min: 1, max: MAX_REPLICAS }),
    default: '2',
    meaning: 'Processes: a primary, a backup, and further ones that wait for the place of the backup.',
    section: SUPERVISION,
    since: '0.2',
  },
  'restart-limit': {
    value: integer({ min: 0, max: 1_000_000 }),
    default: '10',
    meaning:
      'A replica that ends is started again after 0.1 s, and after longer times of up to 10 s when it ends again. After ' +
      'this many ends in a row, each within 10 s of its start, it is given up.',
    section: SUPERVISION,
    since: '0.2',
  },
  ...SHARED,
} as const satisfies OptionTable;

/** The options that only `ft-tcp up` has. */
export const OWN_OPTIONS = ['config', 'replicas', 'restart-limit'] as const;

/** The table of `ft-tcp up`. */
export const UP: CommandSpec<typeof UP_OPTIONS> = {
  name: 'up',
  summary: 'serve a Node.js program: starts primary and backup, and what dies again',
  usage: 'ft-tcp up [options] app.js [args], or ft-tcp up -c FILE',
  description: [
    'Runs a group in the foreground: it starts the replicas (ft-tcp run), starts again what ends, and says where it serves.',
    'SIGTERM and SIGINT end all of them: connections have --grace to close. A second signal ends them at once.',
    'The supervisor is not needed for a takeover. When it is killed, its replicas end with it, and the next one continues ' +
      'the group within --restart-window.',
    'It tells systemd READY, STATUS, WATCHDOG and STOPPING (docs/guides/serving.md).',
  ],
  options: UP_OPTIONS,
  exitCodes: {
    0: 'the group has ended: by a signal, or drained',
    1: 'a replica failed before the group served, or all were given up',
    2: 'invalid command line or configuration file',
    3: 'this machine lacks something; see ft-tcp doctor',
  },
  examples: [
    'ft-tcp up --publish 80 server.js',
    'ft-tcp up --group web --publish 8443:443 --commit acked server.js --tls',
    'ft-tcp up -c group.json',
  ],
};
