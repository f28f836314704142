/**
 * The election policy: whether this node should lead while no node does. These are decisions only,
 * without state or time of their own. A decision is an attempt: the coordinator grants the lease to
 * one claimant, and only if the group's state is still the one that the decision was made with.
 *
 * Safety (mayLead): a node leads only with a log that holds everything which output depended on.
 * With n backups in sync, of which k had to hold that, n - k + 1 of them must be heard, and the
 * longest log among these has it all.
 */
import type { GroupState, GroupView } from '../coordinator/coordinator.js';
import { bytesBetween } from './log-copy.js';
import type { Peers } from './peers.js';

/** Each node waits this much longer than the one before it in the order of succession. */
const TURN_US = 150_000;
/** The node that led last waits this long for nodes that need not replay the log. */
const RESUME_DELAY_US = 1_000_000;
/** A node with a longer log is waited for; every node in sync has what matters. */
const LONGER_LOG_WAIT_US = 2_000_000;

/**
 * How a leader begins: with an empty log, with the log that it led last, or with another leader's
 * log.
 */
export type LeadReason = 'new-group' | 'resume' | 'takeover';

/** What a node without a leader should do. */
export type Decision =
  | { kind: 'wait' }
  /** The copy of the log is of no use any more. */
  | { kind: 'discard' }
  /** `leaderGone`: the former leader is known to send no more, so that it need not be fenced. */
  | { kind: 'claim'; state: GroupState; leaderGone: boolean; reason: LeadReason };

/** What a decision is made with. */
export interface ElectionInput {
  /** This node. */
  self: string;
  /** All nodes, in the order of succession. */
  nodes: readonly string[];
  /** Milliseconds, as in AgentOptions. */
  peerTimeoutMs: number;
  /** Milliseconds, as in AgentOptions. */
  newGroupDelayMs: number;
  /** No service stores the group's state: the nodes know it only from each other. */
  noStateStore: boolean;
  /** Microseconds since this node has been without a leader. */
  waitedUs: number;
  /** The group's state, in which no node holds the lease. */
  view: GroupView;
  /** When that was read: monotonic time, microseconds. */
  viewAtUs: number;
  peers: Peers;
  /** Of the leader whose log this node has. */
  epoch: number;
}

const WAIT: Decision = { kind: 'wait' };

function claim(input: ElectionInput, epoch: number, leaderGone: boolean, reason: LeadReason): Decision {
  const { self } = input;
  const state = { epoch, primary: self, inSync: [self], requiredBackups: 0 };
  return { kind: 'claim', state, leaderGone, reason };
}

/** Whether a node without a log may start the group anew, or resume the log that it led last. */
export function mayStartGroup(input: ElectionInput): Decision {
  const { self, nodes, newGroupDelayMs, noStateStore, waitedUs, view, peers } = input;
  const { state } = view;
  const newGroupDelayUs = newGroupDelayMs * 1000;
  if (state?.primary === self && !noStateStore) {
    // A node that has this log in memory takes over first.
    const isHeldElsewhere = state.inSync.some((name) => {
      const peer = peers.get(name);
      return peer?.up === true && peer.status?.epoch === state.epoch;
    });
    // This node led last, and none has since: what its replica left behind is the group's log.
    const delayUs = isHeldElsewhere ? newGroupDelayUs : RESUME_DELAY_US;
    return waitedUs < delayUs ? WAIT : claim(input, state.epoch + 1, true, 'resume');
  }
  const others = nodes.filter((name) => name !== self).map((name) => peers.get(name));
  // A node with a log takes over, if it can.
  const hasCandidate = others.some((peer) => peer?.up === true && peer.status?.role === 'disconnected');
  if (hasCandidate && waitedUs < newGroupDelayUs) return WAIT;
  const allJoining = others.every((peer) => peer?.up === true && peer.status?.role === 'joining');
  const order = nodes.indexOf(self);
  const turnUs = order * 2 * TURN_US;
  const epoch = (state?.epoch ?? 0) + 1;
  const isFirst = noStateStore ? allJoining && order === 0 : state === null && waitedUs >= turnUs;
  if (isFirst) return claim(input, epoch, true, 'new-group');
  return waitedUs >= newGroupDelayUs + turnUs ? claim(input, epoch, allJoining, 'new-group') : WAIT;
}

/**
 * Whether a node with a copy of the log up to `position` may lead.
 * @param leaderGone the former leader is known to send no more.
 */
export function mayLead(input: ElectionInput, position: number, leaderGone: boolean): Decision {
  const { self, newGroupDelayMs, peerTimeoutMs, waitedUs, view, epoch } = input;
  const { state } = view;
  // The answer to an earlier claim of this node was lost: no node has led since, and the log still
  // has all that matters.
  if (state !== null && state.primary === self && state.epoch === epoch + 1)
    return claim(input, state.epoch + 1, leaderGone, 'takeover');
  if (state === null || state.epoch !== epoch || !state.inSync.includes(self)) {
    // Another node took over, or this one was left behind. If the leader is not heard soon, the
    // copy is of no use.
    return waitedUs > newGroupDelayMs * 1000 ? { kind: 'discard' } : WAIT;
  }
  if (!hasLongestLog(input, state, position)) return WAIT;
  // A connection that broke a moment ago is no reason to fence the leader.
  if (!leaderGone && waitedUs < 2 * peerTimeoutMs * 1000) return WAIT;
  return claim(input, epoch + 1, leaderGone, 'takeover');
}

/** Whether enough backups are heard, and none of them has a longer log or comes first. */
function hasLongestLog(input: ElectionInput, state: GroupState, position: number): boolean {
  const { self, waitedUs, viewAtUs, peers, epoch } = input;
  const backups = state.inSync.filter((name) => name !== state.primary);
  const turn = backups.indexOf(self);
  const required = Math.min(state.requiredBackups, backups.length);
  const allHoldIt = required >= backups.length;
  let heard = 1;
  for (const [place, name] of backups.entries()) {
    const peer = peers.get(name);
    if (name === self || peer?.up !== true || peer.status === null || peer.heardUs < viewAtUs) continue;
    if (peer.status.role !== 'disconnected' || peer.status.epoch !== epoch) continue;
    heard++;
    const ahead = bytesBetween(position, peer.status.position);
    const comesFirst = ahead > 0 || (ahead === 0 && place < turn);
    if (comesFirst && (!allHoldIt || waitedUs < LONGER_LOG_WAIT_US)) return false;
  }
  // At least one of this many holds what k of the backups had to hold.
  if (heard < backups.length - required + 1) return false;
  return !allHoldIt || waitedUs >= turn * TURN_US;
}
