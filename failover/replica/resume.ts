/** A group whose processes have all died can be resumed if its log is complete. */
import type { NativeAddon } from '../../lib/native/native.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { Ring } from '../log/ring.js';
import { RING_HEADER, ShutdownKind, Word } from '../log/ring-header.js';
import type { ReplicationMode } from './options.js';

/** What an earlier group left behind, if it can be resumed. */
export interface Resumable {
  snapshot: StartSnapshot;
  ring: Ring;
}

/** What {@link findResumable} looks for. */
export interface ResumeRequest {
  native: NativeAddon;
  /** Its lock has to be held by this process. */
  group: Group;
  /** SHA-256 of the program's main file. */
  program: string;
  mode: ReplicationMode;
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
  const { native, group, program, mode, nowUs, restartWindowSeconds } = request;
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
  if (words[Word.ready] !== 1) return 'its program had not started';
  if (words[Word.truncated] === 1) return 'its log is not complete';
  if (!(ageSeconds >= 0 && ageSeconds <= restartWindowSeconds)) return 'it died too long ago';
  if ((snapshot.mode ?? 'replay') !== mode) return 'it ran in another mode';
  if (mode === 'replay' && (snapshot.program !== program || snapshot.node !== process.version))
    return 'it ran another program, or another version of Node';
  return { snapshot, ring };
}
