/**
 * All `ERR_FT_*` codes and all exit codes. The command line takes its exit code from here,
 * docs/reference/errors.md is generated from it, and a test compares the table with the sources.
 */

/**
 * Exit codes of every command. `ft-tcp run` may also end with the program's own code, or with 128 +
 * a signal's number.
 */
export const ExitCode = { Ok: 0, Failure: 1, Usage: 2, Environment: 3, RolledBack: 4 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What each exit code means. */
export const EXIT_CODES: Record<ExitCode, string> = {
  [ExitCode.Ok]: 'success',
  [ExitCode.Failure]: 'failure',
  [ExitCode.Usage]: 'invalid command line or configuration',
  [ExitCode.Environment]: 'this machine lacks something: a permission, a program, the addon, a supported Node.js',
  [ExitCode.RolledBack]: 'a deploy: the new version served, and the group went back to the old one',
};

/** One error code. */
export interface ErrorSpec {
  when: string;
  action: string;
  /** Exit code of the command that ends with it. */
  exit: ExitCode;
}

/** All codes of ft-tcp's own. Errors of the operating system keep Node's code, as `EADDRINUSE`. */
export const ERROR_CODES = {
  ERR_FT: {
    when: 'An error without a code of its own; the message has the details.',
    action: 'Read the message. An internal error prints its stack: report it.',
    exit: ExitCode.Failure,
  },
  ERR_FT_CAPTURE: {
    when: '`--pcap`: tcpdump did not start, or the file is not a capture.',
    action: 'Choose another file. Check that tcpdump may capture (root).',
    exit: ExitCode.Failure,
  },
  ERR_FT_CLOSED: {
    when: 'Library: a method of a device was called after `close()`.',
    action: 'Open the device again.',
    exit: ExitCode.Failure,
  },
  ERR_FT_CONFIG: {
    when: 'The cluster file is missing or invalid. The message names the place and the value.',
    action: 'Correct the file; see docs/reference/cluster-config.md or docs/reference/gateway-config.md.',
    exit: ExitCode.Usage,
  },
  ERR_FT_CONTEXT: {
    when: 'A checkpoint is too large: 64 KiB per connection, and the limits of `saveState`.',
    action: 'Save less, and keep larger data outside of the process.',
    exit: ExitCode.Failure,
  },
  ERR_FT_COORDINATOR: {
    when: 'The coordinator did not answer, or its answer cannot be read. The outcome is unknown.',
    action: 'Check the coordinator and the way to it. The agent asks again by itself.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEPLOY_BUSY: {
    when: '`deploy`, `restart`, `rollback`: another one of them is under way for the group.',
    action: 'Wait until it has ended.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEPLOY_CHECK: {
    when: 'Deploy: the new version did not pass its `--check` in time. The old version serves on.',
    action: 'Read the message, and the log of the new version.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEPLOY_LOAD: {
    when: 'Deploy: the new version ended, or was not loaded within `--timeout`. The old version serves on.',
    action: 'Read what it wrote: the message has the end of it.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEPLOY_MODE: {
    when: 'Deploy: the group is not one of a program in state mode on one machine, or `ft-tcp up` supervises it.',
    action: 'Run the group with `--mode state`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEPLOY_PORTS: {
    when: 'Deploy: the new version does not listen where the old one does. The old version serves on.',
    action: 'Let it listen on the ports that the message names, or end the group first (`ft-tcp drain`).',
    exit: ExitCode.Failure,
  },
  ERR_FT_DEVICE: {
    when: 'A network device cannot be opened or configured.',
    action: 'Run `ft-tcp doctor`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_DROPPED: {
    when: 'Backup: the primary dropped this replica because it did not keep up with the log.',
    action: 'Start it again; it joins again. A larger `--log-size` bridges longer pauses.',
    exit: ExitCode.Failure,
  },
  ERR_FT_FENCE: {
    when: 'Backup: the old primary did not end, or another process holds the group. Nothing was taken over.',
    action: 'End the old primary by hand; see `ft-tcp status`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_GROUP: {
    when: 'The name of the group is invalid.',
    action: 'Use 1 to 64 letters, digits, ".", "_" and "-".',
    exit: ExitCode.Failure,
  },
  ERR_FT_LOG_CORRUPT: {
    when: 'The shared log has an invalid header, length or checksum. The primary is not affected.',
    action: 'Start the backup again. When it happens again, restart the group; report it.',
    exit: ExitCode.Failure,
  },
  ERR_FT_LOG_EPOCH: {
    when: 'The shared log has a record of an older epoch.',
    action: 'Start the backup again. Report it.',
    exit: ExitCode.Failure,
  },
  ERR_FT_LOG_SIZE: {
    when: 'Library: the size of the log is not a power of two.',
    action: 'Choose a power of two.',
    exit: ExitCode.Failure,
  },
  ERR_FT_LOG_VERSION: {
    when: 'The primary writes a version of the log that this ft-tcp does not read.',
    action: 'Upgrade one version at a time, the backup first.',
    exit: ExitCode.Failure,
  },
  ERR_FT_MISMATCH: {
    when: 'The replicas differ in options, program, arguments, Node.js version, user or limits. The message has both values.',
    action: 'Start the same command on all replicas, or end the group first.',
    exit: ExitCode.Failure,
  },
  ERR_FT_MODE: {
    when: "A server asks for `replication: 'replay'` in a group in state mode.",
    action: 'Run the group with `--mode replay`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_NAMESPACE: {
    when: 'Backup: the primary runs in another pid namespace, so neither process can watch the other.',
    action: 'Run all replicas of a group in one pid namespace, or use `--cluster`.',
    exit: ExitCode.Environment,
  },
  ERR_FT_NATIVE: {
    when: 'The native addon is not built or cannot be loaded.',
    action: 'Install a C compiler, make and python3, then run `npm rebuild`.',
    exit: ExitCode.Environment,
  },
  ERR_FT_NODE_VERSION: {
    when: 'This version of Node.js is not supported: ft-tcp replaces parts of its net, http and tls modules.',
    action: 'Use Node.js 20, 22, 24 or 26.',
    exit: ExitCode.Environment,
  },
  ERR_FT_NOT_FED: {
    when: 'Between agents: the leader does not send its log to this node.',
    action: 'None. The node joins again by itself.',
    exit: ExitCode.Failure,
  },
  ERR_FT_NO_PREVIOUS: {
    when: '`rollback`: there was no deploy that could be taken back.',
    action: 'Deploy the version that you want.',
    exit: ExitCode.Failure,
  },
  ERR_FT_NO_PRIMARY: {
    when: '`switchover`, `drain`: no primary of the group answers.',
    action: 'See `ft-tcp status`; check `--group` and `--dir`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_PROGRAM: {
    when: "The program's main file does not exist.",
    action: 'Give the path of its main file.',
    exit: ExitCode.Failure,
  },
  ERR_FT_PUBLISH: {
    when: '`--publish`: nftables, `ip` or a setting of the kernel refused what published ports need.',
    action: 'Run `ft-tcp doctor --publish PORT`, as root. It names what stands in the way.',
    exit: ExitCode.Environment,
  },
  ERR_FT_REPLICA: {
    when: '`demo`, tests: a replica ended early, or an event did not come in time.',
    action: 'Read what the replica wrote; use `--verbose`.',
    exit: ExitCode.Failure,
  },
  ERR_FT_ROLE: {
    when: 'The command needs the primary, and this replica is a backup.',
    action: 'Send it to the primary; `ft-tcp` finds it by itself.',
    exit: ExitCode.Failure,
  },
  ERR_FT_STATE: {
    when: 'The operation is not possible now, for example a second switchover during the first.',
    action: 'Wait, or do what the message says.',
    exit: ExitCode.Failure,
  },
  ERR_FT_TOOLS: {
    when: 'A program that the command needs is not installed.',
    action: 'Install it; the message has the command.',
    exit: ExitCode.Environment,
  },
  ERR_FT_UNPROTECTED: {
    when: '`switchover`: no backup can take over, or it did not reach the end of the log in time.',
    action: 'Start a backup and wait for its `ready`. Nothing has changed.',
    exit: ExitCode.Failure,
  },
  ERR_FT_UNRESPONSIVE: {
    when: 'The primary did not answer an admin command in time.',
    action: 'See `ft-tcp status`. The command may still be carried out.',
    exit: ExitCode.Failure,
  },
  ERR_FT_UNSUPPORTED: {
    when: 'The program used an API that cannot be replicated.',
    action: 'Use what the message names instead.',
    exit: ExitCode.Failure,
  },
  ERR_FT_USAGE: {
    when: 'The command line is invalid. The message names the option, its value and what is expected.',
    action: 'See `ft-tcp COMMAND --help`.',
    exit: ExitCode.Usage,
  },
} as const satisfies Record<string, ErrorSpec>;

/** Errors of the operating system that another command line would not avoid. */
const ENVIRONMENT_ERRNO = new Set(['EACCES', 'EPERM', 'ENODEV', 'ENOSYS', 'EBUSY']);

/** The exit code of a command that ends with an error of this code. */
export function exitCodeOf(code: string): ExitCode {
  const spec = (ERROR_CODES as Record<string, ErrorSpec | undefined>)[code];
  return spec?.exit ?? (ENVIRONMENT_ERRNO.has(code) ? ExitCode.Environment : ExitCode.Failure);
}
