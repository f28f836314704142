/**
 * A takeover: the primary is lost, and this backup becomes the primary. Eight phases, each with the
 * reason why it stands before the next:
 *
 * 1. fence     The old primary is killed, and waited for until none of its threads runs or is in a
 *              system call. Before all else: a primary that is only slow could still send.
 * 2. lock      The group's lock is taken: by the copy of the old primary's descriptor, or, without
 *              one, when the kernel has released it. Before the log is read: of two candidates only
 *              one may continue the log.
 * 3. drain     The log is read to its end, event by event, over many turns of the event loop.
 *              Before the device is attached: input that arrives must find the state that the old
 *              primary had.
 * 4. attach    Frames that the old primary had received but not processed are saved from its
 *              memory; this replica reads the old primary's device queue. Before the log is
 *              written: their payload may lie in the log.
 * 5. epoch     An event that cannot be finished here is cut off, this replica becomes the log's
 *              writer, and marks a new epoch. Before the recovery: what it records belongs to this
 *              replica's epoch.
 * 6. recover   What the old primary did not live to record is recorded. Before output: a later
 *              backup must know it.
 * 7. thaw      Timers and effects of the program run for real. Connections send again what is not
 *              acknowledged, and the saved frames are processed. Before the announcement: who is
 *              called must be able to answer.
 * 8. announce  Neighbours are told where the addresses are. When the device has been read once, the
 *              old primary's remains are removed, and the takeover is reported.
 *
 * The first client hears of it in phase 7. All phases but the third are synchronous: no event can
 * come in between.
 */
import type { Clock } from '../../lib/clock.js';
import type { RxBatch } from '../../lib/device/rx-batch.js';
import type { TapDevice } from '../../lib/device/tap.js';
import type { Stack } from '../../stack/stack.js';
import { TcpState } from '../../stack/tcp/state.js';
import type { Backup } from '../backup/backup.js';
import type { LossReason } from '../backup/primary-watch.js';
import type { Connections } from '../connections/connections.js';
import type { Doorbells } from '../host/doorbells.js';
import { RecordType } from '../log/records.js';
import type { Ring } from '../log/ring.js';
import { ShutdownKind, Word } from '../log/ring-header.js';
import type { GatedDevice } from '../primary/output-gate.js';
import type { Primary } from '../primary/primary.js';
import type { Runtime } from '../runtime/runtime.js';
import type { TakeoverReport } from './options.js';

/** After a takeover, segments of unknown connections get no answer for this time (invariant F2). */
const GRACE_US = 3_000_000;

/** What a {@link Takeover} needs of the replica. */
export interface TakeoverHost {
  readonly clock: Clock;
  readonly ring: Ring;
  readonly stack: Stack;
  readonly runtime: Runtime;
  readonly connections: Connections;
  readonly bells: Doorbells;
  readonly tap: TapDevice;
  readonly device: GatedDevice;
  readonly stateMode: boolean;
  /** A program is loaded: in state mode that of a warm standby. */
  programRuns(): boolean;
  /** From here on the primary takes the event loop's turns. */
  becomePrimary(): Primary;
  /** Tells neighbours where the group's addresses are. */
  announce(): void;
  /** The replica serves. @param finish what is left to do, when nobody waits for it */
  completed(report: TakeoverReport, finish: () => void): void;
}

/** One takeover of a backup. */
export class Takeover {
  readonly report: TakeoverReport;
  readonly #host: TakeoverHost;
  readonly #backup: Backup;
  /** Frames that the old primary had received but not processed. */
  #frames: RxBatch | undefined;

  constructor(host: TakeoverHost, backup: Backup, reason: LossReason) {
    this.#host = host;
    this.#backup = backup;
    this.report = {
      reason: host.ring.load(Word.shutdown) === ShutdownKind.Switchover ? 'switchover' : reason,
      detectedBy: backup.follower.detector.detectedBy,
      fencedBy: 'process',
      atMonotonicUs: host.clock.now(),
      fencedUs: 0,
      drainedUs: 0,
      attachedUs: 0,
      firstByteUs: 0,
      events: 0,
      connections: 0,
    };
  }

  /**
   * Phases 1 to 3; the others follow when the log has been read to its end. Throws FtError
   * ERR_FT_FENCE, ERR_FT_DROPPED.
   */
  begin(): void {
    this.#fence();
    this.#lock();
    this.#drain();
  }

