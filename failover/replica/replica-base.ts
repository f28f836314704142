/**
 * What a replica is to its program's sockets and servers: the part that forwards to its
 * connections.
 */
import { EventEmitter } from 'eventemitter3';
import type {
  ConnectTarget,
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  OutsideAddress,
  OutsideEvents,
  SocketTimers,
  StreamEndpoint,
} from '../../stack/core/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { ProcessCheckpoint } from '../connections/checkpoint/process-checkpoint.js';
import type { Connections } from '../connections/connections.js';
import type { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { Runtime } from '../runtime/runtime.js';
import type { ReplicaEvents, ReplicaOptions } from './options.js';

/** The sockets' side of a replica. */
export abstract class ReplicaBase extends EventEmitter<ReplicaEvents> {
  abstract readonly options: ReplicaOptions;
  abstract readonly connections: Connections;
  abstract readonly runtime: Runtime;
  abstract readonly stack: Stack;
  readonly connectsPaths = true;

  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    return this.connections.listen(options, events);
  }

  connect(target: ConnectTarget): StreamEndpoint {
    return this.connections.connect(target);
  }

  listenOutside(where: OutsideAddress, events: OutsideEvents): { close(): void } | null {
    return this.connections.outside.listen(where, events);
  }

  reportKernelSocket(what: string): void {
    this.connections.outside.report(what);
  }

  onKernelSocket(what: string): void {
    this.emit('kernelSocket', what);
  }

  /** Tells neighbours where the group's addresses are. */
  announce(): void {
    for (const net of this.stack.interfaces) net.announce();
  }

  /**
   * Asks whether other hosts have the group's addresses.
   * @param claimed called when one says so
   */
  probeAddresses(claimed: () => void): void {
    this.stack.onAddressClaim = claimed;
    for (const net of this.stack.interfaces) net.probeOwn();
  }

  get timers(): SocketTimers {
    return this.runtime.timers;
  }

  get histories(): ConnectionHistories {
    return this.connections.histories;
  }

  /** By connection number. */
  get endpoints(): Map<number, ReplicaEndpoint> {
    return this.connections.endpoints;
  }

  /** Values that the program saved of itself. */
  get checkpoint(): ProcessCheckpoint {
    return this.connections.checkpoint;
  }

  get stateMode(): boolean {
    return this.options.mode === 'state';
  }
}
