/**
 * A replica in its process: its status and admin sockets, its signals, and its end. The last
 * one closes the connections, and removes what the group has made.
 */
import { constants } from 'node:os';
import { errorCode, FtError } from '../../lib/errors.js';
import {
  type AdminCommand,
  adminSocketPath,
  type CommandHost,
  type Executed,
  sendCommand,
  serveCommands,
} from '../admin/commands.js';
import { ExitCode } from '../admin/error-codes.js';
import type { EventWriter } from '../admin/events.js';
import { explainPeer, parsePeer } from '../admin/explain.js';
import { metricsText } from '../admin/metrics.js';
import { type MetricsAddress, MetricsPort } from '../admin/metrics-port.js';
import { askReplicas, primaryFirst } from '../admin/replicas.js';
import { serveStatus, statusOf } from '../admin/status.js';
import { askAgent, CLUSTER_STATUS_SOCKET } from '../cluster/agent/status.js';
import { tryClaimDevice } from '../host/device-claim.js';
import { type EndSignal, endSignals } from '../host/end-signals.js';
import type { Group } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import type { ServiceManager } from '../host/service-manager.js';
import { Word } from '../log/ring-header.js';
import { closeConnections, resetConnections } from '../replica/closing.js';
import type { Replica } from '../replica/replica.js';
import { originals } from '../runtime/core/originals.js';

/** Added to a signal's number, it is the exit code of a process that the signal ended. */
const SIGNAL_EXIT = 128;
/** The group's directory is looked at at this interval. */
const PLACE_LOOK_MS = 200;
/** A backup that is needed as the successor has this long to take over. */
const TAKEOVER_MS = 10_000;
/** Admin commands that every replica carries out. */
const COMMON_COMMANDS = new Set<AdminCommand>(['switchover', 'drain', 'yield-metrics', 'explain']);
/** For a scrape, another replica has to answer within this time. */
const OTHERS_MS = 500;

/** How a replica ends. */
export interface EndOptions {
  /** How long connections of the last replica may take to close, milliseconds. */
  readonly graceMs: number;
  /** The agent, which still sends the log, removes it. */
  readonly hasAgent: boolean;
  readonly report: EventWriter;
  /** Where metrics are served; undefined: on the admin socket only. */
  readonly metrics: MetricsAddress | undefined;
  /** Carries out a deploy's commands; absent: there are none. */
  readonly standby?: CommandRunner;
}

/** Carries out some of the admin commands. */
export interface CommandRunner {
  /** @returns null: it is none of them */
  execute(command: AdminCommand, argument: string): Promise<Executed> | null;
}

/** A replica with its status and admin sockets, until the process ends. */
export class RunningReplica {
  readonly #sockets: { close(): void }[] = [];
  /** The claim of the device is this process's (device-claim.ts). */
  #hasDevice: boolean;
  /** Listeners of each signal before the program was loaded. */
  readonly #listeners = new Map<EndSignal, number>();
  /** A signal has come. */
  #isEnding = false;
  #port: MetricsPort | null = null;
  #manager: ServiceManager | null = null;
  #network: { release(): void } | null = null;
  readonly #onExit = (): void => this.#exiting();

  private constructor(
    readonly replica: Replica,
    readonly group: Group,
    readonly options: EndOptions,
  ) {
    this.#hasDevice = replica.role === 'primary';
  }

  /** Serves the sockets. Throws FtError, or what listening throws. */
  static async serve(replica: Replica, group: Group, options: EndOptions): Promise<RunningReplica> {
    const running = new RunningReplica(replica, group, options);
    const path = adminSocketPath((name) => group.file(name), ownPid);
    running.#sockets.push(await serveStatus(replica));
    const host: CommandHost = {
      execute: (command, argument) => running.#execute(command, argument),
      metrics: () => running.#metrics(),
    };
    running.#sockets.push(await serveCommands(path, host));
    if (options.metrics !== undefined) running.#serveMetrics(options.metrics);
    process.on('exit', running.#onExit);
    return running;
  }

  /** The metrics of the whole group, as seen from here. */
  #metrics(): Promise<string> {
    const { replica, group } = this;
    const asked = replica.runtime.outside(() =>
      Promise.all([
        askReplicas(group, { except: ownPid, timeoutMs: OTHERS_MS }),
        this.options.hasAgent ? askAgent(group.file(CLUSTER_STATUS_SOCKET), OTHERS_MS) : null,
      ]),
    );
    return asked.then(([{ replicas, unresponsive }, cluster]) => {
      const all = [...replicas, statusOf(replica)].sort(primaryFirst);
      return metricsText({ group: group.name, replicas: all, unresponsive, cluster });
    });
  }

