/**
 * The backup's half of a replica. Each turn applies records of the log until one event has been
 * delivered to the program, or the log has no more. After the primary's death a takeover lets the
 * turns go on to the log's end (`drain`), and continues there.
 */
import type { Clock } from '../../lib/clock.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { Stack } from '../../stack/stack.js';
import type { ProcessCheckpoint } from '../connections/checkpoint/process-checkpoint.js';
import type { Connections } from '../connections/connections.js';
import type { OutputChecks, ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { Doorbells } from '../host/doorbells.js';
import type { GroupPlace } from '../host/group-directory.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { Ring } from '../log/ring.js';
import { ReaderFault, ReaderState, ShutdownKind, Word } from '../log/ring-header.js';
import type { RingReader } from '../log/ring-reader.js';
import type { EventTime } from '../runtime/core/event-time.js';
import { decodeRuntimeEvent } from '../runtime/core/events.js';
import type { Runtime } from '../runtime/runtime.js';
import type { LoggedSample } from '../runtime/samples/samples.js';
import type { Follower } from './follower.js';
import type { LossReason } from './primary-watch.js';
import type { Quarantine } from './quarantine.js';
import type { ReplayHost } from './replay-host.js';
import type { Replayer } from './replayer.js';

/** A backup that is up to date looks at the log at this interval. */
const POLL_MS = 2;

/** Classes that a backup is composed of. The simulation injects others (test/sim/mutants.ts). */
export interface BackupParts {
  readonly Follower: typeof Follower;
  readonly Replayer: typeof Replayer;
}

/** What a backup needs of its replica. */
export interface BackupHost {
  readonly parts: BackupParts;
  readonly native: NativeAddon;
  readonly clock: Clock;
  readonly pid: number;
  readonly minInPlaceBytes: number | undefined;
  readonly options: {
    readonly group: GroupPlace;
    readonly hangTimeoutMs: number;
    readonly loadTimeoutMs?: number;
    readonly agentPid?: number;
  };
  readonly stack: Stack;
  readonly time: EventTime;
  readonly checks: OutputChecks;
  readonly outputs: { open(role: 'backup'): void };
  readonly runtime: Runtime;
  readonly connections: Connections;
  readonly bells: Doorbells;
  readonly quarantine: Quarantine;
  readonly stateMode: boolean;
  readonly programLoaded: boolean;
  /** The program of a warm standby; null: there is none. */
  readonly standby: { deliverNext(): boolean } | null;
  readonly stopped: boolean;
  /** Calls the event loop's turn soon. */
  kick(): void;
  /** Calls the event loop's turn after a time, milliseconds. */
  wakeAfter(ms: number): void;
  /** The primary is lost. */
  primaryLost(reason: LossReason): void;
  /** Reports an event (replica/options.ts). */
  emit(event: 'ready'): unknown;
  emit(event: 'replayFailed', conn: number, reason: string): unknown;
  /** The program is not where the primary's is. */
  diverged(reason: string, conn?: number): void;
}

/** Which primary a {@link Backup} follows. */
export interface BackupOptions {
  /** The primary's process; on several machines, the local agent. */
  primaryPid: number;
  /** False: it is known to be dead. */
  alive: boolean;
}

/** Follows a primary's log. */
export class Backup implements ReplayHost {
  readonly follower: Follower;
  /** Samples beyond the end of the log: they are recorded when this replica is the primary. */
  readonly unrecorded: { sample: LoggedSample; isStart: boolean }[] = [];
  readonly #host: BackupHost;
  readonly #ring: Ring;
  #inSync = false;
  /** A takeover waits for the end of the log. */
  #onDrained: (() => void) | null = null;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(host: BackupHost, ring: Ring, { primaryPid, alive }: BackupOptions) {
    const { native, pid, options, connections, stateMode } = host;
    this.#host = host;
    host.outputs.open('backup');
    this.#ring = ring;
    this.follower = new host.parts.Follower({
      native,
      ownPid: pid,
      ring,
      group: options.group,
      host: this,
      primaryPid,
      alive,
      remote: options.agentPid !== undefined,
      hangTimeoutUs: options.hangTimeoutMs * 1000,
      loadTimeoutUs: stateMode ? (options.loadTimeoutMs ?? Number.POSITIVE_INFINITY) * 1000 : Number.POSITIVE_INFINITY,
      onLost: (reason) => host.primaryLost(reason),
      unclaimed: connections.unclaimed,
      stateMode,
      Replayer: host.parts.Replayer,
    });
  }

  get replayer(): Replayer | null {
    return this.follower.replayer;
  }

  /** Asks the primary to be admitted. */
  static requestJoin(ring: Ring, pid: number): void {
    ring.words[Word.readerPid] = pid;
    ring.store(Word.readerState, ReaderState.Joining);
  }

  /** One turn of the event loop. @returns what it did; `again`: another turn may follow at once */
  turn(): 'event' | 'again' | 'idle' {
    const { follower } = this;
    const host = this.#host;
    host.stack.refresh();
    const { replayer } = follower;
    if (replayer === null) {
      if (follower.join()) host.kick();
    } else {
      follower.assertFollowing();
      // Nothing is delivered before the program's start is over.
      if (this.#programReady) {
        const step = replayer.step();
        this.#wakeWriter(replayer.reader, step === 'idle');
        if (step === 'event') return 'event';
        if (host.stopped) return 'idle';
        this.#reportReady(replayer.reader);
      }
    }
    if (this.#onDrained !== null && this.#programReady) {
      const drained = this.#onDrained;
      this.#onDrained = null;
      drained();
      return 'again';
    }
    follower.detector.look(host.clock.now());
    if (host.standby !== null) {
      // The primary sees that this program comes back to its event loop.
      this.#ring.words[Word.readerHeartbeat] = Math.max(1, (this.#ring.words[Word.readerHeartbeat] + 1) | 0);
      if (this.#onDrained === null && host.standby.deliverNext()) return 'event';
    }
    this.#ring.store(Word.readerSleeping, 1);
    host.wakeAfter(POLL_MS);
    return 'idle';
  }

  /**
   * The primary is dead and the group is ours: turns read the log to its end, then `onDrained` is
   * called.
   */
  drain(onDrained: () => void): void {
    this.follower.readToEnd();
    this.#onDrained = onDrained;
  }

  /** The program has read a value beyond the end of the log. */
  recordSample({ name, result }: LoggedSample, _isEffect: boolean): void {
    if (this.#host.stateMode) return;
    const isStart = !this.#host.programLoaded;
    this.unrecorded.push({ sample: { name, result: Uint8Array.from(result) }, isStart });
  }

  /**
   * This process is about to end: the primary must not hand the group over to it.
   * @returns false: it has done so already, or has ended
   */
  leave(): boolean {
    const { follower } = this;
    // With an agent, it is the agent that hands the group over.
    if (follower.reader === null || this.#host.options.agentPid !== undefined) return true;
    // The primary stores `shutdown` before it loads `readerFault` (switchover.ts): one of the two
    // sees the other.
    this.#ring.store(Word.readerFault, ReaderFault.Leaving);
    if (this.#ring.load(Word.shutdown) === ShutdownKind.Switchover || follower.detector.hasDied) return false;
    this.#host.bells.ring();
    return true;
  }

  #reportReady({ lag }: RingReader): void {
    if (this.#inSync || lag > 0) return;
    this.#inSync = true;
    this.#ring.store(Word.readerReady, 1);
    this.#host.bells.ring();
    this.#host.emit('ready');
  }

  /**
   * The program's start may run: the log is at hand, and tells which connections the primary's has
   * opened.
   */
  get mayStart(): boolean {
    return this.replayer !== null || this.#onDrained !== null;
  }

  /** In state mode no program runs here, so that none has to be loaded. */
  get #programReady(): boolean {
    return this.#host.programLoaded || this.#host.stateMode;
  }

  /** The primary's output waits for the position that has been processed now. */
  #wakeWriter({ ring }: RingReader, idle: boolean): void {
    if (ring.load(Word.writerWaiting) === 0) return;
    if (!idle && ((ring.words[Word.tail] - ring.words[Word.waitPosition]) | 0) < 0) return;
    ring.store(Word.writerWaiting, 0);
    this.#host.bells.ring();
  }

  close(): void {
    this.follower.close();
  }

  // --- ReplayHost ---

  get stack(): Stack {
    return this.#host.stack;
  }

  get time(): EventTime {
    return this.#host.time;
  }

  get checks(): OutputChecks {
    return this.#host.checks;
  }

  get minInPlaceBytes(): number | undefined {
    return this.#host.minInPlaceBytes;
  }

  get endpoints(): Map<number, ReplicaEndpoint> {
    return this.#host.connections.endpoints;
  }

  get histories(): ConnectionHistories {
    return this.#host.connections.histories;
  }

  get saved(): ProcessCheckpoint {
    return this.#host.connections.checkpoint;
  }

  unfinishedEvent(conn: number, deliver: () => boolean): boolean {
    const { quarantine } = this.#host;
    if (this.#onDrained === null) return deliver();
    quarantine.watch(conn);
    const delivered = quarantine.run(deliver);
    if (!delivered) quarantine.end();
    return delivered;
  }

  get programLoaded(): boolean {
    return this.#host.programLoaded;
  }

  ownerOfRuntimeEvent(kind: number, id: number): number {
    if (this.histories.size === 0) return 0;
    const event = decodeRuntimeEvent(kind, id, null);
    return event === undefined ? 0 : this.#host.runtime.ownerOf(event);
  }

  deliverRuntimeEvent(kind: number, id: number, result: Uint8Array | null): boolean {
    const event = decodeRuntimeEvent(kind, id, result);
    return event !== undefined && this.#host.runtime.deliver(event);
  }

  /**
   * This backup joined late: the program is given what the primary's has saved. The effects are
   * this replica's alone.
   */
  restoreSaved(): void {
    this.time.begin('unreplicated');
    this.saved.restore();
  }

  replayFailed(conn: number, reason: string): void {
    const ring = this.#ring;
    ring.store(Word.replayFailures, ring.load(Word.replayFailures) + 1);
    this.#host.emit('replayFailed', conn, reason);
  }

  diverged(reason: string, conn?: number): void {
    this.#host.diverged(reason, conn);
  }

  nameOfRuntimeEvent(kind: number, id: number): string {
    const event = decodeRuntimeEvent(kind, id, null);
    return event === undefined ? `unknown (${kind})` : this.#host.runtime.nameOf(event);
  }
}
