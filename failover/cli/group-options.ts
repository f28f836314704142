/** The words that commands have in common which are about a group. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { defaultDirectory, Group } from '../host/group-directory.js';

export const GROUP_OPTIONS = { group: { type: 'string', default: 'default' }, dir: { type: 'string' } } as const;

/** Reads a command's options. Throws FtError ERR_FT_USAGE, which names the command's help. */
export function readOptions<T extends NonNullable<ParseArgsConfig['options']>>(
  command: string,
  args: string[],
  options: T,
): ReturnType<typeof parseArgs<{ args: string[]; options: T }>>['values'] {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new FtError('ERR_FT_USAGE', what, `See ft-tcp ${command} --help`);
  }
}

/** The group that the words name. Throws FtError ERR_FT_GROUP, EACCES. */
export function openGroup(values: { group: string; dir?: string | undefined }): Group {
  const directory = values.dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0);
  return new Group(native(), directory, values.group);
}
