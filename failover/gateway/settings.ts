/** What a gateway is to do, as its configuration or the command line says; checked. */

/** How the server of a new connection is chosen. */
export const BALANCES = ['roundrobin', 'leastconn', 'source'] as const;
/** The name of a way to choose. */
export type Balance = (typeof BALANCES)[number];

/** How the server is told who the client is (PROXY protocol). */
export const SEND_PROXY = ['none', 'v1', 'v2'] as const;
/** A version of the PROXY protocol, or none. */
export type SendProxy = (typeof SEND_PROXY)[number];

/** Whether a client's handshake is completed before, or after a server was reached. */
export const CONNECTS = ['early', 'late'] as const;
/** When a client's handshake is completed. */
export type ConnectTime = (typeof CONNECTS)[number];

/** An address with a port. */
export interface HostPort {
  /** IPv4 or IPv6, as text. */
  address: string;
  port: number;
}

/** One server of a service. */
export interface ServerSettings extends HostPort {
  /** Share of the connections, 0 to 256; 0: no new connections. */
  weight: number;
  /** Used only while no other server is there. */
  backup: boolean;
  /** Connections at a time; 0: no limit of its own. */
  maxConnections: number;
}

/** How a server's health is checked: by a connection, which is reset at once. */
export interface HealthSettings {
  intervalMs: number;
  timeoutMs: number;
  /** Successful checks until a server is up again. */
  rise: number;
  /** Failed checks, or connections, until a server is down. */
  fall: number;
}

/** One service: a port for clients, and the servers behind it. */
export interface ServiceSettings {
  name: string;
  listen: HostPort;
  servers: ServerSettings[];
  balance: Balance;
  connect: ConnectTime;
  connectTimeoutMs: number;
  /** Further servers that are tried when one cannot be reached. */
  retries: number;
  /** Connections at a time. */
  maxConnections: number;
  /** Connections that wait for a server, at most. */
  queue: number;
  /** How long one waits in the queue, milliseconds. */
  queueTimeoutMs: number;
  /** How long a connection waits while no server is there, milliseconds; 0: it is refused. */
  holdMs: number;
  /** Null: servers are not checked. */
  health: HealthSettings | null;
  /** Clients begin with a PROXY header, version 1 or 2. */
  acceptProxy: boolean;
  sendProxy: SendProxy;
  /**
   * The connection ends when the client has neither sent nor acknowledged data for this long; 0:
   * never.
   */
  clientTimeoutMs: number;
  /** The same for the server. */
  serverTimeoutMs: number;
  /** Idle time before TCP keepalive asks either side whether it is there; 0: never. */
  keepAliveMs: number;
}

/** What a service has that says nothing else. */
export const SERVICE_DEFAULTS = {
  balance: 'roundrobin',
  connect: 'early',
  connectTimeoutMs: 3000,
  retries: 3,
  maxConnections: 50_000,
  queue: 1024,
  queueTimeoutMs: 5000,
  holdMs: 0,
  acceptProxy: false,
  sendProxy: 'none',
  clientTimeoutMs: 0,
  serverTimeoutMs: 0,
  keepAliveMs: 60_000,
} as const satisfies Partial<ServiceSettings>;

/** What a server has that says nothing else. */
export const SERVER_DEFAULTS = { weight: 1, backup: false, maxConnections: 0 } as const;

/** Checks by default. */
export const HEALTH_DEFAULTS: HealthSettings = { intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 };

/** The largest weight of a server. */
export const MAX_WEIGHT = 256;

/** Reads `ADDRESS:PORT`, or `[ADDRESS]:PORT` for IPv6. @returns undefined for anything else */
export function parseHostPort(text: string, isAddress: (text: string) => boolean): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const address = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  return port >= 1 && port <= 65_535 && isAddress(address) ? { address, port } : undefined;
}

/** An address with its port as text. */
export function hostPortText({ address, port }: HostPort): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
