/**
 * `ft-tcp run`: an ordinary Node.js program as one replica of a group. This file connects the
 * replica with its events and the program; running-replica.ts has its sockets, signals and end.
 */
import { errorCode, FtError } from '../../lib/errors.js';
import { type NativeAddon, native } from '../../lib/native/native.js';
import { ExitCode } from '../admin/error-codes.js';
import type { EventWriter } from '../admin/events.js';
import { askReplicas } from '../admin/replicas.js';
import { hasUncaughtHandler } from '../backup/quarantine.js';
import { requireDevice } from '../host/device-check.js';
import { Group } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { programDigest } from '../host/program-digest.js';
import { ServiceManager } from '../host/service-manager.js';
import type { Launch } from '../operate/deploy/launch.js';
import { findProgram, loadProgram } from '../replica/load-program.js';
import { patchNet } from '../replica/program.js';
import type { Replica } from '../replica/replica.js';
import { startReplica } from '../replica/start.js';
import { createDevice, deviceUse } from './create-device.js';
import { type PublishedNetwork, publish } from './published.js';
import { Reporting } from './reporting.js';
import { type RunArguments, runArguments } from './run-options.js';
import { RunningReplica } from './running-replica.js';
import { StandbyCommands } from './standby-commands.js';

/** Freed memory that the allocator keeps: returned to the kernel, it costs a fault per page. */
const MAX_FREE_BYTES = 64 << 20;
/** Blocks from this size on are mapped one by one. */
const MIN_MAPPED_BYTES = 4 << 20;

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
  const given = runArguments(argv);
  if (given.cluster !== undefined && given.member === undefined) {
    const { clusterCommand } = await import('./cluster.js');
    return await clusterCommand(given, ['run', ...argv]);
  }
  const addon = native();
  keepMemory(addon);
  if (given.member !== undefined) bindToAgent(addon, given.options.agentPid);
  if (given.supervisor !== undefined) bindToParent(addon, given.supervisor, 'ft-tcp up');
  const group = new Group(addon, given.directory, given.group);
  const manager = new ServiceManager(addon, process.env, process.pid);
  const [args, network] = publish(given, group);
  try {
    return await runReplica(args, { group, network, manager });
  } catch (error) {
    network?.release();
    throw error;
  }
}

interface Surroundings {
  group: Group;
  network: PublishedNetwork | null;
  manager: ServiceManager;
}

async function runReplica(args: RunArguments, { group, network, manager }: Surroundings): Promise<number> {
  const reporting = new Reporting(group, args);
  const { report } = reporting;
  // Replicas that were killed have left their sockets.
  await askReplicas(group);
  if (args.create) createDevice(args.options);
  requireDevice({ ...deviceUse(args.options), addresses: args.options.addresses });
  const standby = new StandbyCommands(launchOf(args), args.hold);
  const replica = await openReplica(args, { group, network, standby }, report);
  if (replica === null) {
    report('group-ended', {});
    network?.release();
    return ExitCode.Ok;
  }
  reporting.watch(replica);
  reportEvents(replica, report);
  if (replica.standby !== null) reportStandby(replica, report);
  const { graceMs, metrics } = args;
  const hasAgent = args.member !== undefined;
  const running = await RunningReplica.serve(replica, group, { graceMs, hasAgent, report, metrics, standby });
  running.tellManager(manager);
  if (network !== null) running.releaseAtEnd(network);
  standby.serve(running);
  running.endOnSignals();
  running.endOnFailure();
  running.watchPlace(args.options.tap);
  await runProgram(running, args, report);
  return new Promise<number>(() => undefined);
}

/** Lets the process keep freed memory, which it will need again. */
export function keepMemory(addon: NativeAddon): void {
  addon.keepMemory(MAX_FREE_BYTES, MIN_MAPPED_BYTES);
}

/**
 * Ends this process with its agent: without it nothing renews the lease.
 * Throws FtError ERR_FT_STATE when the agent has ended.
 */
export function bindToAgent(addon: NativeAddon, agentPid: number | undefined): void {
  bindToParent(addon, agentPid, 'ft-tcp run --cluster');
}

function bindToParent(addon: NativeAddon, pid: number | undefined, command: string): void {
  addon.dieWithParent();
  if (process.ppid !== pid) throw new FtError('ERR_FT_STATE', `${command} has ended`, `Start ${command} again`);
}

