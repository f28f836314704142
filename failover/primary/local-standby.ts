/**
 * The primary's backup on the same machine: the primary lets it join, wakes it, waits for it when
 * the log is nearly full, and drops it when it diverges or does not keep up. Nothing here can stop
 * the primary for long.
 */
import type { NativeHandle } from '../../lib/native/native.js';
import { StallDetector } from '../../lib/stall-detector.js';
import { watchThreads } from '../host/thread-watch.js';
import type { Ring } from '../log/ring.js';
import { ReaderFault, ReaderState, Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { Standby, StandbyHost } from './standby.js';

/** The doorbell rings only above this lag, bytes: a backup that is up to date polls the log. */
const BELL_LAG_BYTES = 128 * 1024;
/** A backup that makes no progress for this time while the log is full is dropped. */
const SLOW_READER_US = 5_000_000;
/** How far a backup has come that joins is reported at this interval. */
const JOIN_REPORT_US = 1_000_000;

/** Looks after one backup on this machine. */
export class LocalStandby implements Standby {
  firstProtected = Number.POSITIVE_INFINITY;
  paused = false;
  /** The log is nearly full. */
  readonly #fullLog = new StallDetector();
  readonly #stall = new StallDetector();
  readonly #hang = new StallDetector();
  #watch: NativeHandle | null = null;
  #threads: NativeHandle | null = null;
  /** The state transfer of older connections is under way. */
  #transferring = false;
  /** The backup that follows has not caught up yet. */
  #catchingUp = false;
  /** Until it has applied the log to here. */
  #joinEnd = 0;
  #progressUs = 0;
  /** No backup could take over: none is admitted. */
  #isRefusing = false;
  #writer: RingWriter | null = null;

  constructor(
    readonly ring: Ring,
    readonly host: StandbyHost,
  ) {}

  readonly overrun = (): void => this.drop('the backup did not keep up with the log', ReaderFault.TooSlow);

  start(writer: RingWriter): void {
    const { ring } = this;
    this.#writer = writer;
    ring.words[Word.readerPid] = 0;
    ring.store(Word.readerState, ReaderState.None);
  }

  overloaded(): boolean {
    const writer = this.#writer;
    if (writer === null || !writer.readerAttached) {
      if (this.paused) this.#pause(false);
      return false;
    }
    const { room } = writer;
    const { size } = writer.ring;
    if (this.paused) {
      if (room > size / 2) this.#pause(false);
      else if (this.#fullLog.isStalled(this.host.nowUs(), 0, false, SLOW_READER_US)) this.overrun();
    } else if (room < size / 4) {
      this.#fullLog.reset();
      this.#pause(true);
    }
    if (this.paused) this.host.wakeBackup();
    return this.paused;
  }

  #pause(on: boolean): void {
    this.paused = on;
    this.host.holdInput(on);
  }

  serve(): void {
    const { ring, host } = this;
    const writer = this.#writer;
    if (writer === null) return;
    if (!writer.readerAttached) {
      const asks = ring.load(Word.readerState) === ReaderState.Joining;
      if (asks && host.programLoaded && !this.#isRefusing) this.#join(writer);
      return;
    }
    const fault = ring.load(Word.readerFault);
    if (fault === ReaderFault.Diverged) {
      this.drop('the backup has diverged from the primary', ReaderFault.Diverged);
      return;
    }
    if (fault === ReaderFault.Leaving) {
      this.#lose('the backup has ended');
      return;
    }
    if (this.#catchingUp) this.#catchUp(writer);
    if (this.#isHung()) {
      this.drop("the standby's program does not come back to its event loop", ReaderFault.TooSlow);
      return;
    }
    const { lag } = writer;
    if (this.#isStalled(writer, lag)) {
      this.drop('the backup makes no progress', ReaderFault.TooSlow);
      return;
    }
    if (ring.load(Word.readerSleeping) !== 0 && lag > 0 && (lag > BELL_LAG_BYTES || host.gate.mode === 'acked')) {
      ring.words[Word.readerSleeping] = 0;
      host.wakeBackup();
    }
  }

  /**
   * A backup hangs when it has caught up once, has something to read, and does not read it. Where
   * output waits for it, it has twice the time of a hung primary: it may be in the same long event
   * a little later.
   */
  #isStalled(writer: RingWriter, lag: number): boolean {
    const { host, ring } = this;
    const twice = 2 * host.hangTimeoutUs;
    const limit = host.gate.mode === 'acked' && Number.isFinite(twice) ? twice : Math.max(SLOW_READER_US, twice);
    const isIdle = lag === 0 || !writer.readerReady;
    return this.#stall.isStalled(host.nowUs(), ring.load(Word.tail), isIdle, limit);
  }

  /** A warm standby hangs when its event loop stands still, whether or not it has to read. */
  #isHung(): boolean {
    const { host, ring } = this;
    const beats = ring.load(Word.readerHeartbeat);
    return this.#hang.isStalled(host.nowUs(), beats, beats === 0, Math.max(SLOW_READER_US, 2 * host.hangTimeoutUs));
  }

  #join(writer: RingWriter): void {
    const { ring, host } = this;
    ring.words[Word.readerHeartbeat] = 0;
    this.#hang.reset();
    const pid = ring.words[Word.readerPid];
    let pidfd: number;
    try {
      pidfd = host.native.pidfdOpen(pid);
    } catch {
      ring.store(Word.readerState, ReaderState.None);
      return;
    }
    this.#watch = host.native.watchOpen(pidfd, false, () => this.#lose('the backup has ended'));
    host.native.watchRef(this.#watch, false);
    // Output that waits for a dead backup does not wait until the kernel has freed its memory.
    this.#threads = watchThreads(host.native, host.group, pid, () => this.#lose('the backup has ended'));
    host.native.letCopy(pid);
    const complete = writer.attach();
    if (!complete) host.recordJoin();
    this.firstProtected = complete ? 0 : host.nextConnection();
    this.#transferring = !complete && !host.transferState();
    this.#catchingUp = true;
    this.#joinEnd = writer.position;
    this.#progressUs = host.nowUs();
    writer.publish();
    ring.store(Word.readerState, ReaderState.Live);
    host.wakeBackup();
    host.onJoining(pid, writer.lag);
  }

  /** A backup protects when it has been told of all connections, and has applied the log once. */
  #catchUp(writer: RingWriter): void {
    const { host, ring } = this;
    if (this.#transferring) {
      this.#transferring = !host.transferState();
      this.#joinEnd = writer.position;
      if (this.#transferring) host.wakeBackup();
    }
    const isThere = ((ring.load(Word.tail) - this.#joinEnd) | 0) >= 0;
    if (!this.#transferring && isThere && writer.readerReady) {
      this.#catchingUp = false;
      host.onProtected();
    } else if (host.nowUs() - this.#progressUs >= JOIN_REPORT_US) {
      this.#progressUs = host.nowUs();
      host.onJoining(ring.words[Word.readerPid], writer.lag);
    }
  }

  get joining(): boolean {
    return this.#catchingUp;
  }

  get following(): boolean {
    return this.#writer?.readerAttached === true;
  }

  /** Ends protection, and tells the backup so. @param fault a reason of Word.readerFault */
  drop(reason: string, fault: number): void {
    const { ring } = this;
    ring.store(Word.readerFault, fault);
    ring.store(Word.readerState, ReaderState.Refused);
    this.host.wakeBackup();
    this.#lose(reason);
  }

  /** Gives the backup up, and admits none any more. */
  refuse(reason: string): void {
    this.#isRefusing = true;
    if (this.following) this.drop(reason, ReaderFault.TooSlow);
  }

  #lose(reason: string): void {
    const { ring, host } = this;
    this.close();
    this.#writer?.detach();
    this.firstProtected = Number.POSITIVE_INFINITY;
    this.#catchingUp = false;
    host.group.removeMemory(ring.words[Word.readerPid]);
    if (ring.load(Word.readerState) === ReaderState.Live) ring.store(Word.readerState, ReaderState.None);
    host.onUnprotected(reason);
  }

  close(): void {
    if (this.#watch !== null) this.host.native.watchClose(this.#watch, true);
    if (this.#threads !== null) this.host.native.threadsClose(this.#threads);
    this.#watch = this.#threads = null;
  }
}
