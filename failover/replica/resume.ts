/** A group whose processes have all died can be resumed if its log is complete. */
import type { NativeAddon } from '../../lib/native/native.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { Ring } from '../log/ring.js';
import { RING_HEADER, ShutdownKind, Word } from '../log/ring-header.js';
import { type Difference, findDifference, type OwnTerms } from './agreement.js';

/** What an earlier group left behind, if it can be resumed. */
export interface Resumable {
  snapshot: StartSnapshot;
  ring: Ring;
  /** Seconds since its last process lived. */
  deadSeconds: number;
}

/** What {@link findResumable} looks for. */
export interface ResumeRequest {
  native: NativeAddon;
  /** Its lock has to be held by this process. */
  group: Group;
  /** This process. */
  own: OwnTerms;
  /** CLOCK_MONOTONIC, microseconds. */
  nowUs: number;
  /** Peers of a group that died longer ago do not wait any more, seconds. */
  restartWindowSeconds: number;
}

/** {@link findResumable}: there was no earlier group. */
export const NOTHING_TO_RESUME = 'no earlier group was found';

const ENDED_ON_PURPOSE = 'it was ended on purpose';

/** @returns what can be resumed, or the reason why nothing can */
export function findResumable(request: ResumeRequest): Resumable | string {
  const { native, group, own, nowUs, restartWindowSeconds } = request;
  const snapshot = group.readSnapshot();
  if (snapshot === null) return group.hasEnded ? ENDED_ON_PURPOSE : NOTHING_TO_RESUME;
  let ring: Ring;
  try {
    ring = new Ring(native, group.mapRing(RING_HEADER + snapshot.ringBytes));
    ring.check();
  } catch (error) {
    return `its log cannot be read (${error instanceof Error ? error.message : String(error)})`;
  }
  const { words, offsets } = ring;
  const ageSeconds = (nowUs + offsets[0]) / 1e6 - words[Word.heartbeatSeconds];
  if (words[Word.shutdown] === ShutdownKind.GroupEnd) return ENDED_ON_PURPOSE;
  // In state mode the connections are there while a program is loaded after a takeover.
  const hasServed = words[Word.ready] === 1 || (snapshot.mode === 'state' && words[Word.epoch] > 1);
  if (!hasServed) return 'its program had not started';
  if (words[Word.truncated] === 1) return 'its log is not complete';
  if (!(ageSeconds >= 0 && ageSeconds <= restartWindowSeconds)) return 'it died too long ago';
  const difference = findDifference(snapshot, own);
  if (difference !== null) return explain(difference);
  return { snapshot, ring, deadSeconds: Math.round(ageSeconds) };
}

function explain({ what, theirs, ours }: Difference): string {
  return `it ran with another ${what}: ${theirs}, and this process has ${ours}`;
}
