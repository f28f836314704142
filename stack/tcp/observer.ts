/**
 * What lies outside the stack (failover) takes part in it by two interfaces: an observer, which
 * learns of each change of state, and an output gate (output-gate.ts), which every frame must pass.
 * The stack knows nothing else of failover.
 */
import type { TcpConnection } from './connection.js';
import type { TcpObserver } from './context.js';

/** Learns of each change of a connection's state, before anything that depends on it can leave. */
export type StackObserver = TcpObserver<TcpConnection>;
