/** All groups in a directory: those that run, and what others have left behind. */

import { errorCode } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from '../../lib/own-node.js';
import { Group, isGroupName } from '../host/group-directory.js';
import { CLOCK_OFFSETS_OFFSET, MAGIC, RING_HEADER, Word } from '../log/ring-header.js';
import { askReplicas } from './replicas.js';
import type { ReplicaStatus } from './status.js';

/** Version of {@link GroupInfo}; it grows when a field changes its meaning or goes. */
export const GROUPS_SCHEMA = 1;

/** A lock is held as long as its process lives. */
const LOCKS = ['primary.lock', 'backup.lock', 'agent.lock', 'supervisor.lock'];
/** Blocks of stat, bytes. */
const BLOCK = 512;

/** One group. */
export interface GroupInfo {
  group: string;
  /**
   * `running`: a process has it. `left`: all processes have died, and files are left. `ended`: it
   * ended on purpose. `unusable`: the directory may not be used, see `error`.
   */
  state: 'running' | 'left' | 'ended' | 'unusable';
  /** Processes that have answered, the primary first. */
  replicas: Pick<ReplicaStatus, 'pid' | 'role' | 'protected'>[];
  /** Processes that have not answered in time. */
  unresponsive: number[];
  /** Memory, or room on the disk, that its files take. */
  bytes: number;
  /** `left`: seconds since its last process lived; null: not known. */
  deadSeconds: number | null;
  error: string | null;
}

/** Looks at all groups in a directory, by name. None when there is no such directory. */
export async function findGroups(native: NativeAddon, directory: string): Promise<GroupInfo[]> {
  let names: string[];
  try {
    names = readdirSync(directory).filter(
      (name) => isGroupName(name) && statSync(`${directory}/${name}`).isDirectory(),
    );
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const found = await Promise.all(names.sort().map((name) => describe(native, directory, name)));
  return found.filter((info) => info !== null);
}

/** Looks at one group; null when there is none of this name. */
export async function describe(native: NativeAddon, directory: string, name: string): Promise<GroupInfo | null> {
  const nothing = { replicas: [], unresponsive: [], bytes: 0, deadSeconds: null, error: null };
  let group: Group | null;
  try {
    group = Group.find(native, directory, name);
  } catch (error) {
    return {
      ...nothing,
      group: name,
      state: 'unusable',
      error: error instanceof Error ? error.message : String(error),
    };
  }
  if (group === null) return null;
  const { replicas, unresponsive } = await askReplicas(group);
  const running = replicas.length > 0 || unresponsive.length > 0 || isLocked(group);
  const info = {
    ...nothing,
    group: name,
    replicas: replicas.map(({ pid, role, protected: safe }) => ({ pid, role, protected: safe })),
    unresponsive,
    bytes: bytesOf(group),
  };
  if (running) return { ...info, state: 'running' };
  return group.hasEnded ? { ...info, state: 'ended' } : { ...info, state: 'left', deadSeconds: deadSeconds(group) };
}

/**
 * Whether a process of this pid namespace holds one of the locks. No lock is taken: it could be
 * in the way.
 */
function isLocked(group: Group): boolean {
  try {
    const held = readFileSync('/proc/locks', 'utf8');
    return LOCKS.some((name) => {
      const found = statSync(group.file(name), { throwIfNoEntry: false });
      return found !== undefined && new RegExp(`FLOCK.*:${found.ino} `).test(held);
    });
  } catch {
    return false;
  }
}

function bytesOf(group: Group): number {
  let bytes = 0;
  for (const name of group.files()) {
    const found = statSync(group.file(name), { throwIfNoEntry: false });
    bytes += (found?.blocks ?? 0) * BLOCK;
  }
  return bytes;
}

/** Seconds since the last primary's heartbeat. */
function deadSeconds(group: Group): number | null {
  const header = Buffer.alloc(RING_HEADER);
  try {
    const fd = openSync(group.file('log'), 'r');
    readSync(fd, header, 0, RING_HEADER, 0);
    closeSync(fd);
  } catch {
    return null;
  }
  if (header.readInt32LE(Word.magic * 4) !== MAGIC) return null;
  const nowSeconds = (systemClock.now() + header.readDoubleLE(CLOCK_OFFSETS_OFFSET)) / 1e6;
  return Math.max(0, Math.round(nowSeconds - header.readInt32LE(Word.heartbeatSeconds * 4)));
}