  #serveMetrics(address: MetricsAddress): void {
    const { replica, group, options } = this;
    const host = {
      read: () => this.#metrics(),
      outside: <T>(fn: () => T): T => replica.runtime.outside(fn),
      askToYield: async () => {
        const peer = replica.role === 'backup' ? (replica.ring?.load(Word.writerPid) ?? 0) : 0;
        const path = adminSocketPath((name) => group.file(name), peer);
        // A primary that hangs does not answer, and one that ends need not.
        await replica.runtime.outside(() => sendCommand(path, 'yield-metrics', OTHERS_MS)).catch(() => undefined);
      },
      report: (address: string, message: string) => options.report('metrics-unavailable', { address, message }),
    };
    const port = new MetricsPort(host, address);
    this.#port = port;
    this.#sockets.push(port);
    // A backup that has caught up takes the address from its primary.
    if (replica.role === 'primary') port.open();
    else replica.once('ready', () => port.open());
    replica.on('unprotected', () => port.open());
    replica.on('takeover', () => port.open());
  }

  /** Ends the process. @param code undefined: Node chooses it */
  end(code: number | undefined): never {
    const { replica } = this;
    // A group that could not be resumed is not tried again by the next process.
    if (replica.isResuming && replica.role === 'backup') replica.endGroup();
    this.#resetLast();
    replica.stop();
    // It is this replica that ends the process, and not its program in a suspect event.
    replica.quarantine.end();
    // What a backup's program does at its end must not reach the outside.
    if (replica.role === 'backup' && replica.standby === null)
      for (const listener of process.listeners('exit')) if (listener !== this.#onExit) process.off('exit', listener);
    process.exit(code);
  }

  /** After an end on purpose nobody takes the connections over. */
  #resetLast(): void {
    const { replica } = this;
    if (replica.hasGroupEnded && replica.role === 'primary' && !replica.stopped) resetConnections(replica);
  }

  /** The process ends now. Nothing asynchronous happens any more. */
  #exiting(): void {
    const { replica, group, options } = this;
    if (replica.quarantine.isWatching) return;
    // The program may have called process.exit in an event, in which its file calls are recorded.
    replica.runtime.outside(() => {
      this.#resetLast();
      this.closeSockets();
      if (replica.hasGroupEnded && !options.hasAgent && replica.ring !== null) group.removeEnded();
      this.#network?.release();
    });
  }

  /** Closes another socket, too, when the process ends. */
  closeAtEnd(socket: { close(): void }): void {
    this.#sockets.push(socket);
  }

  /** Frees what the group has of the machine, as the last thing that this process does. */
  releaseAtEnd(network: { release(): void }): void {
    this.#network = network;
  }

  /** Tells the service manager when this replica serves or follows, lives, and ends. */
  tellManager(manager: ServiceManager): void {
    if (!manager.isThere) return;
    const { replica } = this;
    this.#manager = manager;
    replica.on('ready', () => {
      manager.ready(replica.role);
      const { watchdogMs } = manager;
      // The event loop turns: that is the sign.
      if (watchdogMs !== null) originals.setInterval(() => manager.alive(), watchdogMs).unref();
    });
    replica.on('takeover', () => manager.status('primary, has taken over'));
  }

  /** Closes and removes the sockets. */
  closeSockets(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }

  /**
   * SIGTERM, SIGINT and SIGHUP switch over to the backup. Without one, connections are closed in an
   * orderly way. The second signal ends at once.
   */
  endOnSignals(): void {
    for (const signal of endSignals()) {
      process.on(signal, () => this.#signalled(signal));
      this.#listeners.set(signal, process.listenerCount(signal));
    }
  }

  #signalled(signal: EndSignal): void {
    // With a listener of its own, a program uses SIGHUP for something else.
    if (signal === 'SIGHUP' && this.#programHandles(signal)) return;
    const { replica } = this;
    const code = SIGNAL_EXIT + constants.signals[signal];
    if (this.#isEnding) {
      this.end(code);
    }
    this.#isEnding = true;
    this.#manager?.stopping();
    if (replica.role === 'primary') this.#endPrimary(signal, code);
    else if (replica.leave()) this.end(code);
    else {
      // The primary has ended, or is about to: this replica is the last one.
      replica.once('takeover', () => this.#endPrimary(signal, code));
      originals.setTimeout(() => this.end(code), TAKEOVER_MS);
    }
  }

  /** The program has a listener of its own: it has come since its start. */
  #programHandles(signal: EndSignal): boolean {
    return process.listenerCount(signal) > (this.#listeners.get(signal) ?? 0);
  }

  /** A process that could take over, on this machine or on another one. */
  get #hasBackup(): boolean {
    const { writer } = this.replica;
    return writer !== null && (writer.clustered ? writer.readerReady : writer.readerAttached);
  }

  #endPrimary(signal: EndSignal, code: number): void {
    if (!this.#hasBackup) {
      void this.#closeLast(signal, code);
      return;
    }
    this.replica.switchover().then(
      () => this.end(ExitCode.Ok),
      // A backup that cannot take over in an orderly way does so when this process has ended.
      () => (this.#hasBackup ? this.end(code) : void this.#closeLast(signal, code)),
    );
  }

  /** Ended on purpose without a backup: the next process starts a new group. */
  async #closeLast(signal: EndSignal, code: number): Promise<void> {
    const { replica, options } = this;
    const { graceMs } = options;
    // The program's own handler may end the process before anything below has happened. Other
    // machines of a cluster keep the group.
    if (!options.hasAgent) replica.endGroup();
    options.report('ending', { signal, connections: replica.stack.tcp.table.size });
    const host = {
      stack: replica.stack,
      tap: replica.tap,
      kick: () => replica.kick(),
      pause: (ms: number) => new Promise<void>((done) => originals.setTimeout(done, ms)),
      nowMs: () => originals.performanceNow(),
    };
    const programMs = this.#programHandles(signal) ? graceMs / 2 : 0;
    const reset = await closeConnections(host, { programMs, graceMs });
    if (reset > 0) options.report('connections-reset', { connections: reset });
    this.end(code);
  }

  /**
   * Watches what the group rests on beside its processes: its directory and its device. A directory
   * that is gone, e.g. by `rm -rf`, leaves no place in which a backup could join or take over.
   */
  watchPlace(device: string): void {
    const { replica, group, options } = this;
    let isInPlace = true;
    originals
      .setInterval(() => {
        if (replica.role !== 'primary') return;
        // The dead primary may have held the device for some time.
        this.#hasDevice ||= tryClaimDevice(group.native, device);
        if (!isInPlace || replica.ring === null || group.isInPlace) return;
        isInPlace = false;
        options.report('directory-removed', { directory: group.path });
        replica.dropBackup("the group's directory has been removed");
      }, PLACE_LOOK_MS)
      .unref();
  }

  /** Ends the process when the replica cannot go on, or has nothing more to do. */
  endOnFailure(): void {
    const { replica } = this;
    replica.on('failed', (error) => {
      process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${error.stack ?? error.message}\n`);
      this.end(ExitCode.Failure);
    });
    replica.on('diverged', () => this.end(ExitCode.Failure));
    replica.on('groupEnded', () => this.end(ExitCode.Ok));
    replica.on('programEnded', () => {
      replica.endGroup();
      this.end(process.exitCode === undefined ? undefined : Number(process.exitCode));
    });
  }

  /** Carries out an admin command. */
  async #execute(command: AdminCommand, argument: string): Promise<Executed> {
    const { replica } = this;
    const after = (): void => this.end(ExitCode.Ok);
    if (command === 'switchover') {
      return { after, answer: { beganUs: await replica.switchover() } };
    }
    if (command === 'yield-metrics') {
      this.#port?.close();
      return {};
    }
    const other = this.options.standby?.execute(command, argument) ?? null;
    if (other !== null) return await other;
    if (!COMMON_COMMANDS.has(command))
      throw new FtError('ERR_FT_DEPLOY_MODE', 'This replica runs no program in state mode', 'See ft-tcp deploy --help');
    if (replica.role !== 'primary')
      throw new FtError('ERR_FT_ROLE', 'This replica is not the primary', 'Send the command to the primary');
    if (command === 'explain') {
      const peer = parsePeer(argument);
      if (peer === undefined) throw new FtError('ERR_FT_USAGE', `"${argument}" is no ADDRESS:PORT`);
      return { answer: explainPeer(replica, peer) };
    }
    const drained = new Promise<void>((done) => replica.once('drained', () => done()));
    replica.drain();
    await drained;
    replica.endGroup();
    return { after };
  }
}
