/**
 * The gateway: relays between clients and servers that know nothing of it (stack/relay). The
 * primary listens, chooses servers and checks them. A backup holds the connections and their pairs,
 * as the log tells it, and runs nothing of this; at a takeover it begins here.
 */
import { FtError } from '../../lib/errors.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { Relay } from '../../stack/relay/relay.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { stateName, TcpState } from '../../stack/tcp/state.js';
import type { Resident } from '../connections/connections.js';
import { HealthCheck } from './health-check.js';
import { InheritedConnections } from './inherited.js';
import type { Server } from './server.js';
import { Service, streamBytes } from './service.js';
import { keepAlive, Session, type SessionHost } from './session.js';
import { hostPortText, type ServiceSettings } from './settings.js';

/** Relays are looked at for idle ones at this interval, microseconds. */
const IDLE_LOOK_US = 1_000_000;
/** Half-open connections of a service, at most. */
const BACKLOG = 1024;

/** One relay, for `ft-tcp gateway connections`. */
export interface RelayReport {
  service: string;
  client: string;
  server: string;
  /** Seconds since this replica knows the pair. */
  ageSeconds: number;
  bytesFromClient: number;
  bytesFromServer: number;
  clientState: string;
  serverState: string;
}

/** All services of one stack. */
export class Gateway implements Resident {
  readonly #host: SessionHost;
  readonly #inherited: InheritedConnections;
  #services: Service[];
  #checks: HealthCheck[] = [];
  #isOpen = false;
  readonly #idle = new TimerNode(() => this.#endIdle());
  /** A server is up or down from now on, as its health checks say. */
  onHealth: ((service: Service, server: Server) => void) | null = null;

  /** @param wrote as SessionHost.wrote */
  constructor(stack: Stack, wrote: SessionHost['wrote'], services: readonly ServiceSettings[]) {
    this.#inherited = new InheritedConnections(stack);
    this.#host = { stack, wrote, inherited: this.#inherited };
    this.#services = services.map((settings) => this.#make(settings));
    stack.relays.onEnded = (relay) => {
      for (const service of this.#services) if (service.relayEnded(relay)) return;
    };
  }

  #make(settings: ServiceSettings): Service {
    return new Service(settings, (service, server) => this.onHealth?.(service, server));
  }

