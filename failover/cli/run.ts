/** `ft-tcp run`: an ordinary Node program as one replica of a group. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { type AdminCommand, adminSocketPath, serveCommands } from '../admin/commands.js';
import { type EventWriter, eventWriter } from '../admin/events.js';
import { serveStatus } from '../admin/status.js';
import { Group, programDigest, type StartSnapshot } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { ownPid } from '../host/own-pid.js';
import { LOG_VERSION, OLDEST_VERSION } from '../log/records.js';
import { RING_HEADER, Ring, SECRET_LENGTH } from '../log/ring.js';
import { loadProgram, patchNet } from '../replica/program.js';
import { Replica, type ReplicaOptions, type ReplicationMode } from '../replica/replica.js';
import { findResumable, type Resumable } from '../replica/resume.js';
import { originals } from '../runtime/core/originals.js';
import { applySnapshot, snapshotProcess } from '../runtime/samples/process.js';
import { type RunArguments, runArguments } from './run-options.js';

/** Freed memory that the process keeps at most, and blocks that are mapped by themselves from then on. */
const KEPT_BYTES = 64 << 20;
const MAPPED_BYTES = 4 << 20;

/** Runs until the program ends or a signal arrives. @returns the exit code; never returns while the program lives. */
export async function runCommand(argv: string[]): Promise<number> {
  requireSupportedNode(process.versions.node);
  const args = runArguments(argv);
  if (args.cluster !== undefined && args.member === undefined) {
    const { clusterCommand } = await import('./cluster.js');
    return await clusterCommand(args, argv);
  }
  const addon = native();
  // Buffers of received data come and go: what is given back to the kernel in between costs a fault per page.
  addon.keepMemory(KEPT_BYTES, MAPPED_BYTES);
  // Nobody is to speak when there is no agent to say until when.
  if (args.member !== undefined) {
    addon.dieWithParent();
    if (process.ppid !== args.options.agentPid)
      throw new FtError('ERR_FT_STATE', 'The agent has ended', 'Start ft-tcp run --cluster again');
  }
  const group = new Group(addon, args.directory, args.group);
  const digest = digestOf(args.program);
  const tell = eventWriter({ group: args.group });
  const base = { ...args.options, group, tell, ringBytes: args.logBytes };
  const primary = args.member === undefined ? args.options.solo || group.lockPrimary() : args.member === 'primary';
  if (args.member === 'primary' && !group.lockPrimary())
    throw new FtError('EBUSY', `Another process is the primary of ${args.group} on this machine`, 'See ft-tcp status');
  const replica = primary ? startPrimary(base, digest, args) : await startBackup(base, digest, args);
  tellAll(replica, tell);
  const status = await serveStatus(replica);
  const control = await serveCommands(
    adminSocketPath((name) => group.file(name), ownPid),
    (order) => obey(replica, order, () => end(0)),
  );
  const end = (code: number): void => {
    // What cannot be gone on with is not tried again and again.
    if (replica.resumes && replica.role === 'backup') replica.endGroup();
    replica.stop();
    status.close();
    control.close();
    process.exit(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    let asked = false;
    process.on(signal, () => {
      const code = 128 + constants.signals[signal];
      // Ended by hand, with nobody to go on: the next one begins anew.
      if (replica.role === 'primary' && replica.writer?.readerAttached !== true) replica.endGroup();
      // A second one is meant.
      if (asked || signal === 'SIGINT') end(code);
      asked = true;
      replica.switchover().then(
        () => end(0),
        () => end(code),
      );
    });
  }
  replica.on('failed', (error) => {
    process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${error.stack ?? error.message}\n`);
    end(1);
  });
  replica.on('diverged', () => end(1));
  replica.on('over', () => end(0));
  const start = async (): Promise<void> => {
    try {
      replica.beginStart();
      await loadProgram(args.program, args.programArgs);
    } catch (error) {
      tell('program-failed', { message: error instanceof Error ? error.message : String(error) });
      if (replica.resumes) replica.endGroup();
      status.close();
      throw error;
    }
    replica.programStarted();
  };
  if (replica.stateMode && replica.role === 'backup') {
    // There is no program here before there is a need for one.
    replica.once('program', () => {
      replica.runtime.install();
      patchNet(replica);
      start().catch((error: unknown) => {
        process.stderr.write(`ft-tcp: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
        end(1);
      });
    });
    replica.follow();
  } else await start();
  return new Promise<number>(() => undefined);
}

/** Carries out an order. @returns what to do when it has been answered. */
async function obey(replica: Replica, order: AdminCommand, end: () => void): Promise<() => void> {
  if (order === 'switchover') {
    await replica.switchover();
    return end;
  }
  if (replica.role !== 'primary')
    throw new FtError('ERR_FT_ROLE', 'This replica is not the primary', 'Ask the primary');
  const drained = new Promise<void>((done) => replica.once('drained', () => done()));
  replica.drain();
  await drained;
  replica.endGroup();
  return end;
}

