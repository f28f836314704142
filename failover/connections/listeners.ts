/**
 * Where the program listens, how each listener's connections are followed, and who restores
 * existing connections.
 */
import { FtError } from '../../lib/errors.js';
import { isV6 } from '../../stack/core/address-book.js';
import type { ListenerEvents, ListenerHandle, ListenOptions } from '../../stack/core/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { ConnectionListener, TcpConnection } from '../../stack/tcp/connection.js';
import type { TcpListener } from '../../stack/tcp/handshake/listener.js';
import type { MovedCount } from './checkpoint/moved-connections.js';
import type { UnclaimedConnection, UnclaimedConnections } from './checkpoint/unclaimed-connections.js';
import { ReplicationPolicy } from './replication-policy.js';
import { restoring } from './restorable.js';

/** After a takeover, connections that nobody has claimed within this time are reset. */
const CLAIM_US = 10_000_000;
const DEFAULT_BACKLOG = 511;

/** What {@link Listeners} needs of the replica. */
export interface ListenerHost {
  readonly stack: Stack;
  /** The whole group is in state mode. */
  readonly stateMode: boolean;
  /** Nothing is replicated. */
  readonly solo: boolean;
  /** Ports in state mode though the group is not. */
  readonly statePorts: readonly number[];
  readonly independentPorts: readonly number[] | 'all';
  /** Connections that no program of this process owns. */
  readonly unclaimed: UnclaimedConnections;
  readonly moved: MovedCount;
  /** A server that begins to listen may be given connections of another program. */
  readonly serving: boolean;
  /** Gives a connection to the program. */
  adopt(
    conn: TcpConnection,
    events: ListenerEvents,
    policy: ReplicationPolicy,
    restored: UnclaimedConnection | null,
  ): void;
}

interface Open {
  listener: TcpListener;
  events: ListenerEvents;
  policy: ReplicationPolicy;
  /** No connection depends on another one. */
  independent: boolean;
}

/** The program's listeners. */
export class Listeners {
  /** A backup has joined that has not seen the beginning. */
  hasLateJoiner = false;
  /** Ports whose servers count themselves what they restore (http-sessions.ts). */
  readonly countedByServer = new Set<number>();
  readonly #host: ListenerHost;
  readonly #open = new Map<ConnectionListener, Open>();
  #claimUntilUs = Number.POSITIVE_INFINITY;

  constructor(host: ListenerHost) {
    this.#host = host;
  }

  /** How many there are. */
  get size(): number {
    return this.#open.size;
  }

