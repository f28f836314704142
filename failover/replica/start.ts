/**
 * How a process becomes a replica: the first process of a group is its primary, the next one its
 * backup, and further ones wait for the backup's place (agreement.ts: what they must have in
 * common). A group that has died is resumed if that is
 * possible. On several machines the agent has assigned the role.
 */
import { randomBytes } from 'node:crypto';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { claimDevice } from '../host/device-claim.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import { ownIdentity, startTimeOf } from '../host/process-identity.js';
import { LOG_VERSION, OLDEST_VERSION } from '../log/records.js';
import { Ring } from '../log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../log/ring-header.js';
import { originals } from '../runtime/core/originals.js';
import { applySnapshot, type ProcessSnapshot, snapshotProcess } from '../runtime/samples/process.js';
import {
  agreementOf,
  differentVariables,
  findDifference,
  GATEWAY_PROGRAM,
  mismatch,
  type OwnTerms,
} from './agreement.js';
import type { ReplicaOptions } from './options.js';
import { patchNet } from './program.js';
import { Replica } from './replica.js';
import { findResumable, NOTHING_TO_RESUME, type Resumable } from './resume.js';
import { warmUp } from './warm-up.js';

/** A waiting replica looks for a free place at this interval. */
const PLACE_POLL_MS = 100;
/** A backup looks for its primary's log at this interval. */
const PRIMARY_POLL_MS = 20;
/** Another host that has one of the addresses says so within this time. */
const PROBE_MS = 250;

/** What is reported while a process looks for its role. */
export interface StartEvents {
  /** The role has been found. @param resumesPid the process whose group is resumed */
  role(role: 'primary' | 'backup', resumesPid?: number): void;
  /** An earlier group cannot be resumed; a new one begins. */
  resumeSkipped(reason: string): void;
  /** The group is resumed. */
  resumed(from: { diedPid: number; deadSeconds: number }): void;
  /** The program sees the group's values of these environment variables, which differ here. */
  variablesDiffer(names: string[]): void;
}

/** How to start a replica. */
export interface StartOptions {
  replica: ReplicaOptions & { group: Group };
  program: {
    /** Its main file and arguments, for the start snapshot. */
    argv: string[];
    /** `programDigest` of it. */
    digest: string;
  };
  /** No other host can have the addresses: nobody is asked. */
  isPrivateNetwork?: boolean;
  /** Several machines: the role that the agent has assigned. */
  assignedRole?: 'primary' | 'backup';
  /** A group that died longer ago is not resumed, seconds; 0: no group is. */
  restartWindowSeconds: number;
  /**
   * Warm standby: its program is loaded before it takes the backup's place, and it takes that only
   * when this has resolved. Undefined: it takes it as soon as it can.
   */
  hold?: Promise<void>;
  events: StartEvents;
}

/**
 * Starts this process's replica in the role that is free, or assigned. The program's sockets,
 * timers and files are the replica's when it resolves; on a backup in state mode that is not warm,
 * only after `startProgram`.
 *
 * Throws FtError EBUSY when the assigned role or the device is taken, EADDRINUSE when another host
 * has an address, ERR_FT_LOG_VERSION, ERR_FT_MISMATCH or ERR_FT_NAMESPACE when the primary differs,
 * and what opening the device throws.
 * @returns null: the group has ended on purpose while this process waited for a place
 */
export async function startReplica(options: StartOptions): Promise<Replica | null> {
  const { replica, assignedRole } = options;
  const { group, solo } = replica;
  if (assignedRole === 'backup') return startBackup(options);
  if (solo) return startPrimary(options);
  if (assignedRole === undefined) return findRole(options);
  if (group.lockPrimary()) return startPrimary(options);
  throw new FtError('EBUSY', `Another process is the primary of ${group.name} on this machine`, 'See ft-tcp status');
}

/**
 * The locks have one order: only who holds the backup's lock tries the primary's. So a process that
 * waits cannot take the group away from the backup that knows its connections.
 */
async function findRole(options: StartOptions): Promise<Replica | null> {
  const { replica, events, hold } = options;
  const { group, mode, warm } = replica;
  const isWarm = mode === 'state' && warm === true;
  let hasWaited = false;
  while (hold !== undefined || !group.lockBackup()) {
    if (!hasWaited) events.role('backup');
    hasWaited = true;
    const standby = isWarm ? standBy(options) : null;
    if (standby !== null) return standby;
    if (hold !== undefined && group.hasEnded) return null;
    await pause(PLACE_POLL_MS);
  }
  // The mark is removed by the next group, whose first process does not wait.
  if (hasWaited && group.hasEnded) return null;
  if (group.lockPrimary()) {
    group.unlockBackup();
    return startPrimary(options);
  }
  if (!hasWaited) events.role('backup');
  return startBackup(options);
}