function digestOf(program: string): string {
  try {
    return programDigest(program);
  } catch (error) {
    throw new FtError(
      errorCode(error) ?? 'ENOENT',
      `The program ${program} cannot be read`,
      'Give the path of its main file',
    );
  }
}

type RunBase = ReplicaOptions & { group: Group; tell: EventWriter };

function startPrimary(base: RunBase, program: string, args: RunArguments): Replica {
  const { restartWindow } = args;
  const { group } = base;
  if (!base.solo && restartWindow > 0) {
    const mode = base.mode ?? 'replay';
    const found = findResumable({
      native: native(),
      group,
      program,
      mode,
      nowUs: systemClock.now(),
      withinSeconds: restartWindow,
    });
    if (typeof found !== 'string') return resumeGroup(base, found);
    if (found !== 'nothing was left behind') base.tell('resume-skipped', { reason: found });
  }
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
    const snapshot: StartSnapshot = {
      format: LOG_VERSION,
      node: process.version,
      program,
      argv: [args.program, ...args.programArgs],
      monoUs: origin.monoUs,
      wallMs: origin.wallMs,
      ringBytes: base.ringBytes,
      mode: base.mode ?? 'replay',
      process: snapshotProcess(),
      writerPid: ownPid,
    };
    group.writeSnapshot(snapshot);
  }
  base.tell('role', { role: 'primary' });
  replica.runtime.install();
  patchNet(replica);
  return replica;
}

/** The group's last process has died: this one becomes what its backup would have been. */
function resumeGroup(base: RunBase, { snapshot, ring }: Resumable): Replica {
  const origin = { monoUs: snapshot.monoUs, wallMs: snapshot.wallMs };
  const pid = ring.writerPid;
  const replica = new Replica({ ...base, ringBytes: snapshot.ringBytes, origin }, ring, 'backup');
  replica.open();
  base.tell('role', { role: 'primary', resumesPid: pid });
  if (!replica.stateMode) {
    applySnapshot(snapshot.process);
    replica.runtime.install();
    patchNet(replica);
  }
  base.group.writeSnapshot({ ...snapshot, writerPid: ownPid });
  replica.resume(pid);
  return replica;
}

async function startBackup(base: RunBase, program: string, args: RunArguments): Promise<Replica> {
  const { group } = base;
  base.tell('role', { role: 'backup' });
  // One replica follows the log; further ones wait for its place. A member's agent has made sure of it.
  while (args.member === undefined && !group.lockBackup()) {
    await pause(200);
    if (group.lockPrimary()) return startPrimary(base, program, args);
  }
  for (;;) {
    const snapshot = group.readSnapshot();
    if (snapshot !== null) {
      refuseOther(snapshot, program, base.mode ?? 'replay');
      const ring = new Ring(native(), group.mapRing(RING_HEADER + snapshot.ringBytes));
      ring.check();
      const pid = ring.writerPid;
      if (pid > 0) {
        const origin = { monoUs: snapshot.monoUs, wallMs: snapshot.wallMs };
        const replica = new Replica({ ...base, ringBytes: snapshot.ringBytes, origin }, ring, 'backup');
        replica.open();
        replica.watchPrimary(pid);
        if (replica.stateMode) return replica;
        applySnapshot(snapshot.process);
        replica.runtime.install();
        patchNet(replica);
        return replica;
      }
    }
    await pause(20);
    if (args.member === undefined && group.lockPrimary()) {
      group.unlockBackup();
      return startPrimary(base, program, args);
    }
  }
}

/** A backup that is not the same program under the same Node could not be where the primary is. */
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
      `The primary runs in ${snapshot.mode ?? 'replay'} mode, this is ${mode}`,
      'Give all replicas the same --mode',
    );
  }
  // In state mode the program and Node may be others: what is handed over is data.
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
      "The program's main file is not the one that the primary runs",
      'Start the same program, or stop the group first',
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => originals.setTimeout(done, ms));
}

function tellAll(replica: Replica, tell: EventWriter): void {
  replica.on('ready', () => tell('ready', { role: replica.role }));
  replica.on('protected', () => tell('protected', { unprotected: replica.unprotected }));
  replica.on('unprotected', (reason) => tell('unprotected', { reason }));
  // In state mode nothing is replayed.
  if (!replica.stateMode) replica.on('undeclared', (api) => tell('nondeterministic-api', { api }));
  replica.on('diverged', (reason) => tell('diverged', { reason }));
  replica.on('unrepeated', (connection, reason) => tell('replay-failed', { connection, reason }));
  replica.on('quarantined', (connection, error) => tell('quarantined', { connection, error }));
  replica.on('takeover', (report) =>
    tell('takeover', {
      breakdown: {
        reason: report.reason,
        atMonotonicUs: report.atMonotonicUs,
        detectUs: 0,
        fenceUs: report.fencedUs - report.atMonotonicUs,
        drainUs: report.drainedUs - report.fencedUs,
        attachUs: report.attachedUs - report.drainedUs,
        firstByteUs: report.firstByteUs - report.attachedUs,
        firstByteAtUs: report.firstByteUs,
        connections: report.connections,
        events: report.events,
      },
    }),
  );
}
