/** A group whose processes have all died can be gone on with, as long as its log has the whole history. */
import type { NativeAddon } from '../../lib/native/native.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { RING_HEADER, Ring, Word } from '../log/ring.js';
import type { ReplicationMode } from './replica.js';

/** What an earlier group left behind, when it can be gone on with. */
export interface Resumable {
  snapshot: StartSnapshot;
  ring: Ring;
}

export interface ResumeWish {
  native: NativeAddon;
  group: Group;
  program: string;
  mode: ReplicationMode;
  nowUs: number;
  /** Longer ago than this, nobody waits any more. */
  withinSeconds: number;
}

/** @returns what can be gone on with, or why there is nothing. The group's lock has to be ours. */
export function findResumable(wish: ResumeWish): Resumable | string {
  const { native, group, program, mode, nowUs, withinSeconds } = wish;
  const snapshot = group.readSnapshot();
  if (snapshot === null) return 'nothing was left behind';
  let ring: Ring;
  try {
    ring = new Ring(native, group.mapRing(RING_HEADER + snapshot.ringBytes));
    ring.check();
  } catch (error) {
    return `its log cannot be read (${error instanceof Error ? error.message : String(error)})`;
  }
  const { words } = ring;
  const age = (nowUs + ring.offsets[0]!) / 1e6 - words[Word.heartbeatSeconds]!;
  if (words[Word.shutdown] === 2) return 'it was ended on purpose';
  if (words[Word.ready] !== 1) return 'its program had not started';
  if (words[Word.truncated] === 1) return 'its log has lost the beginning';
  if (!(age >= 0 && age <= withinSeconds)) return 'it is too long ago';
  if ((snapshot.mode ?? 'replay') !== mode) return 'it ran in another mode';
  if (mode === 'replay' && (snapshot.program !== program || snapshot.node !== process.version))
    return 'its program was another one, or its Node';
  return { snapshot, ring };
}
