/**
 * The primary's half of a replica: it writes the log, delivers the program's events, lets output
 * pass when the log records that it depends on are stable, and looks after its standby.
 *
 * One turn delivers one event that is due. When none is due, the primary publishes the log, serves
 * the standby, and sends what the events made necessary.
 */
import type { TapDevice } from '../../lib/device/tap.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { Connections } from '../connections/connections.js';
import type { OutputChecks, ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { Doorbells } from '../host/doorbells.js';
import type { GroupPlace } from '../host/group-directory.js';
import type { ProcessIdentity } from '../host/process-identity.js';
import { RecordType } from '../log/records.js';
import type { Ring } from '../log/ring.js';
import { Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { LoggedSample } from '../runtime/samples/samples.js';
import { CommittedEffects } from './committed-effects.js';
import { type DispatcherHost, EventDispatcher } from './event-dispatcher.js';
import { LeaseCheck } from './lease-check.js';
import { LocalStandby } from './local-standby.js';
import type { CommitGate } from './output-gate.js';
import type { Recorder } from './recorder.js';
import { RemoteStandby } from './remote-standby.js';
import type { Standby, StandbyHost } from './standby.js';
import { StateTransfer } from './state-transfer.js';
import { StreamRecorder } from './stream-recorder.js';
import { Switchover } from './switchover.js';

/**
 * The primary's main loop comes round at this interval at least, and counts it in the log's header.
 */
const HEARTBEAT_MS = 20;
/**
 * Events follow each other for this time at most; then output, heartbeat and input have their turn.
 */
const MAX_PASS_US = 5000;
/**
 * Bytes of the log that are worth waking a reader in the middle of a pass, when output waits for
 * it.
 */
const WAKE_READER_BYTES = 8192;
/** The largest log to whose places a received frame's flags can refer, bytes. */
const MAX_DIRECT_LOG_BYTES = 2 ** 30;

/** Classes that a primary is composed of. The simulation injects others (test/sim/mutants.ts). */
export interface PrimaryParts {
  readonly RingWriter: typeof RingWriter;
  readonly Recorder: typeof Recorder;
}

/** What a primary needs of its replica. */
export interface PrimaryHost extends DispatcherHost {
  readonly parts: PrimaryParts;
  readonly native: NativeAddon;
  readonly pid: number;
  readonly identity: ProcessIdentity;
  readonly minInPlaceBytes: number | undefined;
  readonly options: {
    readonly group: GroupPlace;
    readonly hangTimeoutMs: number;
    readonly agentPid?: number;
    readonly pcap?: string;
  };
  readonly ring: Ring | null;
  readonly checks: OutputChecks;
  readonly outputs: { open(role: 'primary'): void };
  readonly connections: Connections;
  readonly gate: CommitGate;
  readonly bells: Doorbells;
  /** The device; null before it is open. */
  readonly tap: TapDevice | null;
  /** An event's ticks and microtasks have not drained yet. */
  readonly inEvent: boolean;
  /** Calls the event loop's turn soon. */
  kick(): void;
  /** Calls the event loop's turn after a time, milliseconds. */
  wakeAfter(ms: number): void;
  /** Tells neighbours where the group's addresses are. */
  announce(): void;
  /** Output has been sent, as far as it may leave. */
  flushed(): void;
  /** Reports an event (replica/options.ts). */
  emit(event: 'protected' | 'drained'): unknown;
  emit(event: 'joining', pid: number, lagBytes: number): unknown;
  emit(event: 'unprotected', reason: string): unknown;
  /**
   * The backup has the whole log, and waits for the end of this process: no further turn may run.
   */
  switchedOver(): void;
}

/** Serves the group's connections. */
export class Primary {
  readonly dispatcher: EventDispatcher;
  readonly switchover: Switchover;
  /** Effects outside the stack that wait for the log. */
  readonly effects: CommittedEffects;
  writer: RingWriter | null = null;
  recorder: Recorder | null = null;
  readonly #host: PrimaryHost;
  #standby: Standby | null = null;
  #transfer: StateTransfer | null = null;
  /** Since when events have followed each other without a pause, microseconds; 0: they have not. */
  #busySinceUs = 0;
  /** When the loop last went on to look at the device, microseconds. */
  #lookedUs = Number.NEGATIVE_INFINITY;

  constructor(host: PrimaryHost) {
    this.#host = host;
    this.dispatcher = new EventDispatcher(host);
    this.effects = new CommittedEffects(host.gate);
    this.switchover = this.#makeSwitchover();
  }

  // --- The log ---

  /** Becomes the writer of a log, at its published end. */
  openLog(ring: Ring): Recorder {
    const host = this.#host;
    const { stack, connections, checks, tap } = host;
    const standby = this.#makeStandby(ring);
    const writer = new host.parts.RingWriter(ring, standby.overrun, host.minInPlaceBytes);
    const recorder = new host.parts.Recorder({
      writer,
      time: host.time,
      book: stack.book,
      follow: (conn) => connections.follow(conn),
      histories: host.histories,
      onRemoved: (conn) => connections.removed(conn),
    });
    const streams = new StreamRecorder(recorder, writer);
    host.outputs.open('primary');
    this.#standby = standby;
    this.writer = writer;
    this.recorder = recorder;
    this.dispatcher.recorder = recorder;
    checks.sink = streams;
    this.#transfer = new StateTransfer(connections, { recorder, streams, writer });
    stack.tcp.observer = recorder;
    stack.relays.observer = recorder;
    host.gate.begin(writer);
    // A capture needs whole frames.
    if (ring.size <= MAX_DIRECT_LOG_BYTES && host.options.pcap === undefined) tap?.readInto(writer.placement);
    ring.words[Word.tapFd] = tap?.fd ?? 0;
    ring.words[Word.lockFd] = Math.max(0, host.options.group.primaryLock);
    // First, so that a backup which sees its primary here is not forgotten when it asks to join.
    standby.start(writer);
    ring.words[Word.writerStartTime] = host.identity.startTime;
    ring.words[Word.writerPidNamespace] = host.identity.pidNamespace;
    ring.words[Word.borrowSupportPid] = host.pid;
    ring.words[Word.writerPid] = host.pid;
    return recorder;
  }

  #makeStandby(ring: Ring): Standby {
    const { options, gate, clock, tap, stack } = this.#host;
    if (options.agentPid === undefined) return new LocalStandby(ring, this.#standbyHost());
    const check = new LeaseCheck(ring, clock);
    gate.lease = () => check.maySend;
    stack.onAddressClaim = () => check.addressClaimed();
    tap?.obeyLease(ring.words, Word.leaseUntilMs, ring.offsets);
    return new RemoteStandby(ring, this.#standbyHost(), options.agentPid);
  }

  #standbyHost(): StandbyHost {
    const host = this.#host;
    return {
      native: host.native,
      gate: host.gate,
      group: host.options.group,
      hangTimeoutUs: host.options.hangTimeoutMs * 1000,
      get programLoaded() {
        return host.programLoaded;
      },
      nowUs: () => host.clock.now(),
      wakeBackup: () => host.bells.ring(),
      holdInput: (on) => (on ? host.tap?.pause() : host.tap?.resume()),
      nextConnection: () => host.stack.tcp.nextId,
      recordJoin: () => this.#transfer?.begin(),
      transferState: () => this.#transfer === null || this.#transfer.step(),
      announce: () => host.announce(),
      onJoining: (pid, lagBytes) => host.emit('joining', pid, lagBytes),
      onProtected: () => host.emit('protected'),
      onUnprotected: (reason) => {
        host.emit('unprotected', reason);
        host.kick();
      },
    };
  }

  /**
   * The program's start-up is complete: backups may join.
   * @param restore it replaces a program that had connections
   */
  programStarted(restore: boolean): void {
    const { ring, connections, clock } = this.#host;
    if (restore) this.dispatcher.pendingRestores = connections.restoreOutgoing();
    this.recorder?.mark(RecordType.Started);
    this.writer?.publish();
    if (ring === null) return;
    ring.words[Word.heartbeatSeconds] = (clock.now() / 1e6) | 0;
    ring.store(Word.ready, 1);
  }

  // --- Turns ---

  /** One turn of the event loop. @returns whether an event was delivered */
  turn(): 'event' | 'idle' {
    const host = this.#host;
    const { stack } = host;
    if (this.writer !== null && this.switchover.underWay && !host.inEvent) {
      this.switchover.step(this.writer, host.clock.now());
      return 'idle';
    }
    stack.poll(this.#lookedUs);
    host.connections.listeners.look(stack.now());
    // From here on a backup knows what came in, even if the program never returns from the event
    // below.
    this.writer?.publish();
    if (host.gate.partial) this.#wakeReader();
    const late = this.#busySinceUs > 0 && stack.now() - this.#busySinceUs > MAX_PASS_US;
    if (!late && this.#standby?.overloaded() !== true && this.dispatcher.deliverNext()) {
      if (this.#busySinceUs === 0) this.#busySinceUs = stack.now();
      return 'event';
    }
    this.#busySinceUs = 0;
    this.#serve();
    host.gate.isOpen();
    this.effects.flush();
    stack.flush();
    if (stack.tcp.draining && stack.tcp.table.size === 0 && stack.events.length === 0) host.emit('drained');
    host.flushed();
    this.#lookedUs = host.clock.now();
    host.wakeAfter(this.#restMs(late));
    return 'idle';
  }

  /** Heartbeat, log and standby, when no event is due. */
  #serve(): void {
    const { ring, clock } = this.#host;
    if (ring === null) return;
    ring.words[Word.heartbeat] = (ring.words[Word.heartbeat] + 1) | 0;
    ring.words[Word.heartbeatSeconds] = (clock.now() / 1e6) | 0;
    this.writer?.publish();
    this.#standby?.serve();
  }

  #restMs(late: boolean): number {
    // Due events wait, too, while the backup does not keep up.
    if (this.#standby?.paused === true || this.effects.size > 0) return 1;
    const { stack, runtime, clock } = this.#host;
    if (late || runtime.timers.pendingImmediates > 0 || stack.events.length > 0) return 0;
    const untilMs = (Math.min(stack.nextDeadline(), runtime.timers.nextDeadline()) - clock.now()) / 1000;
    return Math.max(0, Math.min(untilMs, HEARTBEAT_MS));
  }

  /** Output will wait for the reader, which can begin while more events are delivered here. */
  #wakeReader(): void {
    const { writer } = this;
    if (writer === null || writer.lag < WAKE_READER_BYTES || writer.ring.load(Word.readerSleeping) === 0) return;
    writer.ring.words[Word.readerSleeping] = 0;
    this.#host.bells.ring();
  }

  /**
   * An event's ticks and microtasks have drained: what the program wrote in it is checksummed into
   * the log.
   */
  eventEnded(): void {
    const { programLoaded } = this.#host;
    this.recordChecks();
    if (programLoaded) this.writer?.endEvent();
  }

  /** Records the checksums of connections that the program has written to. */
  recordChecks(): void {
    const { checks } = this.#host;
    for (let endpoint = checks.shift(); endpoint !== undefined; endpoint = checks.shift()) this.check(endpoint);
  }

  /** The program has read a value, or done something outside: `isEffect` is published at once. */
  recordSample(sample: LoggedSample, isEffect: boolean): void {
    if (this.#host.stateMode) return;
    this.recorder?.sample(sample, !this.#host.programLoaded);
    if (isEffect) this.writer?.publish();
  }

  /** Records a connection's checksum. */
  check(endpoint: ReplicaEndpoint): void {
    this.recorder?.check(endpoint.id, endpoint);
  }

  // --- Switchover ---

  /** As Replica.switchover. */
  beginSwitchover(): Promise<number> {
    return this.switchover.begin(this.writer, this.#host.clock.now());
  }

  #makeSwitchover(): Switchover {
    const host = this.#host;
    return new Switchover({
      beginning: () => {
        const { recorder } = this;
        host.gate.isOpen();
        host.stack.flush();
        host.tap?.pause();
        // Acknowledgements are recorded with the output, which may be waiting.
        host.stack.tcp.table.forEach((conn) => {
          host.stack.tcp.reportAcked(conn);
          recorder?.sent(conn);
        });
      },
      waiting: (writer) => {
        const { words } = writer.ring;
        words[Word.heartbeat] = (words[Word.heartbeat] + 1) | 0;
        writer.publish();
        this.#standby?.serve();
        host.bells.ring();
        host.wakeAfter(1);
      },
      completed: () => {
        host.tap?.finishSending();
        host.switchedOver();
      },
      refused: () => host.tap?.resume(),
      kick: () => host.kick(),
    });
  }

  // --- Status ---

  /**
   * Connections below this number are older than the backup that follows now; Infinity: none
   * follows.
   */
  get firstProtected(): number {
    return this.#standby?.firstProtected ?? Number.POSITIVE_INFINITY;
  }

  /** Gives the backup on this machine up, and admits none any more. */
  dropBackup(reason: string): void {
    if (this.#standby instanceof LocalStandby) this.#standby.refuse(reason);
  }

  /** A backup follows, and has not caught up yet. */
  get joining(): boolean {
    return this.#standby?.joining === true;
  }

  /** Whether the backup that follows now knows a connection. */
  protects(conn: TcpConnection): boolean {
    return (
      this.#standby?.following === true &&
      this.#transfer !== null &&
      this.#transfer.isKnown(conn, this.#standby.firstProtected)
    );
  }

  /** Connections that the backup which follows now does not know. */
  get unprotected(): number {
    const { ring, stack } = this.#host;
    let count = 0;
    let replayed = 0;
    stack.tcp.table.forEach((conn) => {
      if (!this.protects(conn)) count++;
      else if (this.#transfer?.isReplayed(conn.id) === true) replayed++;
    });
    // The backup says how many histories it could not replay, but not which: some connections may
    // have ended since.
    return count + (ring === null ? 0 : Math.min(replayed, ring.load(Word.replayFailures)));
  }

  close(): void {
    this.#standby?.close();
  }
}
