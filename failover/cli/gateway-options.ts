/** The options of `ft-tcp gateway` and of its commands. */

import type { EventsTarget } from '../admin/event-log.js';
import type { MetricsAddress } from '../admin/metrics-port.js';
import { isAddress, readGatewayConfig } from '../gateway/config.js';
import {
  BALANCES,
  CONNECTS,
  HEALTH_DEFAULTS,
  type HostPort,
  MAX_WEIGHT,
  parseHostPort,
  SEND_PROXY,
  SERVER_DEFAULTS,
  SERVICE_DEFAULTS,
  type ServerSettings,
  type ServiceSettings,
} from '../gateway/settings.js';
import { defaultBusyPollUs, severalCpus } from '../host/busy-poll.js';
import { defaultDirectory } from '../host/group-directory.js';
import type { ReplicaOptions } from '../replica/replica.js';
import { GROUP_OPTIONS, JSON_OPTION } from './group-options.js';
import { DEFAULT_ADDRESS, DEFAULT_TAP, GATEWAY_OPTION } from './network-options.js';
import { type CommandSpec, type OptionTable, type OptionValues, parseOptions, usageError } from './options.js';
import { checkCombination, RUN_OPTIONS } from './run-options.js';
import { choice, FILE, integer, number } from './value-types.js';

const SERVICE = 'Service';

const HOST_PORT = {
  placeholder: 'ADDRESS:PORT',
  kind: 'address with port',
  expected: '10.77.0.2:80 or [fd77::2]:80',
  read: (text: string): HostPort | undefined => parseHostPort(text, isAddress),
};

/** One server, or several with commas between them; `*WEIGHT` behind a server is its weight. */
const SERVERS = {
  placeholder: 'ADDRESS:PORT[*WEIGHT][,…]',
  kind: 'addresses with ports',
  expected: '10.77.0.1:80 or 10.77.0.1:80*2,10.77.0.3:80',
  read: (text: string): ServerSettings[] | undefined => {
    const servers: ServerSettings[] = [];
    for (const one of text.split(',')) {
      const [where = '', weight, ...more] = one.split('*');
      const parsed = parseHostPort(where, isAddress);
      const share = weight === undefined ? SERVER_DEFAULTS.weight : /^\d{1,3}$/.test(weight) ? Number(weight) : -1;
      if (parsed === undefined || more.length > 0 || share < 0 || share > MAX_WEIGHT) return undefined;
      servers.push({ ...parsed, ...SERVER_DEFAULTS, weight: share });
    }
    return servers;
  },
};

function seconds<const D extends string>(meaning: string, preset: D) {
  return {
    value: number({ min: 0, max: 86_400, unit: 's', placeholder: 'S' }),
    default: preset,
    meaning,
    section: SERVICE,
    since: '0.2',
  } as const;
}

