/**
 * One replica of a group: the stack, the log, the program's world, and the turns of the event loop that drive them.
 *
 * A turn delivers one event: on the primary the next that is due (a socket's, a timer's, …), after it was logged; on a
 * backup the next that the log holds. Between two turns ticks and microtasks drain, so that a turn is all that happens
 * between two events. When nothing is due, the primary publishes the log and sends what the turns made necessary.
 */
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'eventemitter3';
import { setChecksumKernel } from '../../lib/checksum.js';
import type { Clock } from '../../lib/clock.js';
import type { FrameDevice } from '../../lib/device/device.js';
import { CapturedDevice, PcapWriter } from '../../lib/device/pcap.js';
import { slabBytes } from '../../lib/device/rx-slab.js';
import { TapDevice } from '../../lib/device/tap.js';
import { FtError } from '../../lib/errors.js';
import { formatMac } from '../../lib/ipv4-address.js';
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { AppEndpoint } from '../../stack/app-endpoint.js';
import type {
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  SocketHost,
  SocketTimers,
  StreamEndpoint,
} from '../../stack/sockets/endpoint.js';
import { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { TcpState } from '../../stack/tcp/state.js';
import { Follower, RX_SLOTS } from '../backup/follower.js';
import { hasUncaughtHandler, Quarantine } from '../backup/quarantine.js';
import type { ReplayHost } from '../backup/replay-host.js';
import type { Replayer } from '../backup/replayer.js';
import type { ProcessCheckpoint } from '../checkpoint/process-checkpoint.js';
import { Connections } from '../connections/connections.js';
import { OutputChecks, type ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { senderOptions } from '../host/busy-poll.js';
import { Doorbells } from '../host/doorbells.js';
import { thisMachine } from '../host/environment.js';
import { type ConnectionHistories, HISTORY_LIMIT } from '../log/connection-history.js';
import { GroupClock } from '../log/group-clock.js';
import { invariants } from '../log/invariants.js';
import { RecordType } from '../log/records.js';
import { ReaderState, type Ring, type RingReader, RingWriter, SECRET_LENGTH, Word } from '../log/ring.js';
import { CommitGate, GatedDevice } from '../primary/output-gate.js';
import { Recorder } from '../primary/recorder.js';
import { RemoteStandby } from '../primary/remote-standby.js';
import { LocalStandby, type Standby, type StandbyHost } from '../primary/standby.js';
import { StreamRecorder } from '../primary/stream-recorder.js';
import { Switchover } from '../primary/switchover.js';
import { EventTime } from '../runtime/core/event-time.js';
import type { RuntimeEvent } from '../runtime/core/events.js';
import { decodeRuntimeEvent, encodeRuntimeEvent, runtimeEventKind } from '../runtime/core/events.js';
import { Runtime } from '../runtime/runtime.js';
import type { ReplicaEvents, ReplicaOptions, TakeoverReport } from './options.js';

export type { ReplicaEvents, ReplicaOptions, ReplicationMode, TakeoverReport } from './options.js';

const HEARTBEAT_MS = 20;
/** A backup that is up to date looks at the log this often. */
const POLL_MS = 2;
/** After a takeover, segments for unknown connections are met with silence for so long (rule F2). */
const GRACE_US = 3_000_000;
const MAX_TURNS = 256;
/** State mode: the connection is given back, and told what the dead primary was told. */
const SUSPECT_EVENTS = 2;
/** Events that are due follow each other for so long at most before output, heartbeat and input have their turn. */
const LONGEST_PASS_US = 5000;
/** Bytes of the log that are worth waking a reader for whom output waits, in the middle of a pass. */
const HURRY_LAG = 8192;
const KEY_LENGTH = 32;
/** A log that a frame's flags can say a place in. */
const MOST_DIRECT_LOG = 2 ** 30;

export class Replica extends EventEmitter<ReplicaEvents> implements SocketHost, ReplayHost {
  readonly native: NativeAddon;
  readonly clock: Clock;
  readonly pid: number;
  readonly leastInPlace: number | undefined;
  readonly stack: Stack;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  readonly counters = { droppedDatagrams: 0 };
  readonly runtime: Runtime;
  readonly connections: Connections;
  readonly gate: CommitGate;
  readonly sendBuffer = 1024 * 1024;
  role: 'primary' | 'backup';
  /** It goes on where a dead group was. */
  resumes = false;
  programLoaded = false;
  lastTakeover: TakeoverReport | null = null;
  readonly startedUs: number;
  #writer: RingWriter | null = null;
  #recorder: Recorder | null = null;
  /** Primary: its backup. */
  #keeper: Standby | null = null;
  /** Backup: its primary. */
  #follower: Follower | null = null;
  #tap: TapDevice | null = null;
  #device: GatedDevice | null = null;
  #hook: NativeHandle | null = null;
  #inEvent = false;
  /** The program threw, and its handler of uncaught exceptions ran. */
  #mishap = false;
  readonly #onMishap = (): void => {
    this.#mishap = this.runtime.active;
    this.#kick();
  };
  #worldQueue: RuntimeEvent[] = [];
  #worldTurn = false;
  /** Since when events have followed each other; 0: they have not. */
  #busySinceUs = 0;
  #taking: TakeoverReport | null = null;
  /** The primary died in the last event that was repeated here. */
  #unfinished = false;
  /** Outgoing connections that the program is given back before anything else happens to it. */
  #toGiveBack = 0;
  readonly #bells: Doorbells;
  #announced = false;
  #stopped = false;

  constructor(
    readonly options: ReplicaOptions,
    readonly ring: Ring | null,
    role: 'primary' | 'backup',
  ) {
    super();
    const { native, clock, random, pid } = options.environment ?? thisMachine();
    this.native = native;
    this.clock = options.agentPid === undefined || ring === null ? clock : new GroupClock(clock, ring);
    this.pid = pid;
    this.leastInPlace = options.environment?.leastInPlace;
    setChecksumKernel((bytes, offset, length, seed) => this.native.checksum(bytes, offset, length, seed));
    this.role = role;
    const secret = ring === null ? randomBytes(SECRET_LENGTH) : ring.secret;
    this.startedUs = this.clock.now();
    this.runtime = new Runtime({
      secret: Uint8Array.from(secret.subarray(0, KEY_LENGTH)),
      live: role === 'primary',
      native: this.native,
      request: (event) => this.#request(event),
      restore: () => this.connections.saved.restore(),
      onNondeterministicApi: (what) => this.emit('undeclared', what),
      onDivergence: (divergence) => this.diverged(`${divergence.what}: ${divergence.detail}`),
      ...(options.origin === undefined ? {} : { origin: options.origin }),
    });
    this.#bells = new Doorbells(this.native, options.group, () => this.#kick());
    this.time = new EventTime(this.clock, this.runtime);
    this.checks = new OutputChecks(this.native, this.time, () => this.#mixed());
    this.gate = new CommitGate(options.commit);
    this.stack = new Stack({
      clock: this.clock,
      random,
      secret: Uint8Array.from(secret.subarray(KEY_LENGTH)),
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
  }

  get histories(): ConnectionHistories {
    return this.connections.histories;
  }

  get endpoints(): Map<number, ReplicaEndpoint> {
    return this.connections.endpoints;
  }

  /** What the program has saved of itself. */
  get saved(): ProcessCheckpoint {
    return this.connections.saved;
  }

  get timers(): SocketTimers {
    return this.runtime.timers;
  }

  /** Opens the device and starts the turns. Throws FtError for a device that cannot be opened. */
  open(): void {
    const { options, native, ring } = this;
    this.#tap = TapDevice.open({
      native,
      name: options.tap,
      multiQueue: true,
      offload: options.offload,
      detached: this.role === 'backup',
      sender: senderOptions(options.sendThread === true, options.busyPollUs ?? 0),
      ...(ring === null ? {} : { slab: options.group.createSlab(this.pid, slabBytes(RX_SLOTS)) }),
    });
    this.#device = new GatedDevice(this.#captured(this.#tap), this.gate, () => this.clock.now());
    const secret = ring === null ? randomBytes(SECRET_LENGTH) : ring.secret;
    // The replicas share the address that frames go to: derived from what they share anyway.
    const mac = options.mac ?? formatMac(Uint8Array.from([2, ...secret.subarray(KEY_LENGTH + 3, KEY_LENGTH + 8)]));
    this.stack.addInterface(this.#device, {
      name: options.tap,
      addresses: options.addresses,
      ...(options.gateway === undefined ? {} : { gateway: options.gateway }),
      mac,
    });
    this.#hook = native.loopHook(() => this.#turn(), MAX_TURNS);
    process.on('uncaughtExceptionMonitor', this.#onMishap);
    native.loopRef(this.#hook, true);
    const { busyPollUs = 0 } = options;
    native.loopLook(this.#hook, busyPollUs, busyPollUs);
    if (ring !== null) this.#bells.open(this.role);
    if (this.role === 'primary') {
      if (ring !== null) this.#becomeWriter(ring);
      this.#announce();
    }
    native.loopTimer(this.#hook, 0);
  }

  /** The device itself, or with a capture around it. Two replicas do not write one file. */
  #captured(device: TapDevice): FrameDevice {
    const { pcap } = this.options;
    if (pcap === undefined) return device;
    const file = this.role === 'primary' ? pcap : `${pcap}.${this.pid}`;
    return new CapturedDevice(device, new PcapWriter(file, device.link), () => this.clock.wall());
  }

  get stateMode(): boolean {
    return this.options.mode === 'state';
  }

  /** The program is about to start: event 0, at the group's own starting time. */
  beginStart(): void {
    const { origin } = this.options;
    if (this.lastTakeover === null)
      this.time.set(0, origin?.monoUs ?? this.clock.now(), origin?.wallMs ?? this.clock.wall());
    else this.time.next();
    this.time.begin();
    this.#inEvent = true;
    this.follow();
  }

  /** A backup asks to follow the log. In state mode it does so without a program. */
  follow(): void {
    const { ring } = this;
    if (this.role === 'backup' && ring !== null && this.reader === null) {
      ring.words[Word.readerPid] = this.pid;
      ring.store(Word.readerState, ReaderState.Joining);
      this.#bells.ring();
    }
  }

  /** The program's start-up is complete. On a backup, it begins to follow the log now. */
  programStarted(): void {
    const { ring } = this;
    this.programLoaded = true;
    this.#finishEvent();
    if (this.role === 'primary') {
      if (this.stateMode && this.lastTakeover !== null) this.#toGiveBack = this.connections.giveBackOutgoing();
      this.#recorder?.mark(RecordType.Started);
      this.#writer?.publish();
      if (ring !== null) ring.words[Word.heartbeatSeconds] = (this.clock.now() / 1e6) | 0;
      ring?.store(Word.ready, 1);
      this.emit('ready');
    }
    this.#kick();
  }

  /**
   * Goes on where a group was whose last process has died: its log has the whole history, and outlives it. The connections'
   * peers have waited meanwhile.
   */
  resume(pid: number): void {
    this.resumes = true;
    this.watchPrimary(pid, false);
    this.#beginTakeover('death');
  }

  /** Follows the primary: watches it, and takes over when it is gone. Throws FtError ESRCH. */
  watchPrimary(pid: number, alive = true): void {
    const { ring } = this;
    if (ring === null) return;
    const hangUs = this.options.hangTimeoutMs * 1000;
    this.#follower = new Follower(
      this.native,
      this.pid,
      ring,
      this.options.group,
      this,
      pid,
      hangUs,
      (reason) => {
        this.#beginTakeover(reason);
      },
      this.connections.kept,
      this.stateMode,
      alive,
      this.options.agentPid !== undefined,
    );
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    process.off('uncaughtExceptionMonitor', this.#onMishap);
    if (this.#hook !== null) this.native.loopClose(this.#hook);
    this.#bells.close();
    this.#keeper?.close();
    this.#follower?.detector.close();
    this.#tap?.close();
  }

  // --- SocketHost ---

  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    return this.connections.listen(options, events);
  }

  connect(options: { address: string; port: number; localAddress?: string; localPort?: number }): StreamEndpoint {
    return this.connections.connect(options);
  }

  #mixed(): void {
    if (this.role === 'primary')
      this.runtime.reportOnce('writing to a replayed connection in an event of one in state mode');
  }

  // --- Turns ---

  #turn(): boolean {
    if (this.#stopped || this.#handover.given) return false;
    if (this.#mishap) {
      // Ticks that were left when the program threw belong to the same event: they drain after this.
      this.#mishap = false;
      return true;
    }
    try {
      return this.role === 'primary' ? this.#primaryTurn() : this.#backupTurn();
    } catch (error) {
      if (this.runtime.active && hasUncaughtHandler()) {
        this.#inEvent = true;
        throw error;
      }
      this.emit('failed', error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  #primaryTurn(): boolean {
    const { stack, runtime } = this;
    this.#finishEvent();
    if (this.#handover.underWay && !this.#inEvent) {
      this.#handover.step(this.#writer!, this.clock.now());
      return false;
    }
    stack.poll();
    this.connections.listeners.look(stack.now());
    // What came in is safe from here on: a backup will know it even if the program below never returns.
    this.#writer?.publish();
    if (this.gate.partial) this.#hurry();
    const late = this.#busySinceUs > 0 && stack.now() - this.#busySinceUs > LONGEST_PASS_US;
    if (!late && this.#keeper?.overloaded() !== true && this.#deliverOne()) {
      this.#inEvent = true;
      if (this.#busySinceUs === 0) this.#busySinceUs = stack.now();
      return true;
    }
    this.#busySinceUs = 0;
    const { ring } = this;
    if (ring !== null) {
      ring.words[Word.heartbeat] = (ring.words[Word.heartbeat]! + 1) | 0;
      ring.words[Word.heartbeatSeconds] = (this.clock.now() / 1e6) | 0;
      this.#writer?.publish();
      this.#keeper?.serve();
    }
    this.gate.isOpen();
    stack.flush();
    if (stack.tcp.draining && stack.tcp.table.size === 0 && stack.events.length === 0) this.emit('drained');
    if (this.lastTakeover !== null && this.lastTakeover.firstByteUs === 0) this.#firstByte(this.lastTakeover);
    const until = (Math.min(stack.nextDeadline(), runtime.timers.nextDeadline()) - this.clock.now()) / 1000;
    const again = late || runtime.timers.pendingImmediates > 0 || stack.events.length > 0;
    // What is due waits, too, while the backup does not keep up.
    const rest = this.#keeper?.paused === true ? 1 : again ? 0 : Math.max(0, Math.min(until, HEARTBEAT_MS));
    this.native.loopTimer(this.#hook!, rest);
    return false;
  }

  /** Output will wait for the reader: it begins while there are more events to come. */
  #hurry(): void {
    const writer = this.#writer;
    if (writer === null || writer.lag < HURRY_LAG || writer.ring.load(Word.readerSleeping) === 0) return;
    writer.ring.words[Word.readerSleeping] = 0;
    this.#bells.ring();
  }

  // --- Planned moves ---

  /**
   * Hands over to the backup: input waits in the device's queue, the backup reads the log to its end, and is told how far each
   * connection has sent, so that nothing need be sent again. Resolves when this process may end (and has to).
   * Rejects with FtError ERR_FT_UNPROTECTED when there is no backup that could go on, ERR_FT_STATE when it is under way,
   * ERR_FT_ROLE on a backup.
   */
  switchover(): Promise<void> {
    if (this.role !== 'primary')
      return Promise.reject(new FtError('ERR_FT_ROLE', 'This replica is not the primary', 'Ask the primary'));
    return this.#handover.begin(this.#writer, this.clock.now());
  }

  readonly #handover = new Switchover({
    beginning: () => {
      this.gate.isOpen();
      this.stack.flush();
      this.#tap?.pause();
      // What the peers have acknowledged is recorded with the output, which may be waiting.
      this.stack.tcp.table.forEach((conn) => {
        this.stack.tcp.tellAcked(conn);
        this.#recorder!.sent(conn);
      });
    },
    waiting: (writer) => {
      const { words } = writer.ring;
      words[Word.heartbeat] = (words[Word.heartbeat]! + 1) | 0;
      writer.publish();
      this.#keeper?.serve();
      this.#bells.ring();
      this.native.loopTimer(this.#hook!, 1);
    },
    given: () => {
      this.#tap?.finishSending();
      this.emit('handed');
    },
    refused: () => this.#tap?.resume(),
    kick: () => this.#kick(),
  });

  /** No new connections from now on; emits `drained` when the last one is over. Survives a takeover. */
  drain(): void {
    this.ring?.store(Word.draining, 1);
    this.stack.tcp.draining = true;
    this.#kick();
  }

  /** Nobody is to go on: a backup that sees this primary end ends, too. */
  endGroup(): void {
    this.ring?.store(Word.shutdown, 2);
  }

  /** Delivers one event if one is due; sockets and the world take turns. */
  #deliverOne(): boolean {
    const { stack } = this;
    // A program that gets connections back may not be ready for them before all of it has run.
    if (this.stateMode && !this.programLoaded) return false;
    this.#worldTurn = !this.#worldTurn;
    if (this.#toGiveBack > 0 && this.#worldQueue[0]?.kind !== 'restore') {
      this.#toGiveBack--;
      this.#worldTurn = false;
    }
    if (this.#worldTurn && this.#deliverWorldEvent()) return true;
    for (let endpoint = stack.events.shift(); endpoint !== undefined; endpoint = stack.events.shift()) {
      // Where there is no log, nobody else gives the event its time.
      if (this.#recorder === null) this.#drawTime();
      if (endpoint.id === this.#suspect?.conn ? this.#deliverSuspect(endpoint) : endpoint.deliverNext()) return true;
    }
    return !this.#worldTurn && this.#deliverWorldEvent();
  }

  #deliverWorldEvent(): boolean {
    const { runtime } = this;
    const event =
      this.#worldQueue.shift() ?? runtime.timers.takeImmediate() ?? runtime.timers.takeDue(this.clock.now());
    if (event === undefined) return false;
    const recorder = this.#recorder;
    if (recorder === null) this.#drawTime();
    else {
      const owner = this.histories.size === 0 ? 0 : runtime.ownerOf(event);
      recorder.world(runtimeEventKind(event), event.id, this.stateMode ? null : encodeRuntimeEvent(event), owner);
    }
    this.runtime.deliver(event);
    return true;
  }

  #drawTime(): void {
    this.time.next();
    this.time.begin();
  }

  #backupTurn(): boolean {
    const { stack } = this;
    this.#finishEvent();
    stack.refresh();
    const follower = this.#follower;
    const replayer = follower?.replayer ?? null;
    if (replayer === null) {
      if (follower?.join() === true) this.#kick();
    } else {
      follower?.assertFollowing();
      const step = replayer.step();
      this.#tellWriter(replayer.reader, step === 'idle');
      if (step === 'event') {
        this.#inEvent = true;
        return true;
      }
      if (this.#stopped) return false;
      if (!this.#announced && (this.programLoaded || this.stateMode) && replayer.reader.lag === 0) {
        this.#announced = true;
        replayer.reader.ring.store(Word.readerReady, 1);
        this.emit('ready');
      }
    }
    if (this.#taking !== null && (this.programLoaded || this.stateMode)) {
      this.#finishTakeover(this.#taking);
      return true;
    }
    follower?.detector.look(this.clock.now());
    const { ring } = this;
    ring?.store(Word.readerSleeping, 1);
    this.native.loopTimer(this.#hook!, POLL_MS);
    return false;
  }

  /** The primary's output waits for what has been processed now. */
  #tellWriter({ ring }: RingReader, idle: boolean): void {
    if (ring.load(Word.writerWaiting) === 0) return;
    if (!idle && ((ring.words[Word.tail]! - ring.words[Word.waitPosition]!) | 0) < 0) return;
    ring.store(Word.writerWaiting, 0);
    this.#bells.ring();
  }

  /** State mode: whose event the dead primary did not finish. It is told the same again. */
  #suspect: { conn: number; events: number } | null = null;

  #deliverSuspect(endpoint: AppEndpoint): boolean {
    this.#poison.watch(endpoint.id);
    const delivered = endpoint.deliverNext();
    if (!delivered) this.#poison.over();
    else if (--this.#suspect!.events === 0) this.#suspect = null;
    return delivered;
  }

  readonly #poison = new Quarantine((conn) => this.endpoints.get(conn)?.abort());

  beforeLast(conn: number): void {
    this.#unfinished = true;
    if (this.#taking !== null) this.#poison.watch(conn);
  }

  /** The last event is over: ticks and microtasks have drained. */
  #finishEvent(): void {
    if (!this.#inEvent) return;
    // Modules load in the real world's time: until they have, the program stays in its last event.
    if (this.programLoaded) {
      this.#inEvent = false;
      this.runtime.endEvent();
      const found = this.#poison.over();
      if (found !== null) this.emit('quarantined', found.conn, found.error);
    }
    if (this.role === 'primary') this.#recorder?.ended(this.checks.closed, this.checks.aborted);
    this.checks.closed = false;
    this.checks.aborted = false;
    if (this.role === 'primary' && this.checks.length > 0) {
      const recorder = this.#recorder;
      for (let endpoint = this.checks.shift(); endpoint !== undefined; endpoint = this.checks.shift())
        recorder?.check(endpoint.id, endpoint);
    }
    if (this.programLoaded && this.#writer !== null) this.#writer.inEvent = false;
  }

  #request(event: RuntimeEvent): void {
    this.#worldQueue.push(event);
    this.#kick();
  }

  ownerOfWorld(kind: number, id: number): number {
    if (this.histories.size === 0) return 0;
    const event = decodeRuntimeEvent(kind, id, null);
    return event === undefined ? 0 : this.runtime.ownerOf(event);
  }

  replayFailed(conn: number, why: string): void {
    const { ring } = this;
    if (ring !== null) ring.store(Word.replayFailures, ring.load(Word.replayFailures) + 1);
    this.emit('unrepeated', conn, why);
  }

  deliverWorld(kind: number, id: number, result: Uint8Array | null): boolean {
    const event = decodeRuntimeEvent(kind, id, result);
    return event !== undefined && this.runtime.deliver(event);
  }

  #kick(): void {
    if (this.#hook !== null && !this.#stopped) this.native.loopKick(this.#hook);
  }

  // --- Primary ---

  #becomeWriter(ring: Ring): void {
    this.#keeper ??= this.#makeKeeper(ring);
    const writer = new RingWriter(ring, this.#keeper.overrun, this.leastInPlace);
    const follow = (conn: TcpConnection) => this.connections.follow(conn);
    const recorder = new Recorder(writer, this.time, this.stack.book, follow, this.histories);
    this.#writer = writer;
    this.#recorder = recorder;
    this.checks.sink = new StreamRecorder(recorder, writer);
    this.stack.tcp.observer = new Forgetting(recorder, this.endpoints);
    this.gate.begin(writer);
    // A capture has frames whole.
    if (ring.size <= MOST_DIRECT_LOG && this.options.pcap === undefined) this.#tap?.readInto(writer);
    ring.words[Word.writerPid] = this.pid;
    ring.words[Word.borrowSupportPid] = this.pid;
    ring.words[Word.tapFd] = this.#tap?.fd ?? 0;
    this.#keeper.start(writer);
  }

  #makeKeeper(ring: Ring): Standby {
    const { agentPid } = this.options;
    if (agentPid === undefined) return new LocalStandby(ring, this.#keeperHost());
    // Milliseconds modulo 2^32: who compares them takes the difference.
    if (invariants.L1) {
      this.gate.lease = () => ((ring.load(Word.leaseUntilMs) - Math.floor(this.clock.now() / 1000)) | 0) > 0;
      this.#tap?.obeyLease(ring.words, Word.leaseUntilMs, ring.offsets);
    }
    return new RemoteStandby(ring, this.#keeperHost(), agentPid);
  }

  /** On a backup that joins; what comes of it is ours alone. */
  giveSaved(): void {
    this.time.begin('unreplicated');
    this.saved.restore();
  }

  #keeperHost(): StandbyHost {
    const replica = this;
    return {
      native: this.native,
      gate: this.gate,
      group: this.options.group,
      hangTimeoutUs: this.options.hangTimeoutMs * 1000,
      get programLoaded() {
        return replica.programLoaded;
      },
      nowUs: () => this.clock.now(),
      wakeBackup: () => this.#bells.ring(),
      holdInput: (on) => (on ? this.#tap?.pause() : this.#tap?.resume()),
      nextConnection: () => this.stack.tcp.nextId,
      recordJoin: () => this.connections.recordJoin(this.#recorder!),
      cover: () => this.connections.step(this.#writer!),
      announce: () => this.#announce(),
      onProtected: () => this.emit('protected'),
      onUnprotected: (reason) => {
        this.emit('unprotected', reason);
        this.#kick();
      },
    };
  }

  // --- Backup ---

  diverged(reason: string): void {
    const { ring } = this;
    if (this.#stopped || this.role !== 'backup') return;
    ring?.store(Word.readerFault, 1);
    this.#bells.ring();
    this.emit('diverged', reason);
    this.stop();
  }

  #beginTakeover(reason: 'death' | 'hang'): void {
    const now = this.clock.now();
    const planned = this.ring?.load(Word.shutdown) ?? 0;
    if (planned === 2) {
      this.stop();
      this.emit('over');
      return;
    }
    const report: TakeoverReport = {
      reason: planned === 1 ? 'switchover' : reason,
      atMonotonicUs: now,
      fencedUs: 0,
      drainedUs: 0,
      attachedUs: 0,
      firstByteUs: 0,
      events: 0,
      connections: 0,
    };
    try {
      this.#follower!.succeed();
    } catch (error) {
      this.emit('failed', error instanceof Error ? error : new Error(String(error)));
      return;
    }
    report.fencedUs = this.clock.now();
    report.events = this.replayer?.counters.events ?? 0;
    this.#taking = report;
    this.#kick();
  }

  #finishTakeover(report: TakeoverReport): void {
    const ring = this.ring!;
    const follower = this.#follower!;
    this.#taking = null;
    // The log is ours to write from here on: nobody is to look at it, and what the primary had in its hands is not to be there.
    follower.replayer?.lent.giveBack();
    let frames = invariants.P2 ? follower.slab?.recover(ring.bytes) : undefined;
    report.drainedUs = this.clock.now();
    report.events = (follower.replayer?.counters.events ?? 0) - report.events;
    // With the primary's own queue nothing is lost that waits in it; else every such client waits for its timer.
    if (follower.queue >= 0) this.#tap!.switchQueue(follower.queue);
    else this.#tap!.attach();
    report.attachedUs = this.clock.now();
    this.role = 'primary';
    this.#follower = null;
    ring.words[Word.epoch] = (ring.words[Word.epoch]! + 1) & 0xffff;
    // The event that the primary died in has not happened. It may be what killed it.
    if (this.stateMode || follower.replayer?.cut === true) {
      if (report.reason !== 'switchover')
        this.#suspect = { conn: follower.reader?.lastConn ?? -1, events: SUSPECT_EVENTS };
      ring.words[Word.head] = ring.words[Word.eventEnd]!;
    }
    follower.replayer?.past.cut();
    ring.words[Word.tail] = ring.words[Word.head]!;
    ring.words[Word.eventEnd] = ring.words[Word.head]!;
    this.#becomeWriter(ring);
    this.#recorder!.mark(RecordType.Epoch);
    // What the program has begun to open in the last event, while nobody wrote a log.
    this.stack.tcp.table.forEach((conn) => {
      if (conn.state === TcpState.SynSent) this.#recorder!.opened(conn);
    });
    // What the program wrote in the last event that the old primary logged, and did not live to sum up.
    for (const endpoint of follower.replayer?.takeUnchecked() ?? []) this.#recorder!.check(endpoint.id, endpoint);
    for (let endpoint = this.checks.shift(); endpoint !== undefined; endpoint = this.checks.shift())
      this.#recorder!.check(endpoint.id, endpoint);
    this.#bells.open('primary');
    this.#device!.firstSentUs = 0;
    this.runtime.goLive(this.#unfinished);
    const planned = report.reason === 'switchover';
    ring.words[Word.shutdown] = 0;
    this.stack.tcp.draining = ring.words[Word.draining] === 1;
    this.stack.thaw(invariants.F2 ? GRACE_US : 0, invariants.D2, planned);
    if (ring.words[Word.truncated] === 1) this.connections.cover();
    if (!this.stateMode) this.#toGiveBack = this.connections.giveBackOutgoing();
    this.connections.listeners.takeOver(this.clock.now());
    // Before anything else is told: what the program has not seen itself.
    if (this.saved.foreign) {
      this.#worldQueue.unshift({ kind: 'restore', id: 0 });
      this.#worldTurn = false;
    }
    // Connections that had ended, and whose sockets had not heard all of it.
    for (const endpoint of this.endpoints.values()) endpoint.onProgress();
    report.connections = this.stack.tcp.table.size;
    this.lastTakeover = report;
    // The frames that the primary had in its hands. It may have dealt with some; TCP has seen duplicates before.
    frames ??= follower.slab?.recover(ring.bytes);
    if (frames !== undefined && !planned) this.#tap!.receive(frames);
    this.stack.flush();
    this.#announce();
    follower.finish();
    if (this.stateMode) this.emit('program');
    this.#firstByte(report);
  }

  #firstByte(report: TakeoverReport): void {
    const first = this.#device!.firstSentUs;
    if (first === 0) return;
    report.firstByteUs = first;
    this.emit('takeover', report);
  }

  #announce(): void {
    for (const net of this.stack.interfaces) net.announce();
  }

  // --- For status ---

  /** How often the event loop has looked for something before it slept, and found it. */
  get busyPolls(): { looks: number; found: number } {
    const [looks, found] = this.#hook === null ? [0, 0] : this.native.loopLooks(this.#hook);
    return { looks, found };
  }

  get writer(): RingWriter | null {
    return this.#writer;
  }

  get reader(): RingReader | null {
    return this.#follower?.reader ?? null;
  }

  get replayer(): Replayer | null {
    return this.#follower?.replayer ?? null;
  }

  /** Connections below this number began before the backup that follows now. */
  get firstProtected(): number {
    return this.#keeper?.firstProtected ?? Number.POSITIVE_INFINITY;
  }

  /** Connections that the backup which follows now does not know. */
  get unprotected(): number {
    let count = 0;
    let repeated = 0;
    this.stack.tcp.table.forEach((conn) => {
      if (!this.protects(conn)) count++;
      else if (this.connections.repeats(conn)) repeated++;
    });
    // Of those that it was to repeat it says how many it could not, but not which: some may have ended since.
    const { ring } = this;
    return count + (ring === null ? 0 : Math.min(repeated, ring.load(Word.replayFailures)));
  }

  /** Whether the backup that follows now knows a connection. */
  protects(conn: TcpConnection): boolean {
    return this.#keeper?.following === true && this.connections.knows(conn, this.firstProtected);
  }

  get device(): TapDevice | null {
    return this.#tap;
  }
}

/** The recorder, which also lets go of endpoints whose connections are gone. */
class Forgetting extends Recorder {
  readonly #endpoints: Map<number, ReplicaEndpoint>;

  constructor(recorder: Recorder, endpoints: Map<number, ReplicaEndpoint>) {
    super(recorder.writer, recorder.time, recorder.book, recorder.follow, recorder.histories);
    this.#endpoints = endpoints;
  }

  override removed(conn: TcpConnection, code: string | null): void {
    // Its socket may still have to be told of data, or of the end.
    if (this.#endpoints.get(conn.id)?.settled === true) this.#endpoints.delete(conn.id);
    super.removed(conn, code);
  }
}
