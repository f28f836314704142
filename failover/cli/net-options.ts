/** The tables of `ft-tcp net up`, `net down` and `net show`. */
import type { NetworkWish } from '../operate/publish/network.js';
import { GROUP_OPTIONS } from './group-options.js';
import { type CommandSpec, type OptionTable, type OptionValues, parseOptions, usageError } from './options.js';
import { publishedNetwork, RUN_OPTIONS } from './run-options.js';
import { text } from './value-types.js';

const JSON_OPTION = { meaning: 'Print one JSON object.', since: '0.2' } as const;

const UP_OPTIONS = {
  ...GROUP_OPTIONS,
  publish: {
    ...RUN_OPTIONS.publish,
    meaning: "A TCP port of this machine's own addresses leads to the stack. Needs CAP_NET_ADMIN, ip and nft.",
  },
  tap: { ...RUN_OPTIONS.tap, defaultText: 'the first free one' },
  ip: { ...RUN_OPTIONS.ip, defaultText: 'of a free network' },
  gateway: { ...RUN_OPTIONS.gateway, defaultText: 'the first address of each network' },
  'no-offload': RUN_OPTIONS['no-offload'],
  user: {
    value: text('NAME', "a user's name"),
    meaning: 'This user may open the device: replicas need no rights.',
    since: '0.2',
    example: '--user www',
  },
  json: JSON_OPTION,
} as const satisfies OptionTable;

/** The table of `ft-tcp net up`. */
export const NET_UP: CommandSpec<typeof UP_OPTIONS> = {
  name: 'net up',
  summary: 'publish ports of this machine for replicas without rights',
  usage: 'ft-tcp net up --publish PORT [--group NAME] [--dir DIR] [--user NAME] [options]',
  description: [
    'Makes a TAP device, the addresses of this machine on it, and the rules of nftables that lead the ports to the stack. ' +
      'It stays until ft-tcp net down. The same command again repairs what is missing.',
    'Start the replicas with the same --group, --dir and --publish; with --tap and --ip, too, if they were given here.',
  ],
  options: UP_OPTIONS,
  exitCodes: { 0: 'the ports are published', 1: 'a port or an address is taken', 3: 'a right or a program is missing' },
  examples: ['ft-tcp net up --group web --dir /run/web --publish 80 --publish 443 --user www'],
};

const DOWN_OPTIONS = { ...GROUP_OPTIONS } as const satisfies OptionTable;

/** The table of `ft-tcp net down`. */
export const NET_DOWN: CommandSpec<typeof DOWN_OPTIONS> = {
  name: 'net down',
  summary: 'remove the network of a group',
  usage: 'ft-tcp net down [--group NAME] [--dir DIR]',
  description: ['Removes the rules and, if ft-tcp made it, the device. Refused while a replica uses them.'],
  options: DOWN_OPTIONS,
  exitCodes: { 0: 'there is no such network any more', 3: 'a replica uses it, or a right is missing' },
  examples: ['ft-tcp net down --group web --dir /run/web'],
};

const SHOW_OPTIONS = { json: JSON_OPTION } as const satisfies OptionTable;

/** The table of `ft-tcp net show`. */
export const NET_SHOW: CommandSpec<typeof SHOW_OPTIONS> = {
  name: 'net show',
  summary: 'the published ports of all groups, and what stands in their way',
  usage: 'ft-tcp net show [--json]',
  description: ['Lists the networks that ft-tcp has made on this machine. Needs CAP_NET_ADMIN, to read the rules.'],
  options: SHOW_OPTIONS,
  examples: ['ft-tcp net show', 'ft-tcp net show --json'],
};

/** Reads the command line of `ft-tcp net up`. Throws FtError ERR_FT_USAGE. */
export function netUpArguments(argv: string[]): {
  values: OptionValues<typeof UP_OPTIONS>;
  network: Omit<NetworkWish, 'group' | 'directory'>;
} {
  const values = parseOptions(NET_UP, argv);
  const network = publishedNetwork('net up', { ...values, create: false, cluster: undefined });
  if (network === undefined) throw usageError('net up', 'No port given; expected --publish PORT');
  return { values, network: { ...network, kept: { user: values.user } } };
}

/** Reads the command line of `ft-tcp net down`. Throws FtError ERR_FT_USAGE. */
export function netDownArguments(argv: string[]): OptionValues<typeof DOWN_OPTIONS> {
  return parseOptions(NET_DOWN, argv);
}

/** Reads the command line of `ft-tcp net show`. Throws FtError ERR_FT_USAGE. */
export function netShowArguments(argv: string[]): OptionValues<typeof SHOW_OPTIONS> {
  return parseOptions(NET_SHOW, argv);
}
