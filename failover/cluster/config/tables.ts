/**
 * The tables of the cluster's configuration file (schema.ts): every key with its type, range,
 * default and meaning.
 */
import {
  configError,
  custom,
  fileContent,
  integer,
  invalidValue,
  list,
  literal,
  optional,
  type Place,
  path,
  readObject,
  readSection,
  type Section,
  secretFile,
  text,
} from '../../../lib/config-schema.js';

/** Most nodes of a group. */
export const MAX_NODES = 7;
/** Fewest nodes of a group. */
export const MIN_NODES = 2;
const PSK_DIGITS = 64;
const ANY_TEXT = /./s;

/** One entry of `nodes`. */
export const NODE = {
  name: text('a name of letters, digits, "." and "-", at most 63', /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/, {
    meaning: 'The node. A machine finds itself by its host name, or by `--node NAME`.',
  }),
  host: text('an address or a host name', ANY_TEXT, { meaning: 'Where the other agents connect to.' }),
  port: integer(1, 65_535, '', { meaning: 'TCP port that the agent listens on.', fallback: 7946 }),
} satisfies Section;

/** `tls` with a shared key. */
export const TLS_PSK = {
  psk: secretFile(`a file with ${PSK_DIGITS} hexadecimal digits (openssl rand -hex 32)`, {
    meaning: 'The key that all agents share.',
  }),
} satisfies Section;

/** `tls` with certificates. */
export const TLS_CERTIFICATES = {
  cert: fileContent('a PEM file', { meaning: "The agent's certificate. Its common name (CN) is the node's name." }),
  key: secretFile('a PEM file', { meaning: "The certificate's private key." }),
  ca: fileContent('a PEM file', { meaning: 'The authority that has signed the certificates of all agents.' }),
} satisfies Section;

/** `coordinator` of type "etcd". */
export const ETCD = {
  type: literal('etcd', 'The lease and the state are keys in etcd, 3.4 or later.'),
  endpoints: list('a list of 1 to 16 URLs like http://10.0.0.9:2379', endpoint, {
    meaning: 'Addresses of etcd, asked in turn.',
    min: 1,
    max: 16,
  }),
  ttl: integer(2, 300, 's', { meaning: 'Lifetime of a lease that its holder does not renew.', fallback: 5 }),
  prefix: text('a text that is not empty', ANY_TEXT, {
    meaning: 'What the names of the keys begin with.',
    fallback: '/ft-tcp/',
  }),
  ca: optional(
    fileContent('a PEM file', { meaning: "The authority of etcd's certificate." }),
    "Node's own authorities",
  ),
  cert: optional(fileContent('a PEM file', { meaning: 'The client certificate for etcd.' }), 'no certificate'),
  key: optional(secretFile('a PEM file', { meaning: "The client certificate's private key." }), 'no certificate'),
} satisfies Section;

/** `coordinator` of type "fence-command". */
export const FENCE_COMMAND = {
  type: literal('fence-command', 'Two nodes without etcd: one switches the other off.'),
  fence: path('the path of a program', {
    meaning: 'The program. Its argument is a node; exit code 0 says that this node is off.',
  }),
  fenceTimeoutMs: integer(100, 600_000, 'ms', { meaning: 'The program is killed after this.', fallback: 30_000 }),
  fenceHistory: optional(
    path('the path of a file', {
      meaning: 'Where the node counts its fences, on storage that a power cycle does not clear.',
    }),
    "in the group's directory",
  ),
} satisfies Section;

/** `coordinator` of type "file-lock". */
export const FILE_LOCK = {
  type: literal('file-lock', 'All nodes are on one machine: the lease is a lock on a file.'),
  directory: path('the path of a directory', {
    meaning: 'Where the lock is: the same for all nodes, in memory (/run) if possible.',
  }),
  leaseMs: integer(100, 60_000, 'ms', {
    meaning: 'How long a primary may send after its agent last had the lock.',
    fallback: 500,
  }),
  stallTimeoutMs: optional(
    integer(200, 600_000, 'ms', {
      meaning: 'An agent that has the lock and stands still for this long is killed.',
      formerName: 'hungMs',
    }),
    '4 * leaseMs',
  ),
} satisfies Section;

