/** `ft-tcp net up`, `net down` and `net show`. */
import { FtError } from '../../lib/errors.js';
import { ExitCode } from '../admin/error-codes.js';
import { isGroupName } from '../host/group-directory.js';
import { firewallProblems } from '../operate/publish/checks.js';
import { usersOf } from '../operate/publish/claims.js';
import { readInterfaces, servingAddresses } from '../operate/publish/devices.js';
import { findNetworks, lowerNetwork, raiseNetwork } from '../operate/publish/network.js';
import { publishedText } from '../operate/publish/ports.js';
import { placeOf } from '../operate/publish/rules.js';
import { groupsDirectory } from './group-options.js';
import { netDownArguments, netShowArguments, netUpArguments } from './net-options.js';

/** Version of the JSON; it grows when a field changes its meaning or goes. */
const NET_SCHEMA = 1;

/** Throws FtError ERR_FT_GROUP. */
function requireName(group: string): void {
  if (!isGroupName(group))
    throw new FtError(
      'ERR_FT_GROUP',
      `"${group}" is not a group name`,
      'Use letters, digits, ".", "_" and "-", at most 64',
    );
}

/** `ft-tcp net up`. @returns 0. Throws FtError ERR_FT_USAGE, and what `raiseNetwork` throws. */
export async function netUpCommand(argv: string[]): Promise<number> {
  const { values, network } = netUpArguments(argv);
  const { group, json } = values;
  requireName(group);
  const raised = raiseNetwork({ ...network, group, directory: groupsDirectory(values) });
  raised.release(false);
  const { device, addresses, gateways } = raised;
  const publish = network.ports.map(publishedText);
  if (json)
    process.stdout.write(`${JSON.stringify({ schema: NET_SCHEMA, group, device, addresses, gateways, publish })}\n`);
  else process.stdout.write(`${group}  ${publish.join(', ')} -> ${addresses.join(', ')} on ${device}\n`);
  return ExitCode.Ok;
}

/** `ft-tcp net down`. @returns 0. Throws FtError ERR_FT_USAGE, EBUSY, EPERM. */
export async function netDownCommand(argv: string[]): Promise<number> {
  const values = netDownArguments(argv);
  const { group } = values;
  const removed = lowerNetwork({ group, place: placeOf(groupsDirectory(values)) });
  process.stdout.write(removed ? `${group}: the network was removed\n` : `${group}: there is no network\n`);
  return ExitCode.Ok;
}

/** `ft-tcp net show`. @returns 0. Throws FtError ERR_FT_USAGE, EPERM, ERR_FT_TOOLS. */
export async function netShowCommand(argv: string[]): Promise<number> {
  const { json } = netShowArguments(argv);
  const networks = findNetworks().map(({ ports, place: _, ...network }) => ({
    ...network,
    publish: ports.map(publishedText),
    processes: usersOf({ group: network.group, place: _ }),
  }));
  const serving = servingAddresses(readInterfaces());
  const blocked = networks.length === 0 ? [] : firewallProblems().map(({ problem }) => problem);
  if (json) {
    process.stdout.write(`${JSON.stringify({ schema: NET_SCHEMA, networks, serving, blocked })}\n`);
    return ExitCode.Ok;
  }
  if (networks.length === 0) process.stdout.write('no ports are published\n');
  for (const { group, publish, addresses, device, processes, isKept } of networks) {
    const users =
      processes.length > 0 ? `processes ${processes.join(', ')}` : isKept ? 'kept' : 'left (ft-tcp cleanup)';
    process.stdout.write(
      `${group}  ${publish.join(', ') || 'no rules'} -> ${addresses.join(', ')} on ${device}  ${users}\n`,
    );
  }
  for (const problem of blocked) process.stdout.write(`blocked: ${problem}\n`);
  return ExitCode.Ok;
}
