/** Where the program listens: who is told of new connections, and who of those that another program had. */
import { FtError } from '../../lib/errors.js';
import { isV6 } from '../../stack/ip/address-book.js';
import type { ListenerEvents, ListenerHandle, ListenOptions } from '../../stack/sockets/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { TcpListener } from '../../stack/tcp/handshake/listener.js';
import type { UnclaimedConnection, UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import { ReplicationPolicy } from './replication-policy.js';

/** Connections for which a program that starts does not listen by then are reset, and outgoing ones that nobody has taken back. */
const CLAIM_US = 10_000_000;

export interface ListenerHost {
  readonly stack: Stack;
  /** The whole group is in state mode. */
  readonly stateMode: boolean;
  /** Nothing is replicated. */
  readonly solo: boolean;
  /** Ports in state mode though the group is not. */
  readonly statePorts: readonly number[];
  readonly independentPorts: readonly number[] | 'all';
  /** Connections that are kept without a program. */
  readonly restored: UnclaimedConnections;
  /** A server that begins to listen may be given what another program had. */
  readonly serving: boolean;
  adopt(
    conn: TcpConnection,
    events: ListenerEvents,
    policy: ReplicationPolicy,
    restored: UnclaimedConnection | null,
  ): void;
}

/** Whether a listener takes connections back; `old`: those that are there when a replica joins. */
export function restoring(events: ListenerEvents): boolean | 'old' {
  return events.restores?.() ?? events.onRestore !== undefined;
}

interface Open {
  events: ListenerEvents;
  policy: ReplicationPolicy;
  /** No connection depends on another one. */
  independent: boolean;
}

export class Listeners {
  readonly #host: ListenerHost;
  readonly #open = new Map<TcpListener, Open>();
  #claimUntilUs = Number.POSITIVE_INFINITY;

  constructor(host: ListenerHost) {
    this.#host = host;
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
    const listener = tcp.listen(address, options.port, options.backlog ?? 511, (conn) => {
      this.#host.adopt(conn, events, this.policyOf(listener), null);
    });
    this.#open.set(listener, {
      events,
      policy: policy === ReplicationPolicy.Replayed ? this.#replayed(events) : policy,
      independent: policy === ReplicationPolicy.Replayed && this.#independent(options),
    });
    if (this.#host.serving) this.#giveBack(listener, events);
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
        'In a group in state mode no second program runs that could repeat anything',
        "Run the group with --mode replay, and its other servers with { replication: 'state' }",
      );
    if (solo) return ReplicationPolicy.None;
    if (stateMode) return ReplicationPolicy.Shipped;
    return this.inStateMode(replication, port) ? ReplicationPolicy.Unreplicated : ReplicationPolicy.Replayed;
  }

  /** A replica joins in the middle: servers that take any connection back have all of theirs shipped from here on. */
  cover(): void {
    this.covered = true;
    for (const open of this.#open.values())
      if (open.policy === ReplicationPolicy.Replayed) open.policy = this.#replayed(open.events);
  }

  /** Some replica has not seen the beginning. */
  covered = false;

  #replayed(events: ListenerEvents): ReplicationPolicy {
    return this.covered && restoring(events) === true
      ? ReplicationPolicy.ReplayedAndShipped
      : ReplicationPolicy.Replayed;
  }

  /** How a backup follows a connection which is about to be made at a listener. */
  policyOf(listener: TcpListener): ReplicationPolicy {
    return this.#open.get(listener)?.policy ?? ReplicationPolicy.Replayed;
  }

  #independent({ independent, port }: ListenOptions): boolean {
    const { independentPorts } = this.#host;
    return independent ?? (independentPorts === 'all' || independentPorts.includes(port));
  }

  /** Whether what is said on a listener's connections depends on no others. */
  independent(listener: TcpListener): boolean {
    return this.#open.get(listener)?.independent === true;
  }

  /** Whether servers at this port are in state mode. */
  inStateMode(replication: ListenOptions['replication'], port: number): boolean {
    const { stateMode, statePorts } = this.#host;
    return stateMode || replication === 'state' || (replication === undefined && statePorts.includes(port));
  }

  /** After a takeover: a program that runs gets all of them now, one that is about to start has some time to listen. */
  takeOver(nowUs: number): void {
    this.#claimUntilUs = nowUs + CLAIM_US;
    for (const [listener, { events }] of this.#open) this.#giveBack(listener, events);
    const { stateMode, restored, stack } = this.#host;
    if (!stateMode) restored.drop(stack.tcp.table, false);
  }

  #giveBack(listener: TcpListener, events: ListenerEvents): void {
    const { stack, restored, stateMode } = this.#host;
    restored.giveBack(stack.tcp.table, listener, (conn, known) => {
      this.#host.adopt(conn, events, stateMode ? ReplicationPolicy.Shipped : ReplicationPolicy.Unreplicated, known);
    });
  }

  /** Connections that nobody has asked for in time: reset, as if the program had closed them. */
  look(nowUs: number): void {
    if (nowUs > this.#claimUntilUs) this.#drop();
  }

  #drop(): void {
    this.#claimUntilUs = Number.POSITIVE_INFINITY;
    this.#host.restored.drop(this.#host.stack.tcp.table, true);
  }
}