const OPTIONS = {
  listen: {
    value: HOST_PORT,
    meaning: "Where clients connect to: one of the stack's addresses, and a port.",
    section: SERVICE,
    since: '0.2',
    example: '--listen 10.77.0.2:5432',
  },
  to: {
    value: SERVERS,
    multiple: true,
    meaning: 'The servers, with their weights. The stack has to reach them.',
    section: SERVICE,
    since: '0.2',
    example: '--to 10.77.0.1:5432',
  },
  config: {
    value: FILE,
    meaning:
      'Several services, from a file (docs/reference/gateway-config.md). Without the other options of this part.',
    section: SERVICE,
    since: '0.2',
    example: '--config gateway.json',
  },
  balance: {
    value: choice(...BALANCES),
    default: SERVICE_DEFAULTS.balance,
    meaning: 'How a server is chosen: in turn, the one with the fewest connections, or by the hash of the client.',
    section: SERVICE,
    since: '0.2',
  },
  connect: {
    value: choice(...CONNECTS),
    default: SERVICE_DEFAULTS.connect,
    meaning: "When a client's SYN is answered: at once, or when a server was reached. late passes a refusal on.",
    section: SERVICE,
    since: '0.2',
  },
  'connect-timeout': seconds('Time for a server to accept a connection.', '3'),
  retries: {
    value: integer({ min: 0, max: 100 }),
    default: '3',
    meaning: 'Further servers that are tried, before the first byte, when one cannot be reached.',
    section: SERVICE,
    since: '0.2',
  },
  'max-connections': {
    value: integer({ min: 1, max: 100_000 }),
    default: '50000',
    meaning: 'Connections at a time. Further clients wait in the queue.',
    section: SERVICE,
    since: '0.2',
  },
  queue: {
    value: integer({ min: 0, max: 100_000 }),
    default: '1024',
    meaning: 'Clients that wait for a server. Further ones are reset.',
    section: SERVICE,
    since: '0.2',
  },
  'queue-timeout': seconds('How long a client waits while all servers are full.', '5'),
  hold: seconds('How long a client waits while no server can be reached. 0: it is reset.', '0'),
  'health-check': {
    meaning: 'Check servers by connections, which are reset at once.',
    section: SERVICE,
    since: '0.2',
  },
  'accept-proxy': {
    meaning: 'Clients begin with a header of the PROXY protocol, version 1 or 2. Others are reset.',
    section: SERVICE,
    since: '0.2',
  },
  'send-proxy': {
    value: choice(...SEND_PROXY),
    default: SERVICE_DEFAULTS.sendProxy,
    meaning: 'The header of the PROXY protocol that servers are sent.',
    section: SERVICE,
    since: '0.2',
  },
  'client-timeout': seconds(
    'A connection ends when its client has neither sent nor acknowledged data for this long. 0: never.',
    '0',
  ),
  'server-timeout': seconds('The same for its server.', '0'),
  'keep-alive': seconds('Idle time before TCP keepalive on both sides. 0: never.', '60'),
  ...GROUP_OPTIONS,
  group: { ...GROUP_OPTIONS.group, default: 'gateway' },
  tap: { ...RUN_OPTIONS.tap, default: DEFAULT_TAP },
  create: RUN_OPTIONS.create,
  ip: RUN_OPTIONS.ip,
  gateway: GATEWAY_OPTION,
  mac: RUN_OPTIONS.mac,
  'no-offload': RUN_OPTIONS['no-offload'],
  pcap: RUN_OPTIONS.pcap,
  commit: RUN_OPTIONS.commit,
  'log-size': RUN_OPTIONS['log-size'],
  'hang-timeout': RUN_OPTIONS['hang-timeout'],
  'restart-window': RUN_OPTIONS['restart-window'],
  grace: RUN_OPTIONS.grace,
  solo: RUN_OPTIONS.solo,
  'busy-poll': RUN_OPTIONS['busy-poll'],
  'no-send-thread': RUN_OPTIONS['no-send-thread'],
  metrics: RUN_OPTIONS.metrics,
  events: RUN_OPTIONS.events,
  cluster: RUN_OPTIONS.cluster,
  node: RUN_OPTIONS.node,
  member: RUN_OPTIONS.member,
  agent: RUN_OPTIONS.agent,
} as const satisfies OptionTable;