  /** Where the program listens. */
  get bound(): { address: string; port: number }[] {
    const { book } = this.#host.stack;
    return [...this.#open.values()].map(({ listener: { address, port } }) => ({ address: book.format(address), port }));
  }

  /** As SocketHost.listen. */
  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    const { stack } = this.#host;
    const { tcp } = stack;
    const address = stack.listenAddress(options.address);
    if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65_535) {
      throw new FtError('EINVAL', `${options.port} is not a port`, 'Use 0 to 65535');
    }
    const policy = this.#policy(options);
    const listener = tcp.listen(address, options.port, options.backlog ?? DEFAULT_BACKLOG, (conn) => {
      this.#host.adopt(conn, events, this.policyOf(listener), null);
    });
    this.#open.set(listener, {
      listener,
      events,
      policy: policy === ReplicationPolicy.Replayed ? this.#replayed(events) : policy,
      independent: policy === ReplicationPolicy.Replayed && this.#independent(options),
    });
    if (this.#host.serving) this.#restore(listener, events);
    return {
      address: stack.book.format(address),
      port: listener.port,
      family: isV6(address) ? 'IPv6' : 'IPv4',
      close: () => {
        this.#open.delete(listener);
        tcp.unlisten(listener);
      },
    };
  }

  #policy({ replication, port }: ListenOptions): ReplicationPolicy {
    const { stateMode, solo } = this.#host;
    if (stateMode && replication === 'replay')
      throw new FtError(
        'ERR_FT_MODE',
        'In a group in state mode no second program runs that could replay anything',
        "Run the group with --mode replay, and its other servers with { replication: 'state' }",
      );
    if (solo) return ReplicationPolicy.None;
    if (stateMode) return ReplicationPolicy.Shipped;
    return this.inStateMode(replication, port) ? ReplicationPolicy.Unreplicated : ReplicationPolicy.Replayed;
  }

  /**
   * A backup joins late: servers that restore any connection have all of theirs shipped from here
   * on.
   */
  admitLateJoiner(): void {
    this.hasLateJoiner = true;
    for (const open of this.#open.values())
      if (open.policy === ReplicationPolicy.Replayed) open.policy = this.#replayed(open.events);
  }

  #replayed(events: ListenerEvents): ReplicationPolicy {
    return this.hasLateJoiner && restoring(events) === true
      ? ReplicationPolicy.ReplayedAndShipped
      : ReplicationPolicy.Replayed;
  }

  /** How a backup follows a connection that a listener is about to accept. */
  policyOf(listener: ConnectionListener): ReplicationPolicy {
    return this.#open.get(listener)?.policy ?? ReplicationPolicy.Replayed;
  }

  #independent({ independent, port }: ListenOptions): boolean {
    const { independentPorts } = this.#host;
    return independent ?? (independentPorts === 'all' || independentPorts.includes(port));
  }

  /** Whether a listener's connections depend on no others. */
  independent(listener: ConnectionListener): boolean {
    return this.#open.get(listener)?.independent === true;
  }

  /** Whether servers at this port are in state mode. */
  inStateMode(replication: ListenOptions['replication'], port: number): boolean {
    const { stateMode, statePorts } = this.#host;
    return stateMode || replication === 'state' || (replication === undefined && statePorts.includes(port));
  }

  /**
   * After a takeover: a running program is given its connections now; one that is about to start
   * has time to listen.
   */
  takeOver(nowUs: number): void {
    this.#claimUntilUs = nowUs + CLAIM_US;
    for (const { listener, events } of this.#open.values()) this.#restore(listener, events);
    const { stateMode, unclaimed, stack } = this.#host;
    if (!stateMode) unclaimed.reset(stack.tcp.table, false);
  }

  #restore(listener: TcpListener, events: ListenerEvents): void {
    const { stack, unclaimed, stateMode, moved } = this.#host;
    const counted = this.#counted(listener, events);
    unclaimed.restore(stack.tcp.table, listener, (conn, restored) => {
      if (restored === null) moved.waiting++;
      this.#host.adopt(conn, counted, stateMode ? ReplicationPolicy.Shipped : ReplicationPolicy.Unreplicated, restored);
    });
  }

  /** The events of a listener, which count what its server is given back. */
  #counted({ port }: TcpListener, events: ListenerEvents): ListenerEvents {
    const { onRestore } = events;
    const { moved } = this.#host;
    if (onRestore === undefined) return events;
    return {
      ...events,
      onRestore: (endpoint, context) => {
        if (restoring(events) === false) moved.reset.noRestore++;
        else if (!this.countedByServer.has(port)) moved.gave('net');
        onRestore(endpoint, context);
      },
    };
  }

  /** Who accepts connections at a port; undefined: nobody. */
  acceptorAt(port: number): ListenerEvents | undefined {
    return [...this.#open.values()].find(({ listener }) => listener.port === port)?.events;
  }

  /**
   * Called in each turn: connections that nobody claims in time are reset, as if the program had
   * aborted them.
   */
  look(nowUs: number): void {
    if (nowUs > this.#claimUntilUs) this.#resetUnclaimed();
  }

  #resetUnclaimed(): void {
    this.#claimUntilUs = Number.POSITIVE_INFINITY;
    this.#host.unclaimed.reset(this.#host.stack.tcp.table, true);
  }
}
