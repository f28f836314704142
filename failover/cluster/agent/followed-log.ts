/**
 * What a node with another leader's log does, whether it still gets more of it (Follower) or not
 * (Disconnected).
 */
import { ShutdownKind, Word } from '../../log/ring-header.js';
import type { AgentStatus } from '../transport/messages.js';
import type { LogCopy } from './log-copy.js';
import type { FollowedLeader, RoleContext } from './role.js';

/** Exit codes of a replica that would fail again: 2 for wrong options, 3 for another program. */
const PERMANENT_FAILURES: readonly (number | null)[] = [2, 3];

/**
 * Passes on what the followed leader says of the group's state, for coordinators that cannot ask
 * elsewhere.
 */
export function observeState(context: RoleContext, leader: FollowedLeader, name: string, { state }: AgentStatus): void {
  if (name === leader.name && state !== null && state.epoch === context.epoch) context.host.coordinator.observe(state);
}

/** The replica that followed `copy` has ended with an exit code; null: by a signal. */
export function backupExited(context: RoleContext, copy: LogCopy, code: number | null): void {
  const { host, supervisor } = context;
  if (copy.ring.load(Word.shutdown) === ShutdownKind.GroupEnd) host.finished(0);
  else if (!supervisor.everReady && code !== null && PERMANENT_FAILURES.includes(code)) host.finished(code);
  else if (copy.detachReader()) supervisor.restart();
  else context.discard();
}