/** The table of `ft-tcp gateway`. */
export const GATEWAY_COMMAND: CommandSpec<typeof OPTIONS> = {
  name: 'gateway',
  summary: 'relay clients to servers in any language; the same command starts its backup',
  usage: 'ft-tcp gateway [options] --listen ADDRESS:PORT --to ADDRESS:PORT[,…]',
  description: [
    "Relays TCP connections to ordinary servers. The client's connection and the one to its server survive the death of " +
      'the gateway.',
    'The first process of a group is the primary. The same command again starts the backup, which holds all connections ' +
      'as soon as it has joined.',
    'Clients and servers are reached through the TAP device (docs/guides/gateway.md).',
  ],
  options: OPTIONS,
  notes: ['Make the TAP device with: ip tuntap add dev ft0 mode tap user NAME multi_queue vnet_hdr'],
  exitCodes: {
    0: 'the group was drained, or this replica was switched over',
    1: 'the replica failed or was dropped',
    2: 'invalid command line or configuration file',
    3: 'this machine lacks something; see ft-tcp doctor',
    130: 'SIGINT',
    143: 'SIGTERM, and there was no backup to switch over to',
  },
  examples: [
    'ft-tcp gateway --listen 10.77.0.2:5432 --to 10.77.0.1:5432',
    'ft-tcp gateway --listen 10.77.0.2:80 --to 10.77.0.1:8080,10.77.0.1:8081 --health-check',
    'ft-tcp gateway --config gateway.json --cluster cluster.json --node a',
  ],
};

/** The arguments of `ft-tcp gateway`. */
export interface GatewayArguments {
  options: Omit<ReplicaOptions, 'group' | 'ringBytes'>;
  group: string;
  directory: string;
  logBytes: number;
  restartWindow: number;
  /** Make the device when it does not exist. */
  create: boolean;
  /** Milliseconds that connections have to close when the last replica is told to end. */
  graceMs: number;
  /** Where metrics are served. */
  metrics: MetricsAddress | undefined;
  /** Where events go; undefined: to standard error. */
  events: EventsTarget | undefined;
  services: ServiceSettings[];
  /** The configuration file, which `gateway reload` reads again; undefined: there is none. */
  config: string | undefined;
  /** Several machines: the file that describes them. */
  cluster: string | undefined;
  /** Which node of that file this is; undefined: by the host name. */
  node: string | undefined;
  /** Set in the replica's process of an agent: its role. */
  member: 'primary' | 'backup' | undefined;
}

/** Options that `--config` replaces. */
const SERVICE_OPTIONS = Object.keys(OPTIONS).filter(
  (name) => (OPTIONS[name as keyof typeof OPTIONS] as { section?: string }).section === SERVICE && name !== 'config',
);

/** Reads the command line of `ft-tcp gateway`. Throws FtError ERR_FT_USAGE, ERR_FT_CONFIG. */
export function gatewayArguments(argv: string[]): GatewayArguments {
  const values = parseOptions(GATEWAY_COMMAND, argv);
  checkCombination('gateway', values);
  if (values.config !== undefined) {
    const given = SERVICE_OPTIONS.find((name) =>
      argv.some((word) => word === `--${name}` || word.startsWith(`--${name}=`)),
    );
    if (given !== undefined) throw usageError('gateway', `--config and --${given} exclude each other`);
  }
  return {
    group: values.group,
    directory: values.dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0),
    logBytes: values['log-size'] * 1024 * 1024,
    restartWindow: values['restart-window'],
    create: values.create,
    graceMs: values.grace * 1000,
    metrics: values.metrics,
    events: values.events,
    services: values.config === undefined ? [serviceOf(values)] : readGatewayConfig(values.config),
    config: values.config,
    cluster: values.cluster,
    node: values.node,
    member: values.member,
    options: replicaOptions(values),
  };
}

function serviceOf(values: OptionValues<typeof OPTIONS>): ServiceSettings {
  const { listen, to } = values;
  if (listen === undefined || to.length === 0)
    throw usageError('gateway', 'No service given; expected --listen ADDRESS:PORT --to ADDRESS:PORT, or --config FILE');
  if (values.connect === 'late' && values['accept-proxy'])
    throw usageError(
      'gateway',
      '--connect late and --accept-proxy exclude each other: the header comes after the handshake',
    );
  const ms = (value: number): number => Math.round(value * 1000);
  return {
    name: 'default',
    listen,
    servers: to.flat(),
    balance: values.balance,
    connect: values.connect,
    connectTimeoutMs: Math.max(10, ms(values['connect-timeout'])),
    retries: values.retries,
    maxConnections: values['max-connections'],
    queue: values.queue,
    queueTimeoutMs: ms(values['queue-timeout']),
    holdMs: ms(values.hold),
    health: values['health-check'] ? HEALTH_DEFAULTS : null,
    acceptProxy: values['accept-proxy'],
    sendProxy: values['send-proxy'],
    clientTimeoutMs: ms(values['client-timeout']),
    serverTimeoutMs: ms(values['server-timeout']),
    keepAliveMs: ms(values['keep-alive']),
  };
}

