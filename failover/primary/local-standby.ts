/**
 * The primary's backup on the same machine: the primary lets it join, wakes it, waits for it when
 * the log is nearly full, and drops it when it diverges or does not keep up. Nothing here can stop
 * the primary for long.
 */
import type { NativeHandle } from '../../lib/native/native.js';
import { watchThreads } from '../host/thread-watch.js';
import type { Ring } from '../log/ring.js';
import { ReaderFault, ReaderState, Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { Standby, StandbyHost } from './standby.js';

/** The doorbell rings only above this lag, bytes: a backup that is up to date polls the log. */
const BELL_LAG_BYTES = 128 * 1024;
/** A backup that makes no progress for this time while the log is full is dropped. */
const SLOW_READER_US = 5_000_000;
/** A stall needs this many looks: the primary's own stall must not count as one of the backup. */
const MIN_LOOKS = 8;

/** Looks after one backup on this machine. */
export class LocalStandby implements Standby {
  firstProtected = Number.POSITIVE_INFINITY;
  paused = false;
  #pausedSinceUs = 0;
  #lastTail = 0;
  #lastProgressUs = 0;
  #stalledLooks = 0;
  #watch: NativeHandle | null = null;
  #threads: NativeHandle | null = null;
  /** The state transfer of older connections is under way. */
  #transferring = false;
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
      else if (this.host.nowUs() - this.#pausedSinceUs > SLOW_READER_US) this.overrun();
    } else if (room < size / 4) {
      this.#pausedSinceUs = this.host.nowUs();
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
      if (ring.load(Word.readerState) === ReaderState.Joining && host.programLoaded) this.#join(writer);
      return;
    }
    if (ring.load(Word.readerFault) === ReaderFault.Diverged) {
      this.drop('the backup has diverged from the primary', ReaderFault.Diverged);
      return;
    }
    if (this.#transferring) this.#continueTransfer();
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
    const tail = ring.load(Word.tail);
    const now = host.nowUs();
    if (lag === 0 || tail !== this.#lastTail || !writer.readerReady) {
      this.#lastTail = tail;
      this.#lastProgressUs = now;
      this.#stalledLooks = 0;
      return false;
    }
    const twice = 2 * host.hangTimeoutUs;
    const limit = host.gate.mode === 'acked' && Number.isFinite(twice) ? twice : Math.max(SLOW_READER_US, twice);
    return ++this.#stalledLooks >= MIN_LOOKS && now - this.#lastProgressUs > limit;
  }

  #join(writer: RingWriter): void {
    const { ring, host } = this;
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
    writer.publish();
    ring.store(Word.readerState, ReaderState.Live);
    host.wakeBackup();
    if (!this.#transferring) host.onProtected();
  }

  #continueTransfer(): void {
    this.#transferring = !this.host.transferState();
    if (this.#transferring) this.host.wakeBackup();
    else this.host.onProtected();
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

  #lose(reason: string): void {
    const { ring, host } = this;
    this.close();
    this.#writer?.detach();
    this.firstProtected = Number.POSITIVE_INFINITY;
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
