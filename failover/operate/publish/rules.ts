/**
 * The rules of one group: a table of its own, `ft-tcp.GROUP.PLACE`, of the family inet. The table
 * is also the record of what was made: the rules of its chain `about` are never reached, and have
 * comments. So the record is where the rules are, and ends with them.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { type PublishedPort, parsePublished, publishedText } from './ports.js';
import type { NftObject } from './tools.js';

/** What all tables of groups begin with. */
export const TABLE_PREFIX = 'ft-tcp.';

/** The network of one group. */
export interface Network {
  readonly group: string;
  /** Which directory of groups it belongs to: {@link placeOf}. */
  readonly place: string;
  readonly device: string;
  /** The device was made for it, and goes with it. */
  readonly isMade: boolean;
  /** It stays without replicas, until `ft-tcp net down`. */
  readonly isKept: boolean;
  /** The stack's addresses, with prefix lengths. */
  readonly addresses: readonly string[];
  readonly ports: readonly PublishedPort[];
}

/** A short name of a directory. */
export function placeOf(directory: string): string {
  return createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 8);
}

/** The name of its table. */
export function tableOf({ group, place }: Pick<Network, 'group' | 'place'>): string {
  return `${TABLE_PREFIX}${group}.${place}`;
}

/** A rule that says something, and does nothing. */
export function note(key: string, value: string): string {
  return `    counter comment "${key} ${value}"`;
}

function address(cidr: string): string {
  return cidr.slice(0, cidr.indexOf('/'));
}

/** The rule that leads one port to one address of the stack; null: other families. */
function lead({ address: at, port, to }: PublishedPort, cidr: string): string | null {
  const stack = address(cidr);
  const six = stack.includes(':');
  if (at !== null && at.includes(':') !== six) return null;
  const [family, word, target] = six ? ['ipv6', 'ip6', `[${stack}]:${to}`] : ['ipv4', 'ip', `${stack}:${to}`];
  // A link-local address is not forwarded.
  const scope = six ? ' ip6 saddr != fe80::/10' : '';
  const where = at === null ? 'fib daddr type local' : `${word} daddr ${at}`;
  return `    meta nfproto ${family} ${where}${scope} tcp dport ${port} dnat ${word} to ${target}`;
}

/** A chain that a hook calls. */
function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, `    ${hook}; policy accept;`, ...rules, '  }'];
}

/** The device was made here: what is not published is closed to other machines. */
function closed(device: string, addresses: readonly string[]): { out: string[]; forward: string[]; input: string[] } {
  const masquerade = addresses.map((cidr) => {
    const word = cidr.includes(':') ? 'ip6' : 'ip';
    return `    oifname != "${device}" ${word} saddr ${address(cidr)} masquerade`;
  });
  return {
    // Local clients of 127.0.0.1 need an address that the stack can answer to.
    out: [`    oifname "${device}" ip saddr 127.0.0.0/8 masquerade`, ...masquerade],
    forward: [`    oifname "${device}" ct state established,related accept`, `    oifname "${device}" drop`],
    input: [
      `    iifname "${device}" ip daddr 127.0.0.0/8 ct status dnat accept`,
      `    iifname "${device}" ip daddr 127.0.0.0/8 drop`,
    ],
  };
}

/** The script that makes the table anew, whether it exists or not. */
export function rulesOf(network: Network): string {
  const { group, place, device, isMade, isKept, addresses, ports } = network;
  const table = tableOf(network);
  const leads = ports.flatMap((port) => addresses.map((cidr) => lead(port, cidr))).filter((rule) => rule !== null);
  const { out, forward, input } = isMade ? closed(device, addresses) : { out: [], forward: [], input: [] };
  const about: [string, string][] = [
    ['group', group],
    ['place', place],
    ['device', device],
    ['made', String(isMade)],
    ['kept', String(isKept)],
    ...addresses.map((cidr): [string, string] => ['stack', cidr]),
    ...ports.map((port): [string, string] => ['publish', publishedText(port)]),
  ];
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    '  chain about {',
    ...about.map(([key, value]) => note(key, value)),
    '  }',
    ...chain('prerouting', 'type nat hook prerouting priority -101', [`    iifname "${device}" return`, ...leads]),
    ...chain('output', 'type nat hook output priority -101', leads),
    ...chain('postrouting', 'type nat hook postrouting priority 99', out),
    ...chain('input', 'type filter hook input priority -1', input),
    ...chain('forward', 'type filter hook forward priority -1', [
      `    oifname "${device}" ct status dnat accept`,
      `    iifname "${device}" accept`,
      ...forward,
    ]),
    '}',
    '',
  ].join('\n');
}

/** The values that the comments of a chain `about` have, by their keys. */
export function notesOf(objects: readonly NftObject[]): Map<string, string[]> {
  const notes = new Map<string, string[]>();
  for (const { rule } of objects) {
    const comment = rule?.['comment'];
    if (rule?.['chain'] !== 'about' || typeof comment !== 'string') continue;
    const space = comment.indexOf(' ');
    const [key, value] = [comment.slice(0, space), comment.slice(space + 1)];
    notes.set(key, [...(notes.get(key) ?? []), value]);
  }
  return notes;
}

/** The network that a table belongs to; null: the table is not understood. */
export function networkOf(objects: readonly NftObject[]): Network | null {
  const notes = notesOf(objects);
  const one = (key: string): string | undefined => notes.get(key)?.[0];
  const [group, place, device] = [one('group'), one('place'), one('device')];
  if (group === undefined || place === undefined || device === undefined) return null;
  return {
    group,
    place,
    device,
    isMade: one('made') === 'true',
    isKept: one('kept') === 'true',
    addresses: notes.get('stack') ?? [],
    ports: (notes.get('publish') ?? []).map(parsePublished).filter((port) => port !== undefined),
  };
}
