/**
 * `ft-tcp run`: an ordinary Node.js program as one replica of a group. This file connects the
 * replica with the process: its sockets, signals, events and exit codes, and the program.
 */
import { constants } from 'node:os';
import { errorCode, FtError } from '../../lib/errors.js';
import { type NativeAddon, native } from '../../lib/native/native.js';
import { type AdminCommand, adminSocketPath, serveCommands } from '../admin/commands.js';
import { ExitCode } from '../admin/error-codes.js';
import { type EventWriter, eventWriter } from '../admin/events.js';
import { serveStatus } from '../admin/status.js';
import { Group, programDigest } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { ownPid } from '../host/own-pid.js';
import { loadProgram, patchNet } from '../replica/program.js';
import type { Replica } from '../replica/replica.js';
import { startReplica } from '../replica/start.js';
import { type RunArguments, runArguments } from './run-options.js';

/** Freed memory that the allocator keeps: returned to the kernel, it costs a fault per page. */
const MAX_FREE_BYTES = 64 << 20;
/** Blocks from this size on are mapped one by one. */
const MIN_MAPPED_BYTES = 4 << 20;
/** Added to a signal's number, it is the exit code of a process that the signal ended. */
const SIGNAL_EXIT = 128;

/**
 * Runs a replica, or the agent with `--cluster`. The arguments are those of `ft-tcp run`.
 *
 * Throws FtError ERR_FT_USAGE, ERR_FT_NODE_VERSION, and what opening the group, the device and the
 * program throws.
 * @returns the exit code, once the agent has ended. A replica ends the process itself: for it the
 * promise stays pending.
 */
export async function runCommand(argv: string[]): Promise<number> {
  requireSupportedNode(process.versions.node);
  const args = runArguments(argv);
  if (args.cluster !== undefined && args.member === undefined) {
    const { clusterCommand } = await import('./cluster.js');
    return await clusterCommand(args, argv);
  }
  const addon = native();
  addon.keepMemory(MAX_FREE_BYTES, MIN_MAPPED_BYTES);
  if (args.member !== undefined) bindToAgent(addon, args.options.agentPid);
  const group = new Group(addon, args.directory, args.group);
  const report = eventWriter({ group: args.group });
  const replica = await openReplica(args, group, report);
  reportEvents(replica, report);
  const running = await RunningReplica.serve(replica, group, args.member !== undefined);
  running.endOnSignals();
  running.endOnFailure();
  await runProgram(running, args, report);
  return new Promise<number>(() => undefined);
}

/** Without its agent nothing renews the lease, so the replica must end with it. */
function bindToAgent(addon: NativeAddon, agentPid: number | undefined): void {
  addon.dieWithParent();
  if (process.ppid !== agentPid)
    throw new FtError('ERR_FT_STATE', 'The agent has ended', 'Start ft-tcp run --cluster again');
}

function openReplica(args: RunArguments, group: Group, report: EventWriter): Promise<Replica> {
  return startReplica({
    replica: { ...args.options, group, ringBytes: args.logBytes },
    program: { argv: [args.program, ...args.programArgs], digest: digestOf(args.program) },
    ...(args.member === undefined ? {} : { assignedRole: args.member }),
    restartWindowSeconds: args.restartWindow,
    events: {
      role: (role, resumesPid) => report('role', resumesPid === undefined ? { role } : { role, resumesPid }),
      resumeSkipped: (reason) => report('resume-skipped', { reason }),
    },
  });
}

/** A replica with its status and admin sockets, until the process ends. */
class RunningReplica {
  readonly #sockets: { close(): void }[] = [];

  private constructor(
    readonly replica: Replica,
    readonly group: Group,
    /** The agent, which still sends the log, removes it. */
    readonly hasAgent: boolean,
  ) {}

  static async serve(replica: Replica, group: Group, hasAgent: boolean): Promise<RunningReplica> {
    const running = new RunningReplica(replica, group, hasAgent);
    const path = adminSocketPath((name) => group.file(name), ownPid);
    running.#sockets.push(await serveStatus(replica));
    running.#sockets.push(await serveCommands(path, (command) => running.#execute(command)));
    return running;
  }

  /** Ends the process. */
  end(code: number): never {
    const { replica } = this;
    // A group that could not be resumed is not tried again by the next process.
    if (replica.isResuming && replica.role === 'backup') replica.endGroup();
    replica.stop();
    this.closeSockets();
    if (replica.hasGroupEnded && !this.hasAgent) this.group.removeEnded();
    process.exit(code);
  }

