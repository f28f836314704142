/**
 * How a process becomes a replica: the first process of a group is its primary, the next one its
 * backup, and further ones wait for the backup's place. A group that has died is resumed if that is
 * possible. On several machines the agent has assigned the role.
 */
import { randomBytes } from 'node:crypto';
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import { LOG_VERSION, OLDEST_VERSION } from '../log/records.js';
import { Ring } from '../log/ring.js';
import { RING_HEADER, SECRET_LENGTH } from '../log/ring-header.js';
import { originals } from '../runtime/core/originals.js';
import { applySnapshot, type ProcessSnapshot, snapshotProcess } from '../runtime/samples/process.js';
import type { ReplicaOptions, ReplicationMode } from './options.js';
import { patchNet } from './program.js';
import { Replica } from './replica.js';
import { findResumable, NOTHING_TO_RESUME, type Resumable } from './resume.js';

/** A waiting replica looks for a free place at this interval. */
const PLACE_POLL_MS = 200;
/** A backup looks for its primary's log at this interval. */
const PRIMARY_POLL_MS = 20;

/** What is reported while a process looks for its role. */
export interface StartEvents {
  /** The role has been found. @param resumesPid the process whose group is resumed */
  role(role: 'primary' | 'backup', resumesPid?: number): void;
  /** An earlier group cannot be resumed; a new one begins. */
  resumeSkipped(reason: string): void;
}

/** How to start a replica. */
export interface StartOptions {
  replica: ReplicaOptions & { group: Group };
  program: {
    /** Its main file and arguments, for the start snapshot. */
    argv: string[];
    /** SHA-256 of its main file (`programDigest`). */
    digest: string;
  };
  /** Several machines: the role that the agent has assigned. */
  assignedRole?: 'primary' | 'backup';
  /** A group that died longer ago is not resumed, seconds; 0: no group is. */
  restartWindowSeconds: number;
  events: StartEvents;
}

/**
 * Starts this process's replica in the role that is free, or assigned. The program's sockets,
 * timers and files are the replica's when it resolves; on a backup in state mode, only after
 * `startProgram`.
 *
 * Throws FtError EBUSY when the assigned role is taken, ERR_FT_LOG_VERSION or ERR_FT_MISMATCH when
 * the primary runs another version or program, and what opening the device throws.
 */
export async function startReplica(options: StartOptions): Promise<Replica> {
  const { replica, assignedRole } = options;
  const { group, solo } = replica;
  if (assignedRole === 'backup') return startBackup(options);
  if (solo || group.lockPrimary()) return startPrimary(options);
  if (assignedRole === 'primary')
    throw new FtError('EBUSY', `Another process is the primary of ${group.name} on this machine`, 'See ft-tcp status');
  return startBackup(options);
}

/**
 * Runs as the primary: resumes the group that died, or begins a new one. The group's lock is ours.
 */
function startPrimary(options: StartOptions): Replica {
  const resumable = lookForResumable(options);
  return resumable === null ? startGroup(options) : resumeGroup(options, resumable);
}

function lookForResumable({ replica, program, restartWindowSeconds, events }: StartOptions): Resumable | null {
  if (replica.solo || restartWindowSeconds <= 0) return null;
  const found = findResumable({
    native: native(),
    group: replica.group,
    program: program.digest,
    mode: replica.mode ?? 'replay',
    nowUs: systemClock.now(),
    restartWindowSeconds,
  });
  if (typeof found !== 'string') return found;
  if (found !== NOTHING_TO_RESUME) events.resumeSkipped(found);
  return null;
}

function startGroup({ replica: base, program, events }: StartOptions): Replica {
  const { group } = base;
  let ring: Ring | null = null;
  const origin = { monoUs: systemClock.now(), wallMs: systemClock.wall() };
  if (!base.solo) {
    group.clearOld();
    ring = new Ring(native(), group.createRing(RING_HEADER + base.ringBytes));
    ring.format(randomBytes(SECRET_LENGTH));
    group.publishRing();
  }
  const replica = new Replica({ ...base, origin }, ring, 'primary');
  replica.open();
  if (ring !== null) {
    group.writeSnapshot({
      format: LOG_VERSION,
      node: process.version,
      program: program.digest,
      argv: program.argv,
      monoUs: origin.monoUs,
      wallMs: origin.wallMs,
      ringBytes: base.ringBytes,
      mode: base.mode ?? 'replay',
      process: snapshotProcess(),
      writerPid: ownPid,
    });
  }
  events.role('primary');
  replica.runtime.install();
  patchNet(replica);
  return replica;
}

