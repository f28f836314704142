/**
 * The program's connections: where it listens, what it opens, how each is followed (stream-check.ts), and what a replica that has not
 * seen the beginning is told of them.
 */
import { Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import { FtError } from '../../lib/errors.js';
import type {
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  Replication,
  StreamEndpoint,
} from '../../stack/sockets/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { Replayer } from '../backup/replayer.js';
import { keepHttp, keepOldHttp } from '../checkpoint/http-sessions.js';
import { ProcessCheckpoint } from '../checkpoint/process-checkpoint.js';
import { type UnclaimedConnection, UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import { ConnectionHistories } from '../log/connection-history.js';
import type { Follow } from '../log/records.js';
import type { RingWriter } from '../log/ring.js';
import type { Recorder } from '../primary/recorder.js';
import { isRestorable, StateTransfer } from '../primary/state-transfer.js';
import type { EventTime } from '../runtime/core/event-time.js';
import { virtualizeHttpServer } from '../runtime/protocols/http.js';
import type { Runtime } from '../runtime/runtime.js';
import { Listeners, restoring } from './listeners.js';
import { type OutputChecks, ReplicaEndpoint } from './replicated-endpoint.js';
import { followOf, ReplicationPolicy } from './replication-policy.js';

export interface ConnectionsHost {
  readonly stack: Stack;
  readonly runtime: Runtime;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  readonly role: 'primary' | 'backup';
  /** What the backup reads; null where there is nothing to read. */
  readonly replayer: Replayer | null;
}

/** What the options say. */
export interface ConnectionsMode {
  /** The whole group is in state mode. */
  stateMode: boolean;
  /** Nothing is replicated. */
  solo: boolean;
  statePorts: readonly number[];
  independentPorts: readonly number[] | 'all';
  /** Bytes of an independent connection's history, at most. */
  historyLimit: number;
}

export class Connections {
  /** By connection number, as the program got them. */
  readonly endpoints = new Map<number, ReplicaEndpoint>();
  /** Connections that are kept without a program. */
  readonly kept = new UnclaimedConnections();
  /** What the program has saved of itself. */
  readonly saved = new ProcessCheckpoint();
  readonly listeners: Listeners;
  /** Of independent connections. */
  readonly histories: ConnectionHistories;
  readonly #coverage: StateTransfer;
  readonly #https = new Set<HttpServer>();

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
    this.#coverage = new StateTransfer(stack.tcp, this.histories, mode.stateMode, () => this.taker);
    this.listeners = new Listeners({
      ...mode,
      stack,
      restored: this.kept,
      get serving() {
        return host.role === 'primary';
      },
      adopt: (conn, events, policy, restored) => {
        this.#adopt(conn, events, policy, restored);
      },
    });
    this.saved.onSave = (name, bytes) => this.#saves(name, bytes);
    this.saved.past = () => host.time.kind === 'historical';
  }

  /** As SocketHost.listen. */
  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    return this.listeners.listen(options, events);
  }

  /** As SocketHost.connect. On a backup it is the connection that the primary made at this point. */
  connect(options: { address: string; port: number; localAddress?: string; localPort?: number }): StreamEndpoint {
    const { stack, role, replayer, time } = this.host;
    // What comes of it would be missing in the history of whose event it is.
    this.histories.recordCrossConnection(time.owner);
    if (time.kind === 'historical') {
      const owner = this.endpoints.get(time.owner);
      if (owner !== undefined) this.host.checks.toDetach.add(owner);
      throw new FtError('EHOSTUNREACH', 'No connection is opened while the past is repeated', 'Nothing is to be done');
    }
    const { remote, local } = stack.connectAddresses(options.address, options.localAddress);
    const planned = role === 'backup' ? replayer?.outgoing() : undefined;
    const conn =
      planned === undefined
        ? stack.tcp.connect(remote, options.port, local, options.localPort ?? 0)
        : this.#recreate(planned.id, remote, options.port, planned.localAddress, planned.localPort);
    return this.#adopt(conn, null, this.#outgoing, null);
  }

  /** The program, which may take outgoing connections back that another one had opened. */
  taker: ListenerEvents | null = null;

  get #takes(): boolean {
    return this.taker !== null && restoring(this.taker) !== false;
  }

  /** After a takeover: it is given those of which the other one had saved something, before anything else. @returns how many */
  giveBackOutgoing(): number {
    const { taker } = this;
    const { stack } = this.host;
    if (taker === null || !this.#takes) return 0;
    const others = [];
    for (let other = stack.events.shift(); other !== undefined; other = stack.events.shift()) others.push(other);
    this.kept.giveBackOutgoing(stack.tcp.table, (conn, known) => {
      this.#adopt(conn, taker, this.mode.stateMode ? ReplicationPolicy.Shipped : ReplicationPolicy.Unreplicated, known);
    });
    const count = stack.events.length;
    for (const other of others) stack.events.push(other);
    return count;
  }

  /** How a connection is followed that the program makes now. */
  get #outgoing(): ReplicationPolicy {
    if (this.mode.solo) return ReplicationPolicy.None;
    if (this.mode.stateMode) return ReplicationPolicy.Shipped;
    if (this.host.time.isUnreplicated) return ReplicationPolicy.Unreplicated;
    // A replica that has not seen the beginning may not repeat the event that opens it.
    return this.listeners.covered && this.#takes ? ReplicationPolicy.ReplayedAndShipped : ReplicationPolicy.Replayed;
  }

  #recreate(id: number, remote: number, remotePort: number, local: number, localPort: number): TcpConnection {
    const { tcp } = this.host.stack;
    const route = tcp.host.tcpRoute(local, remote);
    if (route === null) throw new FtError('EHOSTUNREACH', 'No route to the host', 'Give the stack a gateway');
    const conn = tcp.create(id, local, localPort, remote, remotePort, route);
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
    // Without a log nobody asks for it by its number, or says when it is gone.
    if (this.mode.solo) return endpoint;
    this.endpoints.set(endpoint.id, endpoint);
    endpoint.registry = this.endpoints;
    return endpoint;
  }

  /** What a server of the program needs beside a listener. */
  prepareServer(server: Server, replication: Replication | undefined, port: number): void {
    if (!(server instanceof HttpServer)) return;
    virtualizeHttpServer(this.host.runtime, server);
    if (this.mode.solo) return;
    this.#https.add(server);
    server.once('close', () => this.#https.delete(server));
    if (this.listeners.inStateMode(replication, port)) keepHttp(server);
    else if (this.listeners.covered) keepOldHttp(server);
  }

  /** How a connection is followed that has no socket yet. */
  follow(conn: TcpConnection): Follow {
    return followOf(conn.listener === null ? this.#outgoing : this.listeners.policyOf(conn.listener));
  }

  /** The program has saved something: in the log it is for who does not repeat the event, or has not repeated all of them. */
  #saves(name: string, bytes: Uint8Array): void {
    const { time, checks } = this.host;
    if (this.mode.stateMode || time.isUnreplicated || this.listeners.covered) checks.sink?.saved(name, bytes);
  }

  // --- Replicas that join in the middle ---

  /** There are some: what they can be given back is shipped from here on. */
  cover(): void {
    if (!this.mode.stateMode) for (const server of this.#https) keepOldHttp(server);
    this.listeners.cover();
    for (const endpoint of this.endpoints.values())
      if (endpoint.policy === ReplicationPolicy.Replayed && isRestorable(endpoint, this.taker))
        endpoint.policy = ReplicationPolicy.ReplayedAndShipped;
  }

  /** One begins here. */
  recordJoin(recorder: Recorder): void {
    recorder.join();
    this.host.checks.sink?.savedAll(this.saved);
    this.cover();
    this.#coverage.begin();
    for (const entry of this.host.stack.tcp.timeWaits.values()) recorder.timeWait(entry);
  }

  /** Tells it of older connections, as far as there is room. @returns true when there is nothing left to tell */
  step(writer: RingWriter): boolean {
    const { sink: state } = this.host.checks;
    return state === null || this.#coverage.step(state, writer);
  }

  /** Whether the backup that joined last was told of a connection by its history. */
  repeats(conn: TcpConnection): boolean {
    return this.#coverage.repeats(conn.id);
  }

  /** Whether a backup knows a connection that follows since the connection with this number. */
  knows(conn: TcpConnection, first: number): boolean {
    if (conn.id < first && this.repeats(conn)) return true;
    const { user } = conn;
    const unsaved = user instanceof ReplicaEndpoint && user.unsaved;
    // Who has seen the beginning repeats it; to anybody else it could not be given back.
    if (unsaved && user.policy.shipped && !(user.policy.checksummed && first === 0)) return false;
    // Who has not seen the beginning may not have repeated what opened it.
    if (conn.active && first > 0 && !(user instanceof ReplicaEndpoint && user.context !== null)) return false;
    return conn.id >= first || this.#coverage.covers(conn.id);
  }
}