  get #stack(): Stack {
    return this.#host.stack;
  }

  /** The services, as they are configured now. */
  get services(): readonly Service[] {
    return this.#services;
  }

  /**
   * Begins to serve, on a primary. Throws FtError EADDRNOTAVAIL for an address that the stack does
   * not have, EADDRINUSE for one that two services listen on.
   */
  open(): void {
    this.#isOpen = true;
    for (const service of this.#services) this.#listen(service);
    this.#startChecks();
    this.#stack.wheel.schedule(this.#idle, this.#stack.now() + IDLE_LOOK_US);
  }

  takeOver(): void {
    this.open();
    const stack = this.#stack;
    const unpaired: TcpConnection[] = [];
    stack.tcp.table.forEach((conn) => {
      if (conn.user === null && !conn.orphan) unpaired.push(conn);
    });
    stack.relays.forEach((relay) => {
      this.#adoptRelay(relay);
    });
    // One that was sent a header belongs to a client that is gone.
    this.#inherited.add(unpaired.filter((conn) => conn.active && !conn.finQueued && conn.sendBuffer.end === 0));
    for (const conn of unpaired) if (conn.user === null) this.#adopt(conn);
  }

  /** A pair of the predecessor. Its server may be one that is not configured any more. */
  #adoptRelay(relay: Relay): void {
    const { client, server: connection } = relay;
    const service = this.#serviceOf(client);
    if (service === undefined) return;
    const { book } = this.#stack;
    const name = hostPortText({ address: book.format(connection.remoteAddress), port: connection.remotePort });
    const server = service.serverAt(name);
    if (server !== undefined) {
      server.active++;
      service.relays.set(relay, server);
    }
    keepAlive(client, service.settings.keepAliveMs);
    keepAlive(connection, service.settings.keepAliveMs);
  }

  /** A connection of the predecessor that has no pair. */
  #adopt(conn: TcpConnection): void {
    const { tcp } = this.#stack;
    // The other one of its pair has ended, and it delivers its last bytes.
    if (conn.finQueued) {
      conn.orphan = true;
      return;
    }
    const service = conn.active ? undefined : this.#serviceOf(conn);
    if (service === undefined || service.listener === null) {
      tcp.abort(conn);
      return;
    }
    conn.listener = service.listener;
    if (conn.state === TcpState.SynRcvd) service.listener.halfOpen++;
    if (conn.established || conn.synHeld) this.#begin(service, conn);
  }

  #serviceOf(client: TcpConnection): Service | undefined {
    return this.#services.find(
      ({ listener }) => listener?.port === client.localPort && listener.takes(client.localAddress),
    );
  }

  #listen(service: Service): void {
    const { tcp } = this.#stack;
    const { listen, connect } = service.settings;
    const begin = (conn: TcpConnection): void => this.#begin(service, conn);
    service.listener = tcp.listen(this.#stack.listenAddress(listen.address), listen.port, BACKLOG, begin, {
      ...(connect === 'late' ? { onSyn: begin } : {}),
    });
  }

  #begin(service: Service, conn: TcpConnection): void {
    // With `late` its handshake is complete now, and it has its server.
    if (conn.user !== null) return;
    service.counters.clients++;
    service.sessions.add(new Session(this.#host, service, conn));
  }

  // --- Checks ---

  #startChecks(): void {
    for (const check of this.#checks) check.stop();
    this.#checks = [];
    for (const service of this.#services) {
      const { health } = service.settings;
      if (health === null) continue;
      service.servers.forEach((server, i) => {
        // Not all at once.
        const delayUs = (health.intervalMs * 1000 * i) / service.servers.length;
        this.#checks.push(new HealthCheck(this.#stack, service, server, delayUs));
      });
    }
  }

  #endIdle(): void {
    const stack = this.#stack;
    const now = stack.now();
    for (const service of this.#services) {
      const { clientTimeoutMs, serverTimeoutMs } = service.settings;
      if (clientTimeoutMs === 0 && serverTimeoutMs === 0) continue;
      for (const relay of service.relays.keys()) {
        const idle = (conn: TcpConnection, ms: number): boolean =>
          ms > 0 && now - Math.max(relay.openedUs, conn.lastDataReceivedUs, conn.progressUs) >= ms * 1000;
        if (!idle(relay.client, clientTimeoutMs) && !idle(relay.server, serverTimeoutMs)) continue;
        service.counters.idleTimeouts++;
        relay.abort();
      }
    }
    stack.wheel.schedule(this.#idle, now + IDLE_LOOK_US);
  }

  // --- Changes ---

  /**
   * Takes new settings; no relay ends by it. Services are the same if their names are. Throws
   * FtError EADDRNOTAVAIL, EADDRINUSE; then nothing has changed.
   */
  reload(settings: readonly ServiceSettings[]): void {
    for (const { listen } of settings) this.#stack.listenAddress(listen.address);
    refuseDoubles(settings);
    const old = this.#services;
    this.#services = settings.map((one) => {
      const known = old.find(({ settings: { name } }) => name === one.name);
      if (known === undefined) return this.#make(one);
      const moved = hostPortText(known.settings.listen) !== hostPortText(one.listen);
      if (known.listener !== null && (moved || known.settings.connect !== one.connect)) this.#unlisten(known);
      known.update(one);
      return known;
    });
    for (const service of old) if (!this.#services.includes(service)) this.#unlisten(service);
    if (!this.#isOpen) return;
    for (const service of this.#services) if (service.listener === null) this.#listen(service);
    this.#startChecks();
  }

  #unlisten(service: Service): void {
    if (service.listener !== null) this.#stack.tcp.unlisten(service.listener);
    service.listener = null;
  }

  // --- Reports ---

  get counters(): Readonly<Record<string, number>> {
    const sum: Record<string, number> = { services: this.#services.length, sessions: 0, waiting: 0 };
    for (const { counters, sessions, waiting } of this.#services) {
      sum['sessions'] += sessions.size;
      sum['waiting'] += waiting.size;
      for (const [name, value] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + value;
    }
    return sum;
  }

  /** All relays, at most `max`. */
  relays(max: number): RelayReport[] {
    const { book, relays } = this.#stack;
    const now = this.#stack.now();
    const out: RelayReport[] = [];
    const end = (address: number, port: number): string => hostPortText({ address: book.format(address), port });
    relays.forEach((relay) => {
      if (out.length >= max) return;
      const { client, server } = relay;
      out.push({
        service: this.#serviceOf(client)?.settings.name ?? '',
        client: end(client.remoteAddress, client.remotePort),
        server: end(server.remoteAddress, server.remotePort),
        ageSeconds: Math.floor((now - relay.openedUs) / 1e6),
        bytesFromClient: streamBytes(client),
        bytesFromServer: streamBytes(server),
        clientState: stateName(client.state),
        serverState: stateName(server.state),
      });
    });
    return out;
  }
}

/** Throws FtError EADDRINUSE when two services listen on one address and port. */
export function refuseDoubles(settings: readonly ServiceSettings[]): void {
  const seen = new Map<string, string>();
  for (const { name, listen } of settings) {
    const where = hostPortText(listen);
    const other = seen.get(where);
    if (other !== undefined)
      throw new FtError(
        'EADDRINUSE',
        `The services ${other} and ${name} both listen on ${where}`,
        'Change one of them',
      );
    seen.set(where, name);
  }
}