/**
 * Runs as the primary: resumes the group that died, or begins a new one. The group's lock is ours.
 */
async function startPrimary(options: StartOptions): Promise<Replica> {
  await claimDevice(native(), options.replica.tap, pause);
  const resumable = lookForResumable(options);
  return resumable === null ? await startGroup(options) : resumeGroup(options, resumable);
}

/** What of this process is compared with the group. */
function ownTerms({ replica, program, assignedRole }: StartOptions): OwnTerms {
  return {
    mode: replica.mode ?? 'replay',
    program: program.digest,
    agreement: agreementOf(replica, program.argv),
    clustered: assignedRole !== undefined,
  };
}

function lookForResumable(options: StartOptions): Resumable | null {
  const { replica, restartWindowSeconds, events } = options;
  if (replica.solo || restartWindowSeconds <= 0) return null;
  const found = findResumable({
    native: native(),
    group: replica.group,
    own: ownTerms(options),
    nowUs: systemClock.now(),
    restartWindowSeconds,
  });
  if (typeof found !== 'string') return found;
  if (found !== NOTHING_TO_RESUME) events.resumeSkipped(found);
  return null;
}

async function startGroup(options: StartOptions): Promise<Replica> {
  const { replica: base, program, events } = options;
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
  replica.open(false);
  const mayCollide = options.assignedRole === undefined && options.isPrivateNetwork !== true;
  if (mayCollide) await requireFreeAddresses(replica, group);
  replica.announce();
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
      agreement: agreementOf(base, program.argv),
      process: snapshotProcess(),
      writerPid: ownPid,
    });
  }
  events.role('primary');
  if (program.digest === GATEWAY_PROGRAM) return replica;
  replica.runtime.install();
  patchNet(replica);
  return replica;
}

/** A second host with the same address would get half of the packets, and reset connections. */
async function requireFreeAddresses(replica: Replica, group: Group): Promise<void> {
  let isClaimed = false;
  replica.probeAddresses(() => {
    isClaimed = true;
  });
  await pause(PROBE_MS);
  replica.stack.onAddressClaim = null;
  if (!isClaimed) return;
  replica.stop();
  if (replica.ring !== null) group.clearOld();
  throw new FtError(
    'EADDRINUSE',
    `Another host on ${replica.options.tap} has one of the addresses ${replica.options.addresses.join(', ')}`,
    'Choose a free address with --ip',
  );
}

/** This process becomes what the dead primary's backup would have been. */
function resumeGroup({ replica: base, events }: StartOptions, resumable: Resumable): Replica {
  const { snapshot, ring, deadSeconds } = resumable;
  const pid = ring.writerPid;
  base.group.sweepMemory([pid]);
  const replica = followingReplica(base, snapshot, ring);
  events.role('primary', pid);
  events.resumed({ diedPid: pid, deadSeconds });
  reportVariables(snapshot, events);
  if (!replica.stateMode) installProgram(replica, snapshot);
  base.group.writeSnapshot({ ...snapshot, writerPid: ownPid });
  replica.resume(pid);
  return replica;
}

/** Runs as the backup, once the primary's log is there. */
async function startBackup(options: StartOptions): Promise<Replica> {
  const { replica: base, assignedRole, events } = options;
  const { group } = base;
  if (assignedRole !== undefined) events.role('backup');
  warmUp();
  for (;;) {
    const replica = follow(options);
    if (replica !== null) return replica;
    await pause(PRIMARY_POLL_MS);
    if (assignedRole === undefined && group.lockPrimary()) {
      group.unlockBackup();
      return startPrimary(options);
    }
  }
}

/**
 * A warm standby beside the backup, whose place it does not have: its program is loaded meanwhile.
 * @returns null: there is no primary yet, or it is about to be another process
 */
function standBy(options: StartOptions): Replica | null {
  const { replica: base, hold } = options;
  const { group } = base;
  const snapshot = group.readSnapshot();
  if (snapshot === null) return null;
  refuseOther(snapshot, options);
  const ring = new Ring(native(), group.mapRing(RING_HEADER + snapshot.ringBytes));
  ring.check();
  if (ring.writerPid <= 0 || !isWriter(ring)) return null;
  warmUp();
  const replica = followingReplica(base, snapshot, ring);
  installStandby(replica);
  const { monoUs } = snapshot;
  replica.takePlace = async () => {
    await hold;
    await takePlace(replica, group, ring, monoUs);
  };
  return replica;
}