  closeSockets(): void {
    for (const socket of this.#sockets) socket.close();
  }

  /** SIGTERM switches over to the backup, SIGINT and a second SIGTERM end at once. */
  endOnSignals(): void {
    const { replica } = this;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      let repeated = false;
      process.on(signal, () => {
        const code = SIGNAL_EXIT + constants.signals[signal];
        // Ended on purpose without a backup: the next process starts a new group.
        if (replica.role === 'primary' && replica.writer?.readerAttached !== true) replica.endGroup();
        if (repeated || signal === 'SIGINT') this.end(code);
        repeated = true;
        replica.switchover().then(
          () => this.end(ExitCode.Ok),
          () => this.end(code),
        );
      });
    }
  }

  endOnFailure(): void {
    const { replica } = this;
    replica.on('failed', (error) => {
      process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${error.stack ?? error.message}\n`);
      this.end(ExitCode.Failure);
    });
    replica.on('diverged', () => this.end(ExitCode.Failure));
    replica.on('groupEnded', () => this.end(ExitCode.Ok));
  }

  /** Carries out an admin command. @returns what is to be done after the answer */
  async #execute(command: AdminCommand): Promise<() => void> {
    const { replica } = this;
    const end = (): void => this.end(ExitCode.Ok);
    if (command === 'switchover') {
      await replica.switchover();
      return end;
    }
    if (replica.role !== 'primary')
      throw new FtError('ERR_FT_ROLE', 'This replica is not the primary', 'Send the command to the primary');
    const drained = new Promise<void>((done) => replica.once('drained', () => done()));
    replica.drain();
    await drained;
    replica.endGroup();
    return end;
  }
}

/** Loads the program: at once or, on a backup in state mode, when it takes over. */
async function runProgram(running: RunningReplica, args: RunArguments, report: EventWriter): Promise<void> {
  const { replica } = running;
  const start = async (): Promise<void> => {
    try {
      replica.beginStart();
      await loadProgram(args.program, args.programArgs);
    } catch (error) {
      report('program-failed', { message: error instanceof Error ? error.message : String(error) });
      if (replica.isResuming) replica.endGroup();
      running.closeSockets();
      throw error;
    }
    replica.programStarted();
  };
  if (!replica.stateMode || replica.role === 'primary') return await start();
  replica.once('startProgram', () => {
    replica.runtime.install();
    patchNet(replica);
    start().catch((error: unknown) => {
      process.stderr.write(`ft-tcp: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      running.end(ExitCode.Failure);
    });
  });
  replica.follow();
}

function digestOf(program: string): string {
  try {
    return programDigest(program);
  } catch (error) {
    const code = errorCode(error) ?? 'ENOENT';
    throw new FtError(code, `The program ${program} cannot be read`, 'Give the path of its main file');
  }
}

/** Writes the replica's events to standard error. */
function reportEvents(replica: Replica, report: EventWriter): void {
  replica.on('ready', () => report('ready', { role: replica.role }));
  replica.on('protected', () => report('protected', { unprotected: replica.unprotected }));
  replica.on('unprotected', (reason) => report('unprotected', { reason }));
  // In state mode nothing is replayed.
  if (!replica.stateMode) replica.on('nondeterministicApi', (api) => report('nondeterministic-api', { api }));
  replica.on('diverged', (reason) => report('diverged', { reason }));
  replica.on('replayFailed', (connection, reason) => report('replay-failed', { connection, reason }));
  replica.on('quarantined', (connection, error) => report('quarantined', { connection, error }));
  replica.on('takeover', (takeover) =>
    report('takeover', {
      breakdown: {
        reason: takeover.reason,
        detectedBy: takeover.detectedBy,
        fencedBy: takeover.fencedBy,
        atMonotonicUs: takeover.atMonotonicUs,
        detectUs: 0,
        fenceUs: takeover.fencedUs - takeover.atMonotonicUs,
        drainUs: takeover.drainedUs - takeover.fencedUs,
        attachUs: takeover.attachedUs - takeover.drainedUs,
        firstByteUs: takeover.firstByteUs - takeover.attachedUs,
        firstByteAtUs: takeover.firstByteUs,
        connections: takeover.connections,
        events: takeover.events,
      },
    }),
  );
}