function replicaOptions(values: OptionValues<typeof OPTIONS>): GatewayArguments['options'] {
  const { ip, gateway, mac, pcap, member, agent } = values;
  return {
    tap: values.tap,
    addresses: ip.length === 0 ? [DEFAULT_ADDRESS] : ip,
    ...(gateway.length === 0 ? {} : { gateway }),
    ...(mac === undefined ? {} : { mac }),
    ...(pcap === undefined ? {} : { pcap }),
    offload: !values['no-offload'],
    commit: values.commit ?? (values.cluster === undefined ? 'written' : 'acked'),
    mode: 'state',
    hangTimeoutMs: values['hang-timeout'],
    busyPollUs: values['busy-poll'] ?? defaultBusyPollUs(),
    sendThread: !values['no-send-thread'] && severalCpus(),
    solo: values.solo,
    ...(member === undefined || agent === undefined ? {} : { agentPid: agent }),
  };
}

const GATEWAY_GROUP_OPTIONS = { ...GROUP_OPTIONS, group: { ...GROUP_OPTIONS.group, default: 'gateway' } } as const;

const CONNECTIONS_OPTIONS = {
  ...GATEWAY_GROUP_OPTIONS,
  json: { ...JSON_OPTION, meaning: 'Print one JSON object.' },
} as const;

/** The table of `ft-tcp gateway connections`. */
export const GATEWAY_CONNECTIONS: CommandSpec<typeof CONNECTIONS_OPTIONS> = {
  name: 'gateway connections',
  summary: 'relays of a gateway, with ages, bytes and states',
  usage: 'ft-tcp gateway connections [--group NAME] [--dir DIR] [--json]',
  description: ['Lists the relays of the primary, and the state of services and servers.'],
  options: CONNECTIONS_OPTIONS,
  exitCodes: { 0: 'the primary has answered', 1: 'the group has no primary' },
  examples: ['ft-tcp gateway connections', 'ft-tcp gateway connections --json'],
};

/** The table of `ft-tcp gateway reload`. */
export const GATEWAY_RELOAD: CommandSpec<typeof GATEWAY_GROUP_OPTIONS> = {
  name: 'gateway reload',
  summary: 'read the configuration file of a gateway again, on all replicas',
  usage: 'ft-tcp gateway reload [--group NAME] [--dir DIR]',
  description: [
    'Each replica of this machine reads its file again. No connection ends by it.',
    'A file with a mistake changes nothing on any replica.',
  ],
  options: GATEWAY_GROUP_OPTIONS,
  exitCodes: { 0: 'all replicas use the new file', 1: 'a replica did not answer', 2: 'the file has a mistake' },
  examples: ['ft-tcp gateway reload'],
};

/** Reads the command line of `ft-tcp gateway connections`. Throws FtError ERR_FT_USAGE. */
export function connectionsArguments(argv: string[]): OptionValues<typeof CONNECTIONS_OPTIONS> {
  return parseOptions(GATEWAY_CONNECTIONS, argv);
}

/** Reads the command line of `ft-tcp gateway reload`. Throws FtError ERR_FT_USAGE. */
export function reloadArguments(argv: string[]): OptionValues<typeof GATEWAY_GROUP_OPTIONS> {
  return parseOptions(GATEWAY_RELOAD, argv);
}