  #finish(): void {
    this.#attach();
    const primary = this.#newEpoch();
    this.#recover(primary);
    this.#thaw(primary);
    this.#announce();
  }

  #fence(): void {
    this.report.fencedBy = this.#backup.follower.fence();
  }

  #lock(): void {
    this.#backup.follower.lock();
  }

  #drain(): void {
    const { report } = this;
    this.#backup.drain(() => {
      report.events = this.#events - report.events;
      this.#finish();
    });
    report.fencedUs = this.#host.clock.now();
    report.events = this.#events;
  }

  #attach(): void {
    const { follower, replayer } = this.#backup;
    const { clock, tap } = this.#host;
    // This replica writes the log from here on: nothing of it may still be borrowed as received
    // data.
    replayer?.borrowedLog.releaseAll();
    this.saveFrames();
    this.report.drainedUs = clock.now();
    // Frames that wait in the old primary's queue are not lost. Without it, each such client waits
    // for its own timer.
    if (follower.queue >= 0) tap.switchQueue(follower.queue);
    else tap.attach();
    this.report.attachedUs = clock.now();
  }

  /** Copies the frames that the old primary had in hand: their payload may lie in the log. */
  protected saveFrames(): void {
    this.#frames = this.#backup.follower.slab?.recover(this.#host.ring.bytes);
  }

  /** The frames that were saved; undefined: there is nothing to save them from. */
  protected savedFrames(): RxBatch | undefined {
    return this.#frames;
  }

  /**
   * Lets the connections send. @param isPlanned the old primary has reported how far it has sent
   */
  protected thawStack(stack: Stack, isPlanned: boolean): void {
    stack.thaw(GRACE_US, isPlanned);
  }

  #newEpoch(): Primary {
    const { ring, stateMode } = this.#host;
    const { words } = ring;
    const { reader, replayer } = this.#backup.follower;
    const primary = this.#host.becomePrimary();
    words[Word.epoch] = (words[Word.epoch] + 1) & 0xffff;
    // A new program is loaded, which may take longer than the hang timeout.
    if (!this.#host.programRuns()) ring.store(Word.ready, 0);
    // The event that the old primary died in has not happened. It may be what killed it.
    if (stateMode || replayer?.discardedEvent === true) {
      if (!this.#planned) primary.dispatcher.suspect(reader?.lastConn ?? -1);
      words[Word.head] = words[Word.eventEnd];
    }
    replayer?.historyReplay.abandonTransfer();
    words[Word.tail] = words[Word.head];
    // The last event ends with what the next phase records: a follower waits for that.
    primary.openLog(ring).mark(RecordType.Epoch);
    return primary;
  }

  #recover(primary: Primary): void {
    // The last event may have begun to open connections while nobody wrote the log.
    this.#host.stack.tcp.table.forEach((conn) => {
      if (conn.state === TcpState.SynSent) primary.recorder?.opened(conn);
    });
    for (const { sample, isStart } of this.#backup.unrecorded) primary.recorder?.sample(sample, isStart);
    // The old primary logged its last event, but did not live to record the checksums of what the
    // program wrote in it.
    for (const endpoint of this.#backup.replayer?.takeUnchecked() ?? []) primary.check(endpoint);
    primary.recordChecks();
    primary.writer?.endEvent();
  }

  #thaw(primary: Primary): void {
    const { stack, ring, runtime, connections, stateMode, bells, clock, device, tap } = this.#host;
    const programRuns = this.#host.programRuns();
    bells.open('primary');
    device.firstSentUs = 0;
    runtime.goLive();
    ring.words[Word.shutdown] = ShutdownKind.None;
    stack.tcp.draining = ring.words[Word.draining] === 1;
    this.thawStack(stack, this.#planned);
    if (ring.words[Word.truncated] === 1) connections.admitLateJoiner();
    if (programRuns) primary.dispatcher.pendingRestores = connections.restoreOutgoing();
    connections.takeOver(clock.now());
    // Before any other event: values that this program has not saved itself.
    // A warm standby is told that it serves now, whether or not something was saved.
    if (connections.checkpoint.hasForeignValues || (stateMode && programRuns)) primary.dispatcher.restoreFirst();
    // Sockets of connections that had ended may not have been told all of it.
    for (const endpoint of connections.endpoints.values()) endpoint.onProgress();
    this.report.connections = stack.tcp.table.size;
    // The old primary may have processed some of these frames: to TCP they are duplicates.
    const frames = this.savedFrames();
    if (frames !== undefined && !this.#planned) tap.receive(frames);
    stack.flush();
  }

  #announce(): void {
    this.#host.announce();
    this.#host.completed(this.report, () => this.#backup.follower.finish());
  }

  get #planned(): boolean {
    return this.report.reason === 'switchover';
  }

  get #events(): number {
    return this.#backup.replayer?.counters.events ?? 0;
  }
}
