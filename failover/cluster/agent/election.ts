/**
 * Who is to go on when nobody leads: decisions, and nothing else. What is decided is only tried: the coordinator gives the right
 * to one of those who claim it, and only if the state is still the one that the decision was made with.
 */
import type { GroupState, View } from '../coordinator/coordinator.js';
import type { Status } from '../transport/messages.js';
import { bytesBetween } from './log-copy.js';

/** Whoever comes later in the order of succession waits so much longer. */
const TURN_US = 150_000;
/** One that led last waits so long for others that could go on without having to repeat the log. */
const RESUME_US = 1_000_000;
/** Whoever is further is waited for; all who are in sync have what matters. */
const POLITE_US = 2_000_000;

export type How = 'begin' | 'resume' | 'go on';

export type Decision =
  | { kind: 'wait' }
  /** The copy of the log is of no use any more. */
  | { kind: 'discard' }
  /** `gone`: the former primary is known to be silent. */
  | { kind: 'claim'; state: GroupState; gone: boolean; how: How };

export interface Peer {
  incarnation: string;
  status: Status | null;
  heardUs: number;
  up: boolean;
}

export interface Question {
  self: string;
  /** In the order of succession. */
  nodes: readonly string[];
  lostMs: number;
  freshMs: number;
  /** There is nobody to ask for the state: what the nodes know is all. */
  unasked: boolean;
  /** Since nobody has been leading. */
  waitedUs: number;
  /** Nobody may speak, by this. */
  view: View;
  viewUs: number;
  peers: ReadonlyMap<string, Peer>;
  /** Of the primary whose log we have. */
  epoch: number;
}

const WAIT: Decision = { kind: 'wait' };

function claim(question: Question, epoch: number, gone: boolean, how: How): Decision {
  const { self } = question;
  return { kind: 'claim', state: { epoch, primary: self, inSync: [self], stable: 0 }, gone, how };
}

/** Nobody leads, and we have no log. */
export function mayStartGroup(question: Question): Decision {
  const { self, nodes, freshMs, unasked, waitedUs, view, peers } = question;
  const { state } = view;
  const freshUs = freshMs * 1000;
  if (state?.primary === self && !unasked) {
    // Whoever has our log in memory goes on first.
    const held = state.inSync.some(
      (name) => peers.get(name)?.up === true && peers.get(name)?.status?.epoch === state.epoch,
    );
    // We led last, and nobody has since: what our member left behind is where the group is.
    return waitedUs < (held ? freshUs : RESUME_US) ? WAIT : claim(question, state.epoch + 1, true, 'resume');
  }
  const others = nodes.filter((name) => name !== self).map((name) => peers.get(name));
  // Whoever has a log goes on, if it can.
  if (others.some((peer) => peer?.up === true && peer.status?.role === 'orphan') && waitedUs < freshUs) return WAIT;
  const alone = others.every((peer) => peer?.up === true && peer.status?.role === 'looking');
  const order = nodes.indexOf(self);
  const turnUs = order * 2 * TURN_US;
  const epoch = (state?.epoch ?? 0) + 1;
  if (unasked ? alone && order === 0 : state === null && waitedUs >= turnUs)
    return claim(question, epoch, true, 'begin');
  return waitedUs >= freshUs + turnUs ? claim(question, epoch, alone, 'begin') : WAIT;
}

/**
 * Nobody leads, and we have a log up to `position`: is it all that output depended on, and are we the one to go on?
 * @param gone the former primary is known to be silent.
 */
export function mayLead(question: Question, position: number, gone: boolean): Decision {
  const { self, freshMs, lostMs, waitedUs, view, viewUs, peers, epoch } = question;
  const { state } = view;
  // A claim of ours of whose success we never heard: nobody has led since, and we still have all that mattered then.
  if (state !== null && state.primary === self && state.epoch === epoch + 1)
    return claim(question, state.epoch + 1, gone, 'go on');
  if (state === null || state.epoch !== epoch || !state.inSync.includes(self)) {
    // Somebody else went on, or we were left behind. He will be heard; if he is not, what we have is worth nothing.
    return waitedUs > freshMs * 1000 ? { kind: 'discard' } : WAIT;
  }
  const backups = state.inSync.filter((name) => name !== state.primary);
  const turn = backups.indexOf(self);
  const k = Math.min(state.stable, backups.length);
  let heard = 1;
  for (const [place, name] of backups.entries()) {
    const peer = peers.get(name);
    if (name === self || peer?.up !== true || peer.status === null || peer.heardUs < viewUs) continue;
    if (peer.status.role !== 'orphan' || peer.status.epoch !== epoch) continue;
    heard++;
    const ahead = bytesBetween(position, peer.status.position);
    const first = ahead > 0 || (ahead === 0 && place < turn);
    if (first && (k < backups.length || waitedUs < POLITE_US)) return WAIT;
  }
  // At least one of so many has all that k of them had to have.
  if (heard < backups.length - k + 1) return WAIT;
  if (k >= backups.length && waitedUs < turn * TURN_US) return WAIT;
  // Not for a connection that only broke is the other one switched off.
  if (!gone && waitedUs < 2 * lostMs * 1000) return WAIT;
  return claim(question, epoch + 1, gone, 'go on');
}
