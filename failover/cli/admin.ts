/** `ft-tcp switchover` and `ft-tcp drain`: planned changes of a group. */
import { FtError } from '../../lib/errors.js';
import { adminSocketPath, sendCommand } from '../admin/commands.js';
import { askReplicas } from '../admin/replicas.js';
import { DRAIN, findGroup, SWITCHOVER } from './group-options.js';
import { parseOptions } from './options.js';

/**
 * @returns the exit code. Throws FtError ERR_FT_USAGE, ERR_FT_NO_PRIMARY, or the primary's reason.
 */
export async function adminCommand(command: 'switchover' | 'drain', argv: string[]): Promise<number> {
  const values = command === 'drain' ? parseOptions(DRAIN, argv) : parseOptions(SWITCHOVER, argv);
  const group = findGroup(values);
  const { replicas } = group === null ? { replicas: [] } : await askReplicas(group);
  const primary = replicas.find(({ role }) => role === 'primary');
  if (group === null || primary === undefined)
    throw new FtError('ERR_FT_NO_PRIMARY', `No primary of group ${values.group} answers`, 'See ft-tcp status');
  const path = adminSocketPath((name) => group.file(name), primary.pid);
  await sendCommand(path, command, values.timeout * 1000);
  const done = command === 'drain' ? `group ${values.group} is drained` : `process ${primary.pid} was switched over`;
  process.stdout.write(`${done}\n`);
  return 0;
}
