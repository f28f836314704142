/** `ft-tcp switchover` and `ft-tcp drain`: planned moves of a group. */
import { FtError } from '../../lib/errors.js';
import { type AdminCommand, controlPath, sendCommand } from '../admin/commands.js';
import { askReplica, type ReplicaStatus } from '../admin/status.js';
import { GROUP_OPTIONS, openGroup, readOptions } from './group-options.js';

export const SWITCHOVER_HELP = `Usage: ft-tcp switchover [--group G] [--dir DIR] [--timeout SECONDS]

The backup goes on where the primary is, without a byte being sent again; the primary's process ends with exit code 0.
Start it again (or let its supervisor do so), and it is the backup. Exit code 0 when it is done, 1 when there was no
backup that could go on: then nothing has changed.
`;

export const DRAIN_HELP = `Usage: ft-tcp drain [--group G] [--dir DIR] [--timeout SECONDS]

New connections are refused from now on; those that exist go on, also across the death of the primary. When the last one
is over, all replicas end with exit code 0. Exit code 1 when that has not come to pass in time (default 3600 seconds).
`;

const DEFAULT_SECONDS: Record<AdminCommand, string> = { switchover: '10', drain: '3600' };

/** @returns the exit code. Throws FtError ERR_FT_USAGE, ERR_FT_NO_PRIMARY, or the primary's reason. */
export async function adminCommand(order: AdminCommand, argv: string[]): Promise<number> {
  const values = readOptions(order, argv, {
    ...GROUP_OPTIONS,
    timeout: { type: 'string', default: DEFAULT_SECONDS[order] },
  });
  const seconds = Number(values.timeout);
  if (!(seconds > 0))
    throw new FtError('ERR_FT_USAGE', `--timeout ${values.timeout} is not right`, 'Write it like --timeout 10');
  const group = openGroup(values);
  const answers = await Promise.all(group.sockets().map(askReplica));
  const replicas = answers.filter((answer): answer is ReplicaStatus => typeof answer !== 'string');
  const primary = replicas.find(({ role }) => role === 'primary');
  if (primary === undefined)
    throw new FtError(
      'ERR_FT_NO_PRIMARY',
      `The group ${values.group} has no primary that answers`,
      'See ft-tcp status',
    );
  await sendCommand(
    controlPath((name) => group.file(name), primary.pid),
    order,
    seconds * 1000,
  );
  process.stdout.write(
    order === 'switchover' ? `process ${primary.pid} has handed over\n` : `group ${values.group} is drained\n`,
  );
  return 0;
}
