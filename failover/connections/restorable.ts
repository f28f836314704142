/**
 * Whether a program takes connections back that another program, or an earlier replica, had opened.
 */
import type { ListenerEvents } from '../../stack/core/endpoint.js';
import type { ReplicaEndpoint } from './replicated-endpoint.js';

/**
 * Whether a listener restores connections.
 *
 * `old`: only those that exist when a replica joins late (http servers of a replayed program).
 */
export function restoring(events: ListenerEvents): boolean | 'old' {
  return events.restores?.() ?? events.onRestore !== undefined;
}

/**
 * Whether a late joiner can keep a connection: its program would restore it, or is done with it.
 * @param restoreHandler restores outgoing connections of which something was saved; null: none does
 */
export function isRestorable(endpoint: ReplicaEndpoint, restoreHandler: ListenerEvents | null): boolean {
  const { conn, acceptor, context } = endpoint;
  if (conn.orphan) return true;
  if (conn.active) return context !== null && restoreHandler !== null && restoring(restoreHandler) !== false;
  return acceptor !== null && restoring(acceptor) !== false;
}
