/** `ft-tcp run`: an ordinary Node program as one replica of a group. */

import { constants } from 'node:os';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { type AdminCommand, adminSocketPath, serveCommands } from '../admin/commands.js';
import { type EventWriter, eventWriter } from '../admin/events.js';
import { serveStatus } from '../admin/status.js';
import { Group, programDigest } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { ownPid } from '../host/own-pid.js';
import { loadProgram, patchNet } from '../replica/program.js';
import type { Replica } from '../replica/replica.js';
import { startReplica } from '../replica/start.js';
import { runArguments } from './run-options.js';

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
  const replica = await startReplica({
    replica: { ...args.options, group, ringBytes: args.logBytes },
    program: { argv: [args.program, ...args.programArgs], digest },
    ...(args.member === undefined ? {} : { assignedRole: args.member }),
    restartWindowSeconds: args.restartWindow,
    events: {
      role: (role, resumesPid) => tell('role', resumesPid === undefined ? { role } : { role, resumesPid }),
      resumeSkipped: (reason) => tell('resume-skipped', { reason }),
    },
  });
  tellAll(replica, tell);
  const status = await serveStatus(replica);
  const control = await serveCommands(
    adminSocketPath((name) => group.file(name), ownPid),
    (order) => obey(replica, order, () => end(0)),
  );
  const end = (code: number): void => {
    // What cannot be gone on with is not tried again and again.
    if (replica.isResuming && replica.role === 'backup') replica.endGroup();
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
  replica.on('groupEnded', () => end(0));
  const start = async (): Promise<void> => {
    try {
      replica.beginStart();
      await loadProgram(args.program, args.programArgs);
    } catch (error) {
      tell('program-failed', { message: error instanceof Error ? error.message : String(error) });
      if (replica.isResuming) replica.endGroup();
      status.close();
      throw error;
    }
    replica.programStarted();
  };
  if (replica.stateMode && replica.role === 'backup') {
    // There is no program here before there is a need for one.
    replica.once('startProgram', () => {
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

function tellAll(replica: Replica, tell: EventWriter): void {
  replica.on('ready', () => tell('ready', { role: replica.role }));
  replica.on('protected', () => tell('protected', { unprotected: replica.unprotected }));
  replica.on('unprotected', (reason) => tell('unprotected', { reason }));
  // In state mode nothing is replayed.
  if (!replica.stateMode) replica.on('nondeterministicApi', (api) => tell('nondeterministic-api', { api }));
  replica.on('diverged', (reason) => tell('diverged', { reason }));
  replica.on('replayFailed', (connection, reason) => tell('replay-failed', { connection, reason }));
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