/** How this replica was started; null: a deploy cannot start another one like it. */
function launchOf(args: RunArguments): Launch | null {
  const { options, member, cluster, supervisor, optionWords, program, programArgs } = args;
  if (options.mode !== 'state' || options.solo || member !== undefined || cluster !== undefined) return null;
  // A supervisor would start the old program again.
  if (supervisor !== undefined) return null;
  return {
    execArgv: process.execArgv,
    options: optionWords,
    // Where a link to the current release points now.
    program: findProgram(program),
    args: programArgs,
    cwd: process.cwd(),
  };
}

function openReplica(
  args: RunArguments,
  { group, network, standby: { hold } }: Pick<Surroundings, 'group' | 'network'> & { standby: StandbyCommands },
  report: EventWriter,
): Promise<Replica | null> {
  return startReplica({
    ...(hold === undefined ? {} : { hold }),
    replica: { ...args.options, group, ringBytes: args.logBytes },
    program: { argv: [args.program, ...args.programArgs], digest: digestOf(args.program) },
    ...(args.member === undefined ? {} : { assignedRole: args.member }),
    isPrivateNetwork: network?.isPrivate === true,
    restartWindowSeconds: args.restartWindow,
    events: {
      role: (role, resumesPid) => report('role', resumesPid === undefined ? { role } : { role, resumesPid }),
      resumeSkipped: (reason) => report('resume-skipped', { reason }),
      resumed: (resumed) => report('resumed', { ...resumed, beginAnew: '--restart-window 0' }),
      variablesDiffer: (variables) => report('environment-differs', { variables }),
    },
  });
}

/** Runs the program: at once or, on a backup in state mode, when it takes over. */
async function runProgram(running: RunningReplica, args: RunArguments, report: EventWriter): Promise<void> {
  const { replica } = running;
  const isWarm = replica.standby !== null;
  const onFailure = (error: unknown): void => {
    if (hasUncaughtHandler() || replica.standby !== null) return;
    report('program-failed', { message: error instanceof Error ? error.message : String(error) });
    if (replica.isResuming) replica.endGroup();
    running.closeSockets();
  };
  const start = async (): Promise<void> => {
    process.on('uncaughtExceptionMonitor', onFailure);
    await loadProgram(replica, args.program, args.programArgs);
    process.off('uncaughtExceptionMonitor', onFailure);
  };
  if (!replica.stateMode || replica.role === 'primary' || isWarm) return await start();
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

/** Reports the life of a program that stands by: it ends this process only. */
function reportStandby(replica: Replica, report: EventWriter): void {
  const portsOf = (): string =>
    [...new Set(replica.connections.listeners.bound.map(({ port }) => port))].sort((a, b) => a - b).join(' ');
  replica.once('standingBy', () => report('standing-by', { ports: portsOf() }));
  let isReported = false;
  const fail = (message: string): void => {
    if (replica.standby === null || replica.stopped || isReported) return;
    isReported = true;
    replica.runtime.outside(() => report('standby-failed', { message }));
  };
  process.on('uncaughtExceptionMonitor', (error) => {
    if (!hasUncaughtHandler()) fail(error instanceof Error ? error.message : String(error));
  });
  replica.on('failed', (error) => fail(error.message));
  process.on('exit', (code) => fail(`The program ended its process with code ${code}`));
}

function digestOf(program: string): string {
  const path = findProgram(program);
  try {
    return programDigest(path);
  } catch (error) {
    const code = errorCode(error) ?? 'ENOENT';
    throw new FtError(code, `The program ${program} cannot be read`, 'Give the path of its main file');
  }
}

/** Writes the replica's events to standard error. */
export function reportEvents(replica: Replica, report: EventWriter): void {
  replica.on('ready', () => report('ready', { role: replica.role }));
  replica.on('joining', (joinerPid, lagBytes) => report('backup-joining', { joinerPid, lagBytes }));
  replica.on('protected', () => report('protected', { unprotected: replica.unprotected }));
  replica.on('unprotected', (reason) => report('unprotected', { reason }));
  // In state mode nothing is replayed.
  if (!replica.stateMode) replica.on('nondeterministicApi', (api) => report('nondeterministic-api', { api }));
  replica.on('diverged', (_reason, divergence) => report('diverged', divergence));
  replica.on('replayFailed', (connection, reason) => report('replay-failed', { connection, reason }));
  replica.on('kernelSocket', (what) => report('kernel-socket', { what }));
  replica.on('programEnded', () => report('program-ended', { code: Number(process.exitCode ?? ExitCode.Ok) }));
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