/** Waits for the backup's place, and follows the process that is the primary then. */
async function takePlace(replica: Replica, group: Group, ring: Ring, monoUs: number): Promise<void> {
  for (; !replica.stopped; await pause(PRIMARY_POLL_MS)) {
    if (!group.lockBackup()) continue;
    if (group.hasEnded || group.readSnapshot()?.monoUs !== monoUs) {
      group.unlockBackup();
      replica.stop();
      replica.emit('groupEnded');
      return;
    }
    if (group.lockPrimary()) {
      // The group has died meanwhile.
      group.unlockBackup();
      replica.watchPrimary(ring.writerPid, false);
      replica.primaryLost('death');
      return;
    }
    if (tryWatch(replica, ring)) {
      replica.follow();
      return;
    }
    group.unlockBackup();
  }
}

/** @returns false: the log's writer has ended, or is about to be another process */
function tryWatch(replica: Replica, ring: Ring): boolean {
  if (ring.writerPid <= 0 || !isWriter(ring)) return false;
  try {
    replica.watchPrimary(ring.writerPid);
    return true;
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
    return false;
  }
}

/** @returns null: there is no primary yet, or it is about to be another process */
function follow(options: StartOptions): Replica | null {
  const { replica: base, assignedRole } = options;
  const { group } = base;
  const snapshot = group.readSnapshot();
  if (snapshot === null) return null;
  refuseOther(snapshot, options);
  const ring = new Ring(native(), group.mapRing(RING_HEADER + snapshot.ringBytes));
  ring.check();
  const pid = ring.writerPid;
  // While a group is resumed, the log still names the process that died.
  if (pid <= 0 || (assignedRole === undefined && !isWriter(ring))) return null;
  group.sweepMemory([pid, ownPid]);
  const replica = followingReplica(base, snapshot, ring);
  try {
    replica.watchPrimary(pid);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH' || assignedRole !== undefined) throw error;
    replica.stop();
    group.removeMemory(ownPid);
    return null;
  }
  reportVariables(snapshot, options.events);
  if (!replica.stateMode) installProgram(replica, snapshot);
  else if (replica.standby !== null) installStandby(replica);
  return replica;
}

/**
 * Whether the log's writer lives: its number may belong to another process by now. Throws FtError
 * ERR_FT_NAMESPACE when this process cannot see it.
 */
function isWriter({ words, writerPid }: Ring): boolean {
  const [startTime, namespace] = [words[Word.writerStartTime], words[Word.writerPidNamespace]];
  if (namespace !== 0 && ownIdentity.pidNamespace !== 0 && namespace !== ownIdentity.pidNamespace)
    throw new FtError(
      'ERR_FT_NAMESPACE',
      `The primary (process ${writerPid}) runs in the pid namespace ${namespace}, this process in ${ownIdentity.pidNamespace}`,
      'Run all replicas of a group in one pid namespace, or use --cluster; ft-tcp drain ends the group',
    );
  if (ownIdentity.startTime === 0) return true;
  const found = startTimeOf(writerPid);
  return found !== 0 && (startTime === 0 || found === startTime);
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

/** The program of a warm standby sees its own process. */
function installStandby(replica: Replica): void {
  replica.runtime.install();
  patchNet(replica);
}

/** State mode: the program that is started at a takeover sees its own process. */
function reportVariables(snapshot: StartSnapshot, events: StartEvents): void {
  const names = snapshot.mode === 'state' ? [] : differentVariables(snapshot);
  if (names.length > 0) events.variablesDiffer(names);
}

/** A backup that differs from its primary could not replay what the primary does. */
function refuseOther(snapshot: StartSnapshot, options: StartOptions): void {
  if (snapshot.format < OLDEST_VERSION || snapshot.format > LOG_VERSION) {
    throw new FtError(
      'ERR_FT_LOG_VERSION',
      `The primary writes log version ${snapshot.format}, this program reads ${OLDEST_VERSION} to ${LOG_VERSION}`,
      'Upgrade one version at a time, the backup first',
    );
  }
  const difference = findDifference(snapshot, ownTerms(options));
  if (difference !== null) throw mismatch(difference);
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => originals.setTimeout(done, ms));
}
