/**
 * The gateway's configuration file: JSON, with the services and their servers. All of it is checked
 * before anything changes; each error names its place. docs/reference/gateway-config.md is made
 * from these tables (config-reference.ts).
 */

import {
  choice,
  configError,
  custom,
  type Field,
  type FieldOptions,
  flag,
  integer,
  invalidValue,
  list,
  type Place,
  readSection,
  type Section,
  text,
} from '../../lib/config-schema.js';
import { errorCode, FtError } from '../../lib/errors.js';
import { parseIPv4 } from '../../lib/ipv4-address.js';
import { parseIPv6 } from '../../lib/ipv6-address.js';
import { readFileSync } from '../../lib/own-node.js';
import {
  BALANCES,
  CONNECTS,
  HEALTH_DEFAULTS,
  type HostPort,
  hostPortText,
  MAX_WEIGHT,
  parseHostPort,
  SEND_PROXY,
  SERVER_DEFAULTS,
  SERVICE_DEFAULTS,
  type ServerSettings,
  type ServiceSettings,
} from './settings.js';

/** The reference page. */
const PAGE = 'docs/reference/gateway-config.md';
/** Services of a gateway, and servers of a service, at most. */
const MAX_SERVICES = 256;
const MAX_SERVERS = 256;
const MAX_MS = 86_400_000;
const MAX_CONNECTIONS = 100_000;
const HOST_PORT = 'ADDRESS:PORT, as 10.77.0.2:80 or [fd77::2]:80';

/** Whether a text is an IPv4 or IPv6 address. */
export function isAddress(value: string): boolean {
  return parseIPv4(value) !== undefined || parseIPv6(value) !== undefined;
}

function hostPort(options: FieldOptions<HostPort>): Field<HostPort> {
  return custom(HOST_PORT, options, (value) =>
    typeof value === 'string' ? parseHostPort(value, isAddress) : undefined,
  );
}

/** One entry of `servers`, as an object. */
export const SERVER = {
  address: hostPort({ meaning: 'Where the server listens, as the stack reaches it.' }),
  weight: integer(0, MAX_WEIGHT, '', {
    meaning: 'Its share of the connections. 0: no new connections.',
    fallback: SERVER_DEFAULTS.weight,
  }),
  backup: flag({ meaning: 'Used only while no other server is up.', fallback: SERVER_DEFAULTS.backup }),
  maxConnections: integer(0, MAX_CONNECTIONS, '', {
    meaning: 'Connections at a time. 0: no limit of its own.',
    fallback: SERVER_DEFAULTS.maxConnections,
  }),
} satisfies Section;

/** `healthCheck`, as an object. */
export const HEALTH = {
  intervalMs: integer(100, MAX_MS, 'ms', {
    meaning: 'Time between two checks of a server.',
    fallback: HEALTH_DEFAULTS.intervalMs,
  }),
  timeoutMs: integer(10, MAX_MS, 'ms', {
    meaning: 'A server that has not answered by then has failed the check.',
    fallback: HEALTH_DEFAULTS.timeoutMs,
  }),
  rise: integer(1, 100, '', {
    meaning: 'Successful checks until a server is up again.',
    fallback: HEALTH_DEFAULTS.rise,
  }),
  fall: integer(1, 100, '', {
    meaning: 'Failed checks, or connections, until a server is down.',
    fallback: HEALTH_DEFAULTS.fall,
  }),
} satisfies Section;

function ms(meaning: string, fallback: number): Field<number> {
  return integer(0, MAX_MS, 'ms', { meaning, fallback });
}

