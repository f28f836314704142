/**
 * One replica of a group: the composition of the stack, the deterministic runtime, the program's
 * connections, and the half that takes the event loop's turns. That half is a primary, or a backup
 * until its takeover.
 *
 * This file composes and forwards. event-loop.ts has the turns, primary/primary.ts and
 * backup/backup.ts what a turn does, takeover.ts how a backup becomes the primary, start.ts how a
 * process finds its role.
 */
import { randomBytes } from 'node:crypto';
import { setChecksumKernel } from '../../lib/checksum.js';
import type { Clock } from '../../lib/clock.js';
import type { TapDevice } from '../../lib/device/tap.js';
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { SocketHost } from '../../stack/core/endpoint.js';
import { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { Backup, type BackupHost } from '../backup/backup.js';
import { ReplicaOutputs } from '../backup/divergence-report.js';
import type { LossReason } from '../backup/primary-watch.js';
import { Quarantine } from '../backup/quarantine.js';
import type { Replayer } from '../backup/replayer.js';
import { Connections, type ConnectionsHost, type LoggedConnection } from '../connections/connections.js';
import { OutputChecks } from '../connections/replicated-endpoint.js';
import { Doorbells } from '../host/doorbells.js';
import { thisMachine } from '../host/environment.js';
import type { ProcessIdentity } from '../host/process-identity.js';
import { HISTORY_LIMIT } from '../log/connection-history.js';
import { GroupClock } from '../log/group-clock.js';
import type { Ring } from '../log/ring.js';
import { ReaderFault, SECRET_LENGTH, ShutdownKind, Word } from '../log/ring-header.js';
import type { RingReader } from '../log/ring-reader.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { CommitGate } from '../primary/output-gate.js';
import type { Primary, PrimaryHost } from '../primary/primary.js';
import { EventTime } from '../runtime/core/event-time.js';
import type { RuntimeEvent } from '../runtime/core/events.js';
import { originals } from '../runtime/core/originals.js';
import type { Runtime } from '../runtime/runtime.js';
import { type OpenedDevice, openDevice, RUNTIME_SECRET_BYTES } from './device.js';
import { EventLoop, type EventLoopHost, type Role } from './event-loop.js';
import type { ReplicaEvents, ReplicaOptions, TakeoverReport } from './options.js';
import { REPLICA_PARTS, type ReplicaParts } from './parts.js';
import { type ProgramHost, ProgramLife } from './program-life.js';
import { programRuntime, type SampleRecorder } from './program-runtime.js';
import { ReplicaBase } from './replica-base.js';
import { StandbyProgram } from './standby-program.js';

export type { ReplicaEvents, ReplicaOptions, ReplicationMode, TakeoverReport } from './options.js';

/** Unacknowledged bytes above which a socket takes no more from its writer. */
const SEND_BUFFER_BYTES = 1024 * 1024;

/**
 * A suspect event may take this many hang timeouts: the primary may have been killed in an event
 * that takes a little more than one.
 */
const SUSPECT_LIMIT = 2;
/** Before the last of them the device has been read, and what had come was answered. */
const TURNS_BEFORE_FINISH = 3;

type Hosts = SocketHost & ConnectionsHost & EventLoopHost & PrimaryHost & BackupHost & ProgramHost;

/** A replica, as its process and its program's sockets use it. Emits {@link ReplicaEvents}. */
export class Replica extends ReplicaBase implements Hosts {
  /** The classes of its parts. */
  readonly parts: ReplicaParts;
  readonly native: NativeAddon;
  readonly clock: Clock;
  /** This process. */
  readonly pid: number;
  readonly identity: ProcessIdentity;
  readonly minInPlaceBytes: number | undefined;
  readonly stack: Stack;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  readonly counters = { droppedDatagrams: 0 };
  readonly runtime: Runtime;
  readonly connections: Connections;
  /** What the programs of both replicas wrote last. */
  readonly outputs = new ReplicaOutputs(this);
  readonly gate: CommitGate;
  readonly bells: Doorbells;
  readonly quarantine: Quarantine;
  readonly sendBuffer = SEND_BUFFER_BYTES;
  role: 'primary' | 'backup';
  /** The program of a warm standby; null: there is none, or it serves now. */
  standby: StandbyProgram | null = null;
  /** A warm standby whose program is loaded takes the backup's place (start.ts). */
  takePlace = async (): Promise<void> => this.follow();
  /** It resumes a group whose processes had all died. */
  isResuming = false;
  programLoaded = false;
  stopped = false;
  lastTakeover: TakeoverReport | null = null;
  readonly #loop: EventLoop;
  #isEnded = false;
  /** The program's start has begun. */
  #hasStarted = false;
  /** The rest of a takeover, for which nobody waits, and after how many idle turns it is done. */
  #rest: { turns: number; readonly finish: () => void } | null = null;
  readonly #program = new ProgramLife(this);
  #primary: Primary | null = null;
  #backup: Backup | null = null;
  #device: OpenedDevice | null = null;

  /** @param ring the group's log; null for a replica without one (`solo`) */
  constructor(
    readonly options: ReplicaOptions,
    readonly ring: Ring | null,
    role: 'primary' | 'backup',
    parts: Partial<ReplicaParts> = {},
  ) {
    super();
    this.parts = { ...REPLICA_PARTS, ...parts };
    const { native, clock, random, pid, identity, minInPlaceBytes } = options.environment ?? thisMachine();
    this.native = native;
    this.quarantine = new Quarantine({
      abort: (conn) => this.connections.reset(conn),
      interrupted: () => this.runtime.interrupted(),
      // On a simulated machine other processes have their turn in this one.
      limitMs: options.environment === undefined ? SUSPECT_LIMIT * options.hangTimeoutMs : null,
      withinMemory: (fn, growthBytes) => native.callWithinMemory(fn, growthBytes),
    });
    this.clock = options.agentPid === undefined || ring === null ? clock : new GroupClock(clock, ring);
    this.pid = pid;
    this.identity = identity ?? { startTime: 0, pidNamespace: 0 };
    this.minInPlaceBytes = minInPlaceBytes;
    this.role = role;
    setChecksumKernel((bytes, offset, length, seed) => native.checksum(bytes, offset, length, seed));
    const secret = ring === null ? randomBytes(SECRET_LENGTH) : ring.secret;
    this.#loop = new EventLoop(this);
    if (role === 'backup' && options.warm === true && this.stateMode) this.standby = new StandbyProgram(this);
    this.runtime = programRuntime(this, secret.subarray(0, RUNTIME_SECRET_BYTES));
    this.bells = new Doorbells(native, options.group, () => this.kick());
    this.time = new EventTime(this.clock, this.runtime);
    this.checks = new OutputChecks(native, this.time, () => this.#crossConnection());
    this.gate = new this.parts.CommitGate(options.commit);
    this.stack = new Stack({
      clock: this.clock,
      random,
      secret: Uint8Array.from(secret.subarray(RUNTIME_SECRET_BYTES)),
    });
    this.stack.gate = this.gate;
    this.stack.tcp.frozen = role === 'backup';
    this.connections = new Connections(this, {
      stateMode: this.stateMode,
      solo: ring === null,
      statePorts: options.statePorts ?? [],
      independentPorts: options.independentPorts ?? [],
      historyLimit: options.historyLimit ?? HISTORY_LIMIT,
    });
    if (role === 'primary') this.#primary = new this.parts.Primary(this);
  }

  // --- Life ---

  /**
   * Opens the device and begins to take turns. Throws FtError for a device that cannot be opened.
   * @param announce a primary tells its neighbours where its addresses are
   */
  open(announce = true): void {
    const { options, ring } = this;
    this.#device = openDevice(this);
    const { gated, mac } = this.#device;
    this.stack.addInterface(gated, {
      name: options.tap,
      addresses: options.addresses,
      ...(options.gateway === undefined ? {} : { gateway: options.gateway }),
      mac,
    });
    this.#loop.open(options.busyPollUs ?? 0);
    if (ring !== null && this.standby === null) this.bells.open(this.role);
    if (this.#primary !== null) {
      if (ring !== null) this.#primary.openLog(ring);
      if (announce) this.announce();
    }
    this.wakeAfter(0);
  }

  /**
   * The program is about to start: event 0, at the time at which the group began. Later where it
   * starts at a takeover, or stands by.
   */
  beginStart(): void {
    const { origin } = this.options;
    if (this.lastTakeover === null && this.standby === null)
      this.time.set(0, origin?.monoUs ?? this.clock.now(), origin?.wallMs ?? this.clock.wall());
    else this.time.next();
    this.time.begin();
    this.#loop.inEvent = true;
    if (this.standby === null) this.follow();
  }

  /** A backup asks to be admitted to the log. In state mode it does so without a program. */
  follow(): void {
    if (this.role !== 'backup' || this.ring === null || this.reader !== null) return;
    Backup.requestJoin(this.ring, this.pid);
    this.bells.ring();
  }

  /** The program's start is over. A backup begins to follow the log now. */
  programStarted(): void {
    this.programLoaded = true;
    this.#loop.finishEvent();
    if (this.role === 'primary') {
      this.#primary?.programStarted(this.stateMode && this.lastTakeover !== null);
      this.#program.started();
    }
    this.kick();
  }

  /** The program may start: a backup's, when the log can tell it what the primary's has opened. */
  get mayStart(): boolean {
    return this.standby !== null || this.#backup === null || this.#backup.mayStart;
  }

  /**
   * Runs the program's start as one event, from Node's event loop. Resolves when the loop would
   * wait for the first time: the start is over then. What `run` throws is uncaught.
   */
  start(run: () => void, isLoading = (): boolean => false): Promise<void> {
    this.#hasStarted = true;
    return new Promise((started) => {
      originals.setImmediate(() => {
        this.#program.begin();
        this.beginStart();
        this.#loop.beginStart(isLoading, () => {
          this.programStarted();
          started();
        });
        run();
      });
    });
  }

  request(event: RuntimeEvent): void {
    (this.standby ?? this.#primary?.dispatcher)?.request(event);
    this.kick();
  }

  get hasRequests(): boolean {
    return this.#primary?.dispatcher.isBusy === true;
  }

  /** Follows the primary: watches it, and takes over when it is lost. Throws FtError ESRCH. */
  watchPrimary(pid: number, alive = true): void {
    if (this.standby !== null) this.bells.open('backup');
    if (this.ring !== null) this.#backup = new Backup(this, this.ring, { primaryPid: pid, alive });
  }

  /**
   * Resumes a group whose last process has died: its complete log outlives it, and the peers of its
   * connections have waited meanwhile.
   */
  resume(pid: number): void {
    this.isResuming = true;
    // Its peers wait: the program is loaded when they have been answered.
    if (!this.programLoaded) this.standby = null;
    this.watchPrimary(pid, false);
    this.primaryLost('death');
  }

  /**
   * Hands the group to the backup (switchover). Input waits in the device's queue, the backup reads
   * the log to its end, and learns how far each connection has sent, so that nothing has to be sent
   * again.
   *
   * Resolves when this process may end; it has to end then. The value is when input stopped, in
   * microseconds of the monotonic clock. Rejects with FtError ERR_FT_UNPROTECTED
   * when no backup could take over, ERR_FT_STATE when a switchover is under way, ERR_FT_ROLE on a
   * backup.
   */
  switchover(): Promise<number> {
    if (this.#primary === null)
      return Promise.reject(new FtError('ERR_FT_ROLE', 'This replica is not the primary', 'Ask the primary'));
    return this.#primary.beginSwitchover();
  }

  /**
   * Accepts no new connections; emits `drained` when the last one has ended. Survives a takeover.
   */
  drain(): void {
    this.ring?.store(Word.draining, 1);
    this.stack.tcp.draining = true;
    this.kick();
  }

  /** Primary: the backup on this machine is given up, and none can join any more. */
  dropBackup(reason: string): void {
    this.#primary?.dropBackup(reason);
  }

  /** No replica is to take over: a backup that sees this primary end ends, too. */
  endGroup(): void {
    this.#isEnded = true;
    this.ring?.store(Word.shutdown, ShutdownKind.GroupEnd);
  }

  /** The group ends, or has ended, on purpose. */
  get hasGroupEnded(): boolean {
    return this.#isEnded || this.ring?.load(Word.shutdown) === ShutdownKind.GroupEnd;
  }

  /**
   * A backup lets go of its primary, which then has none.
   * @returns false: the primary has ended, or hands the group over, and this replica is its
   * successor
   */
  leave(): boolean {
    const { ring } = this;
    return ring === null || this.#backup === null || this.#backup.leave();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.#loop.close();
    this.bells.close();
    this.#primary?.close();
    this.#backup?.close();
    this.tap?.close();
  }

  // --- SocketHost, ConnectionsHost ---

  afterCommit(effect: () => void): void {
    if (this.#primary !== null) this.#primary.effects.add(effect);
    else if (this.standby !== null) effect();
  }

  loggedOutgoing(): LoggedConnection | undefined {
    return this.replayer?.outgoing();
  }

  /** The program wrote to a replayed connection in an event that no backup replays. */
  #crossConnection(): void {
    if (this.role === 'primary')
      this.runtime.reportOnce('writing to a replayed connection in an event of one in state mode');
  }

  // --- The event loop ---

  get current(): (Role & SampleRecorder) | null {
    return this.#primary ?? this.#backup ?? this.standby;
  }

  get inEvent(): boolean {
    return this.#loop.inEvent;
  }

  kick(): void {
    this.#loop.kick();
  }

  wakeAfter(ms: number): void {
    this.#loop.wakeAfter(ms);
  }

  eventEnded(): void {
    this.#primary?.eventEnded();
  }

  // --- The primary's half ---

  /** An idle turn of the primary is over. The first frame after a takeover may have left. */
  flushed(): void {
    if (this.#rest !== null) {
      this.kick();
      if (--this.#rest.turns > 0) return;
      this.#rest.finish();
      this.#rest = null;
      // After the backup's place is free: a program may block this thread, and is watched then.
      if (this.stateMode && !this.#hasStarted) this.emit('startProgram');
    }
    this.#program.look();
    if (this.lastTakeover?.firstByteUs === 0) this.#reportTakeover(this.lastTakeover);
  }

  switchedOver(): void {
    this.#loop.halt();
    this.emit('switchedOver');
  }

  // --- The backup's half ---

  /** Ends a backup whose program is not where the primary's is. @param conn whose output differs */
  diverged(reason: string, conn = 0): void {
    if (this.stopped || this.role !== 'backup') return;
    this.ring?.store(Word.readerFault, ReaderFault.Diverged);
    this.bells.ring();
    this.emit('diverged', reason, this.outputs.report(reason, conn));
    this.stop();
  }

  /** The primary is lost: this backup takes over, unless the group has ended. */
  primaryLost(reason: LossReason): void {
    const { ring } = this;
    const backup = this.#backup;
    if (ring === null || backup === null || this.#device === null) return;
    if (ring.load(Word.shutdown) === ShutdownKind.GroupEnd) {
      this.stop();
      this.emit('groupEnded');
      return;
    }
    const { tap, gated: device } = this.#device;
    const { clock, stack, runtime, connections, bells, stateMode } = this;
    const takeover = new this.parts.Takeover(
      {
        ...{ clock, ring, stack, runtime, connections, bells, tap, device, stateMode },
        programRuns: () => !stateMode || (this.options.warm === true && this.programLoaded),
        becomePrimary: () => this.#becomePrimary(),
        announce: () => this.announce(),
        completed: (report, finish) => this.#takenOver(report, finish),
      },
      backup,
      reason,
    );
    try {
      takeover.begin();
    } catch (error) {
      this.emit('failed', error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.kick();
  }

  #becomePrimary(): Primary {
    this.role = 'primary';
    this.#backup = null;
    this.#primary = new this.parts.Primary(this);
    const { standby } = this;
    this.standby = null;
    standby?.handOver(this.#primary.dispatcher);
    return this.#primary;
  }

  #takenOver(report: TakeoverReport, finish: () => void): void {
    this.lastTakeover = report;
    this.#rest = { turns: TURNS_BEFORE_FINISH, finish };
  }

  #reportTakeover(report: TakeoverReport): void {
    const firstSentUs = this.#device?.gated.firstSentUs ?? 0;
    if (firstSentUs === 0) return;
    report.firstByteUs = firstSentUs;
    this.emit('takeover', report);
  }

  // --- Parts and status ---

  /** The device; null before it is open. */
  get tap(): TapDevice | null {
    return this.#device?.tap ?? null;
  }

  /** The log's writer; null on a backup, and without a log. */
  get writer(): RingWriter | null {
    return this.#primary?.writer ?? null;
  }

  /** The log's reader; null on a primary, and on a backup that has not joined. */
  get reader(): RingReader | null {
    return this.#backup?.follower.reader ?? null;
  }

  get replayer(): Replayer | null {
    return this.#backup?.replayer ?? null;
  }

  /** How often the event loop has polled before it slept, and found something. */
  get busyPolls(): { polls: number; found: number } {
    return this.#loop.busyPolls;
  }

  /**
   * Connections below this number are older than the backup that follows now; Infinity: none
   * follows.
   */
  get firstProtected(): number {
    return this.#primary?.firstProtected ?? Number.POSITIVE_INFINITY;
  }

  /** Primary: a backup follows, and has not caught up yet. */
  get joining(): boolean {
    return this.#primary?.joining === true;
  }

  /** Connections that the backup which follows now does not know. */
  get unprotected(): number {
    return this.#primary?.unprotected ?? this.stack.tcp.table.size;
  }

  /** Whether the backup that follows now knows a connection. */
  protects(conn: TcpConnection): boolean {
    return this.#primary?.protects(conn) === true;
  }
}
