/** `ft-tcp list` and `ft-tcp cleanup`: all groups of this machine. */
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { ExitCode } from '../admin/error-codes.js';
import { describe, findGroups, GROUPS_SCHEMA, type GroupInfo } from '../admin/groups.js';
import { Group } from '../host/group-directory.js';
import { usersOf } from '../operate/publish/claims.js';
import { findNetworks, lowerNetwork } from '../operate/publish/network.js';
import { type Network, placeOf } from '../operate/publish/rules.js';
import { groupsDirectory } from './group-options.js';
import { CLEANUP, LIST } from './groups-options.js';
import { parseOptions } from './options.js';

const MIB = 1024 * 1024;

/** @returns 0. Throws FtError ERR_FT_USAGE. */
export async function listCommand(argv: string[]): Promise<number> {
  const values = parseOptions(LIST, argv);
  const directory = groupsDirectory(values);
  const groups = await findGroups(native(), directory);
  if (values.json) process.stdout.write(`${JSON.stringify({ schema: GROUPS_SCHEMA, directory, groups })}\n`);
  else if (groups.length === 0) process.stdout.write(`no groups in ${directory}\n`);
  else for (const info of groups) process.stdout.write(`${line(info)}\n`);
  return ExitCode.Ok;
}

function line(info: GroupInfo): string {
  const { group, state, replicas, unresponsive, bytes, deadSeconds, error } = info;
  const size = `${(bytes / MIB).toFixed(1)} MiB`;
  if (state === 'unusable') return `${group}  unusable: ${error}`;
  if (state === 'ended') return `${group}  ended  ${size}`;
  if (state === 'left')
    return `${group}  left${deadSeconds === null ? '' : `  died ${deadSeconds} s ago`}  ${size}  (ft-tcp cleanup)`;
  const processes = [
    ...replicas.map(({ role, pid, protected: safe }) => `${role} ${pid}${safe ? '' : ' NOT PROTECTED'}`),
    ...unresponsive.map((pid) => `process ${pid} does not answer`),
  ];
  return `${group}  running  ${processes.join(', ') || 'starting'}  ${size}`;
}

/** @returns 0, or 1 when the named group runs. Throws FtError ERR_FT_USAGE, ERR_FT_GROUP. */
export async function cleanupCommand(argv: string[]): Promise<number> {
  const { group, dry, window, directory } = cleanupArguments(argv);
  const found = group === undefined ? await findGroups(native(), directory) : await named(directory, group);
  let code: number = ExitCode.Ok;
  const stays = new Set<string>();
  for (const info of found) {
    if (info.state === 'running' || info.state === 'unusable') {
      stays.add(info.group);
      if (group === undefined) continue;
      process.stdout.write(`${line(info)}: not removed\n`);
      code = ExitCode.Failure;
    } else if (group === undefined && info.deadSeconds !== null && info.deadSeconds < window) {
      stays.add(info.group);
      process.stdout.write(`${info.group}: may be resumed for ${window - info.deadSeconds} s, not removed\n`);
    } else remove(directory, info, dry);
  }
  removeNetworks(directory, { group, stays, dry });
  return code;
}

function cleanupArguments(argv: string[]): {
  group: string | undefined;
  dry: boolean;
  window: number;
  directory: string;
} {
  const values = parseOptions(CLEANUP, argv);
  return {
    group: values.group,
    dry: values['dry-run'],
    window: values['restart-window'],
    directory: groupsDirectory(values),
  };
}

/** Networks of groups that are gone, or go now. */
function removeNetworks(
  directory: string,
  { group, stays, dry }: { group: string | undefined; stays: ReadonlySet<string>; dry: boolean },
): void {
  const place = placeOf(directory);
  for (const network of leftNetworks()) {
    if (network.place !== place || stays.has(network.group)) continue;
    if ((group !== undefined && network.group !== group) || usersOf(network).length > 0) continue;
    if (network.isKept) {
      process.stdout.write(`${network.group}: the network was made by ft-tcp net up, not removed\n`);
      continue;
    }
    if (!dry) lowerNetwork(network);
    process.stdout.write(`${network.group}: network on ${network.device} ${dry ? 'would be removed' : 'removed'}\n`);
  }
}

/** None without the right to see them, or without nft: then nothing was published from here. */
function leftNetworks(): Network[] {
  try {
    return findNetworks();
  } catch (error) {
    if (error instanceof FtError) return [];
    throw error;
  }
}

async function named(directory: string, name: string): Promise<GroupInfo[]> {
  const info = await describe(native(), directory, name);
  if (info === null && leftNetworks().some((one) => one.group === name && one.place === placeOf(directory))) return [];
  if (info === null) throw new FtError('ERR_FT_GROUP', `There is no group ${name} in ${directory}`, 'See ft-tcp list');
  return [info];
}

function remove(directory: string, { group: name, bytes }: GroupInfo, dry: boolean): void {
  const size = `${(bytes / MIB).toFixed(1)} MiB`;
  if (!dry) Group.find(native(), directory, name)?.removeAll();
  process.stdout.write(`${name}: ${dry ? 'would be removed' : 'removed'}, ${size}\n`);
}