/** This process becomes what the dead primary's backup would have been. */
function resumeGroup({ replica: base, events }: StartOptions, { snapshot, ring }: Resumable): Replica {
  const pid = ring.writerPid;
  const replica = followingReplica(base, snapshot, ring);
  events.role('primary', pid);
  if (!replica.stateMode) installProgram(replica, snapshot);
  base.group.writeSnapshot({ ...snapshot, writerPid: ownPid });
  replica.resume(pid);
  return replica;
}

/** Runs as the backup, once its place is free and the primary's log is there. */
async function startBackup(options: StartOptions): Promise<Replica> {
  const { replica: base, program, assignedRole, events } = options;
  const { group } = base;
  events.role('backup');
  // One backup follows the log; further ones wait for its place. An agent has assigned it.
  while (assignedRole === undefined && !group.lockBackup()) {
    await pause(PLACE_POLL_MS);
    if (group.lockPrimary()) return startPrimary(options);
  }
  for (;;) {
    const snapshot = group.readSnapshot();
    if (snapshot !== null) {
      refuseOther(snapshot, program.digest, base.mode ?? 'replay');
      const ring = new Ring(native(), group.mapRing(RING_HEADER + snapshot.ringBytes));
      ring.check();
      const pid = ring.writerPid;
      if (pid > 0) {
        const replica = followingReplica(base, snapshot, ring);
        replica.watchPrimary(pid);
        if (!replica.stateMode) installProgram(replica, snapshot);
        return replica;
      }
    }
    await pause(PRIMARY_POLL_MS);
    if (assignedRole === undefined && group.lockPrimary()) {
      group.unlockBackup();
      return startPrimary(options);
    }
  }
}

function followingReplica(base: ReplicaOptions, snapshot: StartSnapshot, ring: Ring): Replica {
  const { monoUs, wallMs, ringBytes } = snapshot;
  const replica = new Replica({ ...base, ringBytes, origin: { monoUs, wallMs } }, ring, 'backup');
  replica.open();
  return replica;
}

/**
 * The program sees the primary's process, the replica's time and timers, and the stack's sockets.
 */
function installProgram(replica: Replica, snapshot: StartSnapshot): void {
  applySnapshot(snapshot.process as ProcessSnapshot);
  replica.runtime.install();
  patchNet(replica);
}

/** A backup that runs another program, or another Node, could not replay what the primary does. */
function refuseOther(snapshot: StartSnapshot, program: string, mode: ReplicationMode): void {
  if (snapshot.format < OLDEST_VERSION || snapshot.format > LOG_VERSION) {
    throw new FtError(
      'ERR_FT_LOG_VERSION',
      `The primary writes log version ${snapshot.format}, this program reads ${OLDEST_VERSION} to ${LOG_VERSION}`,
      'Upgrade one version at a time, the backup first',
    );
  }
  if ((snapshot.mode ?? 'replay') !== mode) {
    throw new FtError(
      'ERR_FT_MISMATCH',
      `The primary runs in ${snapshot.mode ?? 'replay'} mode, this replica in ${mode} mode`,
      'Give all replicas the same --mode',
    );
  }
  // In state mode data is handed over, which another program or Node can read.
  if (mode === 'state') return;
  if (snapshot.node !== process.version) {
    throw new FtError(
      'ERR_FT_MISMATCH',
      `The primary runs Node ${snapshot.node}, this is ${process.version}`,
      'Run the same Node on all replicas',
    );
  }
  if (snapshot.program !== program) {
    throw new FtError(
      'ERR_FT_MISMATCH',
      "The program's main file differs from the one that the primary runs",
      'Start the same program, or stop the group first',
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => originals.setTimeout(done, ms));
}
