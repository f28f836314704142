/**
 * The program's connections: where it listens, which it opens, how each one is replicated
 * (replicated-endpoint.ts), and which it is given back after a takeover.
 */
import { Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import { FtError } from '../../lib/errors.js';
import type {
  ConnectTarget,
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  Replication,
  StreamEndpoint,
} from '../../stack/core/endpoint.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { ConnectionHistories } from '../log/connection-history.js';
import type { Follow } from '../log/records.js';
import type { EventTime } from '../runtime/core/event-time.js';
import { virtualizeHttpServer } from '../runtime/protocols/http-checks.js';
import type { Runtime } from '../runtime/runtime.js';
import { checkpointExistingHttp, checkpointHttp } from './checkpoint/http-sessions.js';
import { MovedCount } from './checkpoint/moved-connections.js';
import { ProcessCheckpoint } from './checkpoint/process-checkpoint.js';
import { type UnclaimedConnection, UnclaimedConnections } from './checkpoint/unclaimed-connections.js';
import { Listeners } from './listeners.js';
import { type OutsideHost, OutsideSockets } from './outside-sockets.js';
import { type OutputChecks, ReplicaEndpoint } from './replicated-endpoint.js';
import { followOf, ReplicationPolicy } from './replication-policy.js';
import { isRestorable, restoring } from './restorable.js';

/** An outgoing connection, as the primary opened it. */
export interface LoggedConnection {
  id: number;
  /** As the stack's address book numbers it. */
  localAddress: number;
  localPort: number;
}

/** What {@link Connections} needs of the replica. */
export interface ConnectionsHost extends OutsideHost {
  readonly runtime: Runtime;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  readonly role: 'primary' | 'backup';
  /**
   * Backup: the outgoing connection that the primary opened at this point; undefined at the end of
   * the log.
   */
  loggedOutgoing(): LoggedConnection | undefined;
}

/** How a replica's connections are replicated, as its options say. */
export interface ConnectionsMode {
  /** The whole group is in state mode. */
  stateMode: boolean;
  /** Nothing is replicated. */
  solo: boolean;
  /** Ports in state mode though the group is not. */
  statePorts: readonly number[];
  /** Ports whose connections do not depend on each other; `all`: of all servers. */
  independentPorts: readonly number[] | 'all';
  /** Bytes of an independent connection's history, at most. */
  historyLimit: number;
}

/** What serves connections of the stack itself, beside the program's sockets: a gateway. */
export interface Resident {
  /** A backup has become the primary, and its connections have resumed. */
  takeOver(): void;
  /** For the status, by the name of the counter. */
  readonly counters: Readonly<Record<string, number>>;
}

/** All connections of a replica's program. */
export class Connections {
  /** By connection number, as the program got them. */
  readonly endpoints = new Map<number, ReplicaEndpoint>();
  /** Connections that no program of this process owns. */
  readonly unclaimed = new UnclaimedConnections();
  /** Values that the program saved of itself. */
  readonly checkpoint = new ProcessCheckpoint();
  /** What became of connections of another program. */
  readonly moved: MovedCount;
  readonly listeners: Listeners;
  /** Connections and servers that are the kernel's. */
  readonly outside: OutsideSockets;
  /** Histories of independent connections. */
  readonly histories: ConnectionHistories;
  /** Restores outgoing connections that another program had opened; null: nobody does. */
  restoreHandler: ListenerEvents | null = null;
  /** Serves connections of the stack itself; null: nobody does. */
  resident: Resident | null = null;
  readonly #https = new Set<HttpServer>();
  /** Backup: connections to be reset. */
  readonly #toReset = new Set<ReplicaEndpoint>();

  constructor(
    readonly host: ConnectionsHost,
    readonly mode: ConnectionsMode,
  ) {
    const { stack } = host;
    const limit = mode.solo || mode.stateMode ? 0 : mode.historyLimit;
    this.histories = new ConnectionHistories(
      limit,
      ({ listener }) => listener !== null && this.listeners.independent(listener),
    );
    host.checks.histories = this.histories;
    this.moved = new MovedCount(() => host.time.nowUs());
    const { moved } = this;
    this.listeners = new Listeners({
      ...mode,
      ...{ stack, moved },
      unclaimed: this.unclaimed,
      get serving() {
        return host.role === 'primary';
      },
      adopt: (conn, events, policy, restored) => {
        this.#adopt(conn, events, policy, restored);
      },
    });
    this.outside = new OutsideSockets(host);
    this.checkpoint.onSave = (name, bytes) => this.#onSave(name, bytes);
    this.checkpoint.isHistorical = () => host.time.kind === 'historical' || host.standby != null;
  }

  /** As SocketHost.listen. */
  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    return this.listeners.listen(options, events);
  }

  /**
   * As SocketHost.connect. On a backup it is the connection that the primary opened at this point.
   */
  connect(options: ConnectTarget): StreamEndpoint {
    const { stack, role, time } = this.host;
    const kernel = this.outside.connect(options, this.host.standby != null);
    if (kernel !== null) return kernel;
    // Its consequences would be missing in the history of the connection whose event this is.
    this.histories.recordCrossConnection(time.owner);
    if (time.kind === 'historical') {
      const owner = this.endpoints.get(time.owner);
      if (owner !== undefined) this.host.checks.toDetach.add(owner);
      throw new FtError('EHOSTUNREACH', 'No connection is opened while a history is replayed', 'Nothing is to be done');
    }
    const { remote, local } = stack.connectAddresses(options.address, options.localAddress);
    const logged = role === 'backup' ? this.host.loggedOutgoing() : undefined;
    const conn =
      logged === undefined
        ? stack.tcp.connect(remote, options.port, local, options.localPort ?? 0)
        : this.#recreate(logged, remote, options.port);
    return this.#adopt(conn, null, this.#outgoing, null);
  }

  get #restoresOutgoing(): boolean {
    return this.restoreHandler !== null && restoring(this.restoreHandler) !== false;
  }

  /**
   * After a takeover: the program is given the outgoing connections of which the other one had
   * saved something, before any other event. @returns how many
   */
  restoreOutgoing(): number {
    const { restoreHandler, moved } = this;
    const { stack } = this.host;
    moved.reset.outgoingUnsaved = this.unclaimed.countOutgoing(stack.tcp.table);
    if (restoreHandler === null || !this.#restoresOutgoing) return 0;
    const others = [];
    for (let other = stack.events.shift(); other !== undefined; other = stack.events.shift()) others.push(other);
    this.unclaimed.restoreOutgoing(stack.tcp.table, (conn, unclaimed) => {
      this.#adopt(
        conn,
        restoreHandler,
        this.mode.stateMode ? ReplicationPolicy.Shipped : ReplicationPolicy.Unreplicated,
        unclaimed,
      );
    });
    const count = stack.events.length;
    moved.moved.outgoing += count;
    moved.reset.outgoingUnsaved -= count;
    for (const other of others) stack.events.push(other);
    return count;
  }

  /** How a connection is followed that the program opens now. */
  get #outgoing(): ReplicationPolicy {
    if (this.mode.solo) return ReplicationPolicy.None;
    if (this.mode.stateMode) return ReplicationPolicy.Shipped;
    if (this.host.time.isUnreplicated) return ReplicationPolicy.Unreplicated;
    // A late joiner may not replay the event that opens it.
    return this.listeners.hasLateJoiner && this.#restoresOutgoing
      ? ReplicationPolicy.ReplayedAndShipped
      : ReplicationPolicy.Replayed;
  }

  #recreate({ id, localAddress, localPort }: LoggedConnection, remote: number, remotePort: number): TcpConnection {
    const { tcp } = this.host.stack;
    const route = tcp.host.tcpRoute(localAddress, remote);
    if (route === null) throw new FtError('EHOSTUNREACH', 'No route to the host', 'Give the stack a gateway');
    const conn = tcp.create({ id, localAddress, localPort, remoteAddress: remote, remotePort, route });
    conn.active = true;
    return conn;
  }

  #adopt(
    conn: TcpConnection,
    events: ListenerEvents | null,
    policy: ReplicationPolicy,
    restored: UnclaimedConnection | null,
  ): ReplicaEndpoint {
    const { stack, checks } = this.host;
    const endpoint = new ReplicaEndpoint(conn, stack.events, events, { checks, policy, restored });
    // Without a log nobody looks it up by its number, or reports its end.
    if (this.mode.solo) return endpoint;
    this.endpoints.set(endpoint.id, endpoint);
    endpoint.registry = this.endpoints;
    return endpoint;
  }

  /** Resets a connection; a backup, whose stack is silent, does so when it has taken over. */
  reset(id: number): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) return;
    if (this.host.role === 'primary') endpoint.abort();
    else this.#toReset.add(endpoint);
  }

  /** After a takeover: connections are given to those who serve them now. */
  takeOver(nowUs: number): void {
    for (const endpoint of this.#toReset) endpoint.abort();
    this.#toReset.clear();
    this.listeners.takeOver(nowUs);
    this.resident?.takeOver();
  }

  /** A connection is gone; its socket may still have to be told of data, or of the end. */
  removed(conn: TcpConnection): void {
    if (this.endpoints.get(conn.id)?.finished === true) this.endpoints.delete(conn.id);
  }

  /** Prepares a server of the program, beside its listener. */
  prepareServer(server: Server, replication: Replication | undefined, port: number): void {
    virtualizeHttpServer(this.host.runtime, server);
    if (this.mode.solo || !(server instanceof HttpServer)) return;
    this.#https.add(server);
    server.once('close', () => this.#https.delete(server));
    if (this.listeners.inStateMode(replication, port)) {
      if (checkpointHttp(server, this.moved)) this.listeners.countedByServer.add(port);
    } else if (this.listeners.hasLateJoiner) checkpointExistingHttp(server);
  }

  /** How a connection is followed that has no socket yet. */
  follow(conn: TcpConnection): Follow {
    return followOf(conn.listener === null ? this.#outgoing : this.listeners.policyOf(conn.listener));
  }

  /**
   * The program has saved a value: logged for a backup that does not replay the event, or has not
   * replayed all events.
   */
  #onSave(name: string, bytes: Uint8Array): void {
    const { time, checks } = this.host;
    if (this.mode.stateMode || time.isUnreplicated || this.listeners.hasLateJoiner) checks.sink?.saved(name, bytes);
  }

  /** A backup has not seen the beginning: from here on, what it could restore is shipped to it. */
  admitLateJoiner(): void {
    if (!this.mode.stateMode) for (const server of this.#https) checkpointExistingHttp(server);
    this.listeners.admitLateJoiner();
    for (const endpoint of this.endpoints.values())
      if (endpoint.policy === ReplicationPolicy.Replayed && isRestorable(endpoint, this.restoreHandler))
        endpoint.policy = ReplicationPolicy.ReplayedAndShipped;
  }
}
