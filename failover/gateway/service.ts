/** One service of a gateway: its listener, its servers, its clients, and their limits. */
import type { Relay } from '../../stack/relay/relay.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { TcpListener } from '../../stack/tcp/handshake/listener.js';
import { chooseServer, Server } from './server.js';
import { hostPortText, type ServiceSettings } from './settings.js';

/** What a service has counted; they begin at 0 on each replica. */
export class ServiceCounters {
  /** Clients that came. */
  clients = 0;
  /** Clients that got a server. */
  paired = 0;
  /** Clients that were reset without a server. */
  refused = 0;
  /** Clients that waited for a server. */
  queued = 0;
  queueTimeouts = 0;
  queueOverflows = 0;
  retries = 0;
  connectFailures = 0;
  proxyErrors = 0;
  idleTimeouts = 0;
  /** Bytes of relays that have ended. */
  bytesFromClients = 0;
  bytesFromServers = 0;
}

/** The counters of all services together, and what there is now. */
export type GatewayCounters = { services: number; sessions: number; waiting: number } & {
  [name in keyof ServiceCounters]: number;
};

/** A client without a server (session.ts). */
export interface ServerlessClient {
  /** There may be a server for it now. */
  wake(): void;
}

/** One service. */
export class Service {
  readonly counters = new ServiceCounters();
  servers: Server[];
  /** Where clients come; null: it does not listen. */
  listener: TcpListener | null = null;
  /** Clients that have no server yet. */
  readonly sessions = new Set<ServerlessClient>();
  /** Those of them that wait for one, the oldest first. */
  readonly waiting = new Set<ServerlessClient>();
  /** Relays, and the server of each. */
  readonly relays = new Map<Relay, Server>();

  constructor(
    public settings: ServiceSettings,
    /** A server is up or down from now on. */
    readonly onHealth: (service: Service, server: Server) => void = () => undefined,
  ) {
    this.servers = settings.servers.map((server) => new Server(server));
  }

  /** Its listener's address and port. */
  get listenText(): string {
    return hostPortText(this.settings.listen);
  }

  /** It has as many connections as it may have, or each of its servers has. */
  get isFull(): boolean {
    if (this.relays.size + this.#connecting > this.settings.maxConnections) return true;
    return this.servers.some(({ up, full, settings }) => up && full && settings.weight > 0);
  }

  /** Clients whose server is being connected to. */
  get #connecting(): number {
    return this.sessions.size - this.waiting.size;
  }

  /**
   * A server for a client, null for none now.
   * @param source the client's address, as text
   */
  choose(session: ServerlessClient, tried: ReadonlySet<Server>, source: () => string): Server | null {
    const { balance, maxConnections } = this.settings;
    const waits = this.waiting.has(session) ? 1 : 0;
    if (this.relays.size + this.#connecting + waits > maxConnections) return null;
    return chooseServer(this.servers, balance, tried, balance === 'source' ? source() : '');
  }

  /** A connection to a server could not be opened. */
  failed(server: Server): void {
    this.counters.connectFailures++;
    server.counters.connectFailures++;
    this.noteHealth(server, false);
  }

  /** A check, or a connection, has succeeded or failed. */
  noteHealth(server: Server, ok: boolean): void {
    const { health } = this.settings;
    server.successes = ok ? server.successes + 1 : 0;
    server.failures = ok ? 0 : server.failures + 1;
    // Without checks nothing would bring it back.
    if (health === null) return;
    if (server.up && server.failures >= health.fall) {
      server.up = false;
      this.onHealth(this, server);
    } else if (!server.up && server.successes >= health.rise) {
      server.up = true;
      this.onHealth(this, server);
      for (const session of this.waiting) session.wake();
    }
  }

  /** A client has got its server. */
  paired(relay: Relay, server: Server): void {
    this.counters.paired++;
    server.counters.connections++;
    server.failures = 0;
    this.relays.set(relay, server);
  }

  /** A session is over: it has become a relay, or its client is gone. */
  sessionEnded(session: ServerlessClient): void {
    this.sessions.delete(session);
    this.waiting.delete(session);
    this.#wakeNext();
  }

  /** @returns whether the relay was one of this service */
  relayEnded(relay: Relay): boolean {
    const server = this.relays.get(relay);
    if (server === undefined) return false;
    this.relays.delete(relay);
    server.active--;
    this.counters.bytesFromClients += streamBytes(relay.client);
    this.counters.bytesFromServers += streamBytes(relay.server);
    this.#wakeNext();
    return true;
  }

  #wakeNext(): void {
    for (const session of this.waiting) {
      session.wake();
      return;
    }
  }

  /** The server with an address and port; undefined for none. */
  serverAt(name: string): Server | undefined {
    return this.servers.find((server) => server.name === name);
  }

  /** Takes new settings. Servers that stay keep their state; relays of others go on. */
  update(settings: ServiceSettings): void {
    this.settings = settings;
    this.servers = settings.servers.map((one) => {
      const known = this.serverAt(hostPortText(one));
      if (known === undefined) return new Server(one);
      known.settings = one;
      if (settings.health === null) known.up = true;
      return known;
    });
    for (const session of this.waiting) session.wake();
  }
}

/** Bytes of a connection that were received in order. */
export function streamBytes(conn: TcpConnection): number {
  return Math.max(0, conn.rcvNxt - 1 - (conn.peerFin ? 1 : 0));
}
