/**
 * What all replicas of a group must have in common. It is fixed in the start snapshot when the
 * group begins, and compared when a backup joins and when a group is resumed. A difference that was
 * not noticed would end protection later, or the group.
 */

import { resolve } from 'node:path';
import { FtError } from '../../lib/errors.js';
import { geteuid, readFileSync, realpathSync } from '../../lib/own-node.js';
import type { StartSnapshot } from '../host/group-directory.js';
import type { ReplicaOptions } from './options.js';

/** Values by their names in {@link TERMS}. */
export type Agreement = Readonly<Record<string, string>>;

/** One value that must be equal. */
interface Term {
  /** How it is said: an option, or words. */
  what: string;
  /** In which modes it counts: in state mode another program can read what is handed over. */
  modes: 'all' | 'replay';
  /** Replicas on other machines may have another one. */
  local?: true;
  /** What to do. */
  hint?: string;
}

const SAME_OPTION = 'Give all replicas the same options';
const SAME_COMMAND = 'Start the same command on all replicas';

const TERMS = {
  ip: { what: '--ip', modes: 'all' },
  gateway: { what: '--gateway', modes: 'all' },
  mac: { what: '--mac', modes: 'all' },
  tap: { what: '--tap', modes: 'all', local: true },
  offload: { what: 'offload (--no-offload)', modes: 'all', local: true },
  commit: { what: '--commit', modes: 'all' },
  logSize: { what: '--log-size', modes: 'all' },
  statePorts: { what: '--state-port', modes: 'all' },
  independentPorts: { what: '--independent-port or --independent-connections', modes: 'replay' },
  historyLimit: { what: '--history-limit', modes: 'replay' },
  arguments: { what: "the program's arguments", modes: 'replay', hint: SAME_COMMAND },
  file: { what: "the path of the program's main file", modes: 'replay', local: true, hint: SAME_COMMAND },
  directory: { what: 'the working directory', modes: 'replay', local: true, hint: SAME_COMMAND },
  nodeOptions: { what: "Node's own options", modes: 'replay', hint: SAME_COMMAND },
  umask: { what: 'umask', modes: 'replay', local: true, hint: 'Set the same umask before' },
  user: { what: 'the user', modes: 'replay', local: true, hint: 'Start all replicas as the same user' },
  limits: {
    what: 'the limits of the process (ulimit)',
    modes: 'replay',
    local: true,
    hint: 'Set the same limits before',
  },
} as const satisfies Record<string, Term>;

type TermName = keyof typeof TERMS;

/** The values of this process. */
export function agreementOf(options: ReplicaOptions, argv: readonly string[]): Agreement {
  const [main = '', ...programArguments] = argv;
  const list = (values: readonly unknown[] | undefined): string =>
    values === undefined || values.length === 0 ? 'none' : values.join(' ');
  const { independentPorts } = options;
  const values: Record<TermName, string> = {
    ip: list(options.addresses),
    gateway: list(options.gateway),
    mac: options.mac ?? 'none',
    tap: options.tap,
    offload: options.offload ? 'on' : 'off',
    commit: options.commit,
    logSize: `${options.ringBytes / (1024 * 1024)} MiB`,
    statePorts: list(options.statePorts),
    independentPorts: independentPorts === 'all' ? 'all' : list(independentPorts),
    historyLimit: `${(options.historyLimit ?? 0) / 1024} KiB`,
    arguments: JSON.stringify(programArguments),
    file: realPath(main),
    directory: process.cwd(),
    nodeOptions: JSON.stringify([process.env['NODE_OPTIONS'] ?? '', ...process.execArgv]),
    umask: `0${process.umask().toString(8)}`,
    user: `${geteuid?.()}:${process.getegid?.()}`,
    limits: processLimits(),
  };
  return values;
}

function realPath(file: string): string {
  try {
    return realpathSync(resolve(file));
  } catch {
    return resolve(file);
  }
}

/** Limits that change what the program sees: files that it can open, and sizes. */
function processLimits(): string {
  try {
    const found = /^Max (?:open files|file size|address space) .*$/gm;
    const lines = readFileSync('/proc/self/limits', 'utf8').match(found) ?? [];
    return lines.map((line) => line.replace(/^Max /, '').replace(/\s+/g, ' ').trim()).join(', ');
  } catch {
    return 'unknown';
  }
}

/** A difference between the group and this process. */
export interface Difference {
  what: string;
  /** The group's value. */
  theirs: string;
  /** This process's value. */
  ours: string;
  hint: string;
}

/** The digest of a gateway, which runs no program. */
export const GATEWAY_PROGRAM = 'gateway';

/** What is compared: this process. */
export interface OwnTerms {
  mode: 'replay' | 'state';
  /** Digest of its program. */
  program: string;
  agreement: Agreement;
  /** The group has replicas on other machines. */
  clustered: boolean;
}

/**
 * @returns the first difference; null: there is none. Values that the snapshot does not have are
 * not compared.
 */
export function findDifference(snapshot: StartSnapshot, own: OwnTerms): Difference | null {
  const { mode } = own;
  const theirMode = snapshot.mode ?? 'replay';
  if (theirMode !== mode)
    return {
      what: 'mode',
      theirs: `${theirMode} mode`,
      ours: `${mode} mode`,
      hint: 'Give all replicas the same --mode',
    };
  const what = (program: string): string => (program === GATEWAY_PROGRAM ? 'a gateway' : 'a program');
  if (what(snapshot.program) !== what(own.program)) {
    const hint = 'Give the gateway a group of its own: --group NAME';
    return { what: 'kind of group', theirs: what(snapshot.program), ours: what(own.program), hint };
  }
  if (mode === 'replay') {
    if (snapshot.node !== process.version)
      return { what: 'Node', theirs: snapshot.node, ours: process.version, hint: 'Run the same Node on all replicas' };
    if (snapshot.program !== own.program) {
      const hint = 'Start the same program, or end the group first (ft-tcp drain)';
      return { what: 'program (SHA-256)', theirs: snapshot.program, ours: own.program, hint };
    }
  }
  for (const [name, term] of Object.entries(TERMS) as [TermName, Term][]) {
    const theirs = snapshot.agreement?.[name];
    const ours = own.agreement[name];
    if (theirs === undefined || ours === undefined || theirs === ours) continue;
    if ((term.modes === 'replay' && mode === 'state') || (term.local === true && own.clustered)) continue;
    return {
      what: term.what,
      theirs,
      ours,
      hint: `${term.hint ?? SAME_OPTION}, or end the group first (ft-tcp drain)`,
    };
  }
  return null;
}

/** The error of a backup that differs from its primary. */
export function mismatch({ what, theirs, ours, hint }: Difference): FtError {
  return new FtError('ERR_FT_MISMATCH', `${what} differs: the primary has ${theirs}, this replica ${ours}`, hint);
}

/** Variables that differ between any two processes, and that programs do not look at. */
const VOLATILE =
  /^(?:_|SHLVL|OLDPWD|PWD|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|MAINPID|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|MEMORY_PRESSURE_.*|SSH_.*|WINDOWID|XDG_SESSION_ID|npm_.*|NODE_CHANNEL_.*|TAP_.*|COLUMNS|LINES)$/;

/** Names of environment variables whose values are the group's for the program, and others here. */
export function differentVariables(snapshot: StartSnapshot): string[] {
  const { env = {} } = snapshot.process as { env?: Record<string, string> };
  const names = new Set([...Object.keys(env), ...Object.keys(process.env)]);
  return [...names].filter((name) => !VOLATILE.test(name) && env[name] !== process.env[name]).sort();
}
