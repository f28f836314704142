/**
 * The primary's dealings with its backup: lets one join, wakes it, waits for it when the log is nearly full, and drops it
 * when it diverges or does not keep up. Nothing here can stop the primary for long.
 */
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { GroupPlace } from '../host/group-directory.js';
import { ReaderState, type Ring, type RingWriter, Word } from '../log/ring.js';
import type { CommitGate } from './output-gate.js';

/** A doorbell is only rung when more than this much waits: a backup that is up to date looks by itself. */
const BELL_LAG = 128 * 1024;
/** A backup that does not catch up for so long while the log is full is dropped. */
const SLOW_READER_US = 5_000_000;
/** A backup counts as still only after so many looks, so that our own stall is not taken for one of the backup's. */
const LOOKS = 8;
/** Reasons in Word.readerFault. */
const DIVERGED = 1;
const TOO_SLOW = 2;
const STILL_TEXT = 'the backup makes no progress';
const TOO_SLOW_TEXT = 'the backup did not keep up with the log';

/** What it needs of the replica. */
export interface StandbyHost {
  readonly native: NativeAddon;
  readonly gate: CommitGate;
  readonly group: GroupPlace;
  readonly programLoaded: boolean;
  /** How long a main loop may stand still. */
  readonly hangTimeoutUs: number;
  nowUs(): number;
  /** Rings the backup's doorbell. */
  wakeBackup(): void;
  /** Stops and starts reading from the device. */
  holdInput(on: boolean): void;
  /** The number of the next connection: those before it are unknown to a backup that did not see the beginning. */
  nextConnection(): number;
  /** Writes the record at which such a backup begins. */
  recordJoin(): void;
  /** Tells it of older connections, as far as there is room. @returns true when it has been told all that can be told */
  cover(): boolean;
  onProtected(): void;
  onUnprotected(reason: string): void;
  /** Tells neighbours where the group's addresses are. */
  announce(): void;
}

/** What a primary asks of whoever looks after its backups. */
export interface Standby {
  /** Connections below this number began before the backup that follows now, which may not know them. */
  readonly firstProtected: number;
  /** A backup follows. */
  readonly following: boolean;
  /** The log is nearly full: no input, no events, until the backup has caught up. */
  readonly paused: boolean;
  /** For the log's writer, when a record finds no room. */
  readonly overrun: () => void;
  /** Begins to serve with a new writer; no backup follows yet. */
  start(writer: RingWriter): void;
  /** A log that is nearly full slows the primary down instead of losing the backup. @returns true while it has to wait. */
  overloaded(): boolean;
  /** Once a turn, when nothing else is to be done. */
  serve(): void;
  close(): void;
}

export class LocalStandby implements Standby {
  firstProtected = Number.POSITIVE_INFINITY;
  paused = false;
  #pausedSinceUs = 0;
  #lastTail = 0;
  #stillSinceUs = 0;
  #stillLooks = 0;
  #watch: NativeHandle | null = null;
  /** Older connections are still to be told of. */
  #covering = false;
  #writer: RingWriter | null = null;

  constructor(
    readonly ring: Ring,
    readonly host: StandbyHost,
  ) {}

  readonly overrun = (): void => this.drop(TOO_SLOW_TEXT, TOO_SLOW);

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
    if (ring.load(Word.readerFault) === DIVERGED) {
      this.drop('the backup has diverged from the primary', DIVERGED);
      return;
    }
    if (this.#covering) this.#cover();
    const { lag } = writer;
    if (this.#still(writer, lag)) {
      this.drop(STILL_TEXT, TOO_SLOW);
      return;
    }
    if (ring.load(Word.readerSleeping) !== 0 && lag > 0 && (lag > BELL_LAG || host.gate.mode === 'acked')) {
      ring.words[Word.readerSleeping] = 0;
      host.wakeBackup();
    }
  }

  /**
   * A backup that has caught up once, has something to read and does not, hangs. Where output waits for it, it has twice
   * the time of a primary that hangs, as it may be in the same long event a little later.
   */
  #still(writer: RingWriter, lag: number): boolean {
    const { host, ring } = this;
    const tail = ring.load(Word.tail);
    const now = host.nowUs();
    if (lag === 0 || tail !== this.#lastTail || !writer.readerReady) {
      this.#lastTail = tail;
      this.#stillSinceUs = now;
      this.#stillLooks = 0;
      return false;
    }
    const twice = 2 * host.hangTimeoutUs;
    const limit = host.gate.mode === 'acked' && Number.isFinite(twice) ? twice : Math.max(SLOW_READER_US, twice);
    return ++this.#stillLooks >= LOOKS && now - this.#stillSinceUs > limit;
  }

  #join(writer: RingWriter): void {
    const { ring, host } = this;
    const pid = ring.words[Word.readerPid]!;
    let pidfd: number;
    try {
      pidfd = host.native.pidfdOpen(pid);
    } catch {
      ring.store(Word.readerState, ReaderState.None);
      return;
    }
    this.#watch = host.native.watchOpen(pidfd, false, () => this.#gone('the backup has ended'));
    host.native.watchRef(this.#watch, false);
    host.native.letCopy(pid);
    const whole = writer.attach();
    if (!whole) host.recordJoin();
    this.firstProtected = whole ? 0 : host.nextConnection();
    this.#covering = !whole && !host.cover();
    writer.publish();
    ring.store(Word.readerState, ReaderState.Live);
    host.wakeBackup();
    if (!this.#covering) host.onProtected();
  }

  #cover(): void {
    this.#covering = !this.host.cover();
    if (this.#covering) this.host.wakeBackup();
    else this.host.onProtected();
  }

  get following(): boolean {
    return this.#writer?.readerAttached === true;
  }

  /** Ends protection, and tells the backup so. */
  drop(reason: string, fault: number): void {
    const { ring } = this;
    ring.store(Word.readerFault, fault);
    ring.store(Word.readerState, ReaderState.Refused);
    this.host.wakeBackup();
    this.#gone(reason);
  }

  #gone(reason: string): void {
    const { ring, host } = this;
    this.close();
    this.#writer?.detach();
    this.firstProtected = Number.POSITIVE_INFINITY;
    host.group.removeSlab(ring.words[Word.readerPid]!);
    if (ring.load(Word.readerState) === ReaderState.Live) ring.store(Word.readerState, ReaderState.None);
    host.onUnprotected(reason);
  }

  close(): void {
    if (this.#watch !== null) this.host.native.watchClose(this.#watch, true);
    this.#watch = null;
  }
}