/** One entry of `services`. */
export const SERVICE = {
  name: text('a name of letters, digits, "." "_" and "-", at most 63', /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
    meaning: 'The name, in status and reports.',
  }),
  listen: hostPort({
    meaning: 'Where clients connect to: an address of the stack (`--ip`), or 0.0.0.0 for all of them.',
  }),
  servers: list(`a list of 1 to ${MAX_SERVERS} servers`, readServer, {
    meaning: 'The servers: each ADDRESS:PORT, or an object.',
    min: 1,
    max: MAX_SERVERS,
  }),
  balance: choice(BALANCES, {
    meaning: 'How a server is chosen: in turn, the one with the fewest connections, or by the hash of the client.',
    fallback: SERVICE_DEFAULTS.balance,
  }),
  connect: choice(CONNECTS, {
    meaning: "When a client's SYN is answered: at once, or when a server was reached.",
    fallback: SERVICE_DEFAULTS.connect,
  }),
  connectTimeoutMs: integer(10, MAX_MS, 'ms', {
    meaning: "Time for a server to accept a connection, and for a client's PROXY header.",
    fallback: SERVICE_DEFAULTS.connectTimeoutMs,
  }),
  retries: integer(0, 100, '', {
    meaning: 'Further servers that are tried, before the first byte, when one cannot be reached.',
    fallback: SERVICE_DEFAULTS.retries,
  }),
  maxConnections: integer(1, MAX_CONNECTIONS, '', {
    meaning: 'Connections at a time. Further clients wait in the queue.',
    fallback: SERVICE_DEFAULTS.maxConnections,
  }),
  queue: integer(0, MAX_CONNECTIONS, '', {
    meaning: 'Clients that wait for a server. Further ones are reset.',
    fallback: SERVICE_DEFAULTS.queue,
  }),
  queueTimeoutMs: ms('How long a client waits while all servers are full.', SERVICE_DEFAULTS.queueTimeoutMs),
  holdMs: ms('How long a client waits while no server can be reached. 0: it is reset.', SERVICE_DEFAULTS.holdMs),
  healthCheck: custom(
    'an object, true or false',
    {
      meaning: 'Whether servers are checked by connections, which are reset at once.',
      fallback: false,
      default: 'false',
    },
    (value): unknown => value,
  ),
  acceptProxy: flag({
    meaning: 'Clients begin with a header of the PROXY protocol, version 1 or 2. Others are reset.',
    fallback: SERVICE_DEFAULTS.acceptProxy,
  }),
  sendProxy: choice(SEND_PROXY, {
    meaning: 'The header of the PROXY protocol that servers are sent.',
    fallback: SERVICE_DEFAULTS.sendProxy,
  }),
  clientTimeoutMs: ms(
    'A connection ends when its client has neither sent nor acknowledged data for this long. 0: never.',
    SERVICE_DEFAULTS.clientTimeoutMs,
  ),
  serverTimeoutMs: ms('The same for its server.', SERVICE_DEFAULTS.serverTimeoutMs),
  keepAliveMs: ms('Idle time before TCP keepalive on both sides. 0: never.', SERVICE_DEFAULTS.keepAliveMs),
} satisfies Section;

/** The file itself. */
export const GATEWAY = {
  services: list(`a list of 1 to ${MAX_SERVICES} services`, readService, {
    meaning: 'All services.',
    min: 1,
    max: MAX_SERVICES,
  }),
} satisfies Section;

/** Rules on more than one key. */
export const RULES = {
  names: 'the names of all services differ',
  listens: 'no two services listen on one address and port',
  servers: 'no server is listed twice in a service',
  late: 'connect "late" and acceptProxy exclude each other: the header comes after the handshake',
} as const;

function readServer(value: unknown, place: Place): ServerSettings {
  if (typeof value === 'string') {
    const parsed = parseHostPort(value, isAddress);
    if (parsed === undefined) throw invalidValue(place, value, HOST_PORT);
    return { ...parsed, ...SERVER_DEFAULTS };
  }
  const { address, ...rest } = readSection(SERVER, value, place);
  return { ...address, ...rest };
}

function readService(value: unknown, place: Place): ServiceSettings {
  const { healthCheck, ...rest } = readSection(SERVICE, value, place);
  const health =
    healthCheck === false
      ? null
      : readSection(HEALTH, healthCheck === true ? {} : healthCheck, { ...place, key: `${place.key}.healthCheck` });
  const service = { ...rest, health };
  if (service.connect === 'late' && service.acceptProxy)
    throw configError(place.file, `${place.key}.connect: "late"; expected: ${RULES.late}`, PAGE);
  const seen = new Set<string>();
  service.servers.forEach((server, i) => {
    const name = hostPortText(server);
    if (seen.has(name))
      throw configError(place.file, `${place.key}.servers[${i}]: ${name} again; ${RULES.servers}`, PAGE);
    seen.add(name);
  });
  return service;
}

/** Checks the content of a file. Throws FtError ERR_FT_CONFIG. */
export function parseGatewayConfig(content: string, file: string): ServiceSettings[] {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw configError(file, `not JSON (${error instanceof Error ? error.message : String(error)})`, PAGE);
  }
  const { services } = readSection(GATEWAY, json, { file, key: '', page: PAGE });
  const names = new Set<string>();
  const listens = new Set<string>();
  services.forEach(({ name, listen }, i) => {
    const where = hostPortText(listen);
    if (names.has(name)) throw configError(file, `services[${i}].name: "${name}" again; ${RULES.names}`, PAGE);
    if (listens.has(where)) throw configError(file, `services[${i}].listen: ${where} again; ${RULES.listens}`, PAGE);
    names.add(name);
    listens.add(where);
  });
  return services;
}

/** Reads a file. Throws FtError ERR_FT_CONFIG. */
export function readGatewayConfig(file: string): ServiceSettings[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof FtError) throw error;
    throw configError(file, `cannot be read (${errorCode(error) ?? 'error'})`, PAGE);
  }
  return parseGatewayConfig(content, file);
}