/** The types of coordinator, by name. */
export const COORDINATORS = { etcd: ETCD, 'fence-command': FENCE_COMMAND, 'file-lock': FILE_LOCK } as const;

/** Former names of the types, for the error message. */
export const FORMER_TYPES: Readonly<Record<string, keyof typeof COORDINATORS>> = {
  static: 'fence-command',
  lock: 'file-lock',
};

/** The file itself. `tls` and `coordinator` are objects of one of the kinds above. */
export const CLUSTER = {
  nodes: list(`a list of ${MIN_NODES} to ${MAX_NODES} nodes`, (value, place) => readSection(NODE, value, place), {
    meaning: 'All nodes, in the order of succession.',
    min: MIN_NODES,
    max: MAX_NODES,
  }),
  listen: optional(
    text('an address', ANY_TEXT, { meaning: 'Address that the agent of this node listens on.' }),
    "the node's host",
  ),
  tls: { ...objectField('the keys of the connections between agents'), read: readTls },
  coordinator: { ...objectField('what grants the lease and stores the state'), read: readCoordinator },
  requiredBackups: custom(
    '"all", or an integer from 1 to the number of backups',
    {
      meaning: 'Backups in sync that must hold what output depends on.',
      fallback: Number.POSITIVE_INFINITY,
      default: '"all"',
      formerName: 'stable',
    },
    backupCount,
  ),
  peerTimeoutMs: integer(100, 60_000, 'ms', {
    meaning: 'A node without a message for this long is lost.',
    fallback: 500,
    formerName: 'lostMs',
  }),
  newGroupDelayMs: integer(1000, 3_600_000, 'ms', {
    meaning: 'A group without a leader, that no node can take over, starts anew after this.',
    fallback: 10_000,
    formerName: 'freshMs',
  }),
} satisfies Section;

/** Rules on more than one key: what is required, as in the reference page and in errors. */
export const RULES = {
  names: 'the names of all nodes differ',
  fenceNodes: 'coordinator "fence-command" is for exactly two nodes; more need "etcd"',
  lockNodes: 'coordinator "file-lock" is for nodes on one machine: host 127.0.0.1, and a port of its own for each',
  stallTimeout: 'the value of coordinator.stallTimeoutMs is at least 2 * leaseMs',
} as const;

function objectField(what: string): { expected: string; meaning: string; default: undefined } {
  return {
    expected: 'an object, see below',
    meaning: `${what.charAt(0).toUpperCase()}${what.slice(1)}.`,
    default: undefined,
  };
}

function backupCount(value: unknown): number | undefined {
  if (value === 'all') return Number.POSITIVE_INFINITY;
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 ? value : undefined;
}

function endpoint(value: unknown, place: Place): string {
  if (typeof value !== 'string' || !/^https?:\/\/[^/]+\/?$/.test(value) || !URL.canParse(value))
    throw invalidValue(place, value, 'a URL like http://10.0.0.9:2379');
  return value.replace(/\/$/, '');
}

function readTls(value: unknown, place: Place) {
  if (readObject(value, place)['psk'] === undefined)
    return { kind: 'certificate' as const, ...readSection(TLS_CERTIFICATES, value, place) };
  const hex = readSection(TLS_PSK, value, place).psk.toString('utf8').trim();
  if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== PSK_DIGITS)
    throw configError(place.file, `${place.key}.psk: invalid content; expected ${TLS_PSK.psk.expected}`);
  return { kind: 'psk' as const, key: Buffer.from(hex, 'hex') };
}

function readCoordinator(value: unknown, place: Place) {
  const { type } = readObject(value, place);
  if (type === 'etcd') return readSection(ETCD, value, place);
  if (type === 'fence-command') return readSection(FENCE_COMMAND, value, place);
  if (type === 'file-lock') return readSection(FILE_LOCK, value, place);
  const names = Object.keys(COORDINATORS).map((name) => `"${name}"`);
  const renamed = typeof type === 'string' && Object.hasOwn(FORMER_TYPES, type) ? FORMER_TYPES[type] : undefined;
  const shown = type === undefined ? 'missing' : `invalid value ${JSON.stringify(type)}`;
  const hint = renamed === undefined ? `expected one of ${names.join(', ')}` : `use "${renamed}"`;
  throw configError(place.file, `${place.key}.type: ${shown}; ${hint}`);
}
