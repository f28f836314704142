/**
 * The primary's backups on other machines. An agent on this machine ships the log to them
 * (cluster/agent). The agent alone decides who holds the log, and whether the primary has the
 * lease. The primary never drops a backup by itself: that backup could still become primary, and
 * would not know what was sent meanwhile.
 */
import type { Ring } from '../log/ring.js';
import { ReaderFault, ReaderState, Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';
import type { Standby, StandbyHost } from './standby.js';

/** Looks after the agent that reads the log. */
export class RemoteStandby implements Standby {
  firstProtected = Number.POSITIVE_INFINITY;
  paused = false;
  #writer: RingWriter | null = null;
  #protected = false;
  /** Word.announceCount, as it was obeyed last. */
  #announced: number;
  /** The backup that joined last does not know connections below this number. */
  #joinedAt = 0;
  /** The state transfer of older connections is under way. */
  #transferring = false;
  /** The end of the log when the agent was woken last. */
  #wokenAt = -1;

  constructor(
    readonly ring: Ring,
    readonly host: StandbyHost,
    /** The agent's process. */
    readonly agentPid: number,
  ) {
    this.#announced = ring.load(Word.announceCount);
  }

  /** Nothing leaves before the agent has made sure that nobody continues from the log as it was. */
  readonly overrun = (): void => {
    const { ring, host } = this;
    host.gate.shut = true;
    ring.store(Word.mayServeAlone, 0);
    ring.store(Word.readerFault, ReaderFault.Gap);
    this.#writer?.detach();
    host.wakeBackup();
  };

  start(writer: RingWriter): void {
    const { ring } = this;
    this.#writer = writer;
    ring.words[Word.readerPid] = this.agentPid;
    ring.words[Word.readerReady] = 0;
    ring.words[Word.readerFault] = ReaderFault.None;
    ring.words[Word.commitPosition] = ring.words[Word.tail];
    ring.words[Word.snapshotsCompleted] = ring.words[Word.snapshotsRequested];
    writer.attachAgent();
    ring.store(Word.readerState, ReaderState.Live);
  }

  overloaded(): boolean {
    const writer = this.#writer;
    if (writer === null) return false;
    const { room } = writer;
    const { size } = writer.ring;
    if (this.paused ? room > size / 2 : room < size / 4) {
      this.paused = !this.paused;
      this.host.holdInput(this.paused);
    }
    if (this.paused) this.host.wakeBackup();
    return this.paused;
  }

  serve(): void {
    const { ring, host } = this;
    const writer = this.#writer;
    if (writer === null) return;
    if (host.gate.shut && ring.load(Word.mayServeAlone) === 1) {
      ring.store(Word.mayServeAlone, 0);
      ring.store(Word.readerFault, ReaderFault.None);
      host.gate.shut = false;
    }
    const requested = ring.load(Word.snapshotsRequested);
    if (requested !== ring.words[Word.snapshotsCompleted] && host.programLoaded && !host.gate.shut)
      this.#join(writer, requested);
    if (this.#transferring) this.#transferring = !host.transferState();
    this.#reportProtection(writer.readerReady);
    const announce = ring.load(Word.announceCount);
    if (announce !== this.#announced) {
      this.#announced = announce;
      host.announce();
    }
    if (ring.load(Word.readerSleeping) !== 0 && writer.published !== this.#wokenAt) {
      this.#wokenAt = writer.published;
      ring.words[Word.readerSleeping] = 0;
      host.wakeBackup();
    }
  }

  #reportProtection(safe: boolean): void {
    const { ring, host } = this;
    if (safe === this.#protected) return;
    this.#protected = safe;
    if (safe) {
      this.firstProtected = ring.load(Word.joinedLate) === 0 ? 0 : this.#joinedAt;
      host.onProtected();
    } else {
      this.firstProtected = Number.POSITIVE_INFINITY;
      host.onUnprotected('no other machine holds the log');
    }
  }

  get joining(): boolean {
    // The agent reports it (status of the cluster).
    return false;
  }

  get following(): boolean {
    return this.#protected;
  }

  /** A late joiner begins here. */
  #join(writer: RingWriter, requested: number): void {
    const { ring, host } = this;
    writer.attachAgent();
    ring.words[Word.startAt] = writer.position | 0;
    host.recordJoin();
    this.#joinedAt = host.nextConnection();
    this.#transferring = !host.transferState();
    writer.publish();
    ring.store(Word.snapshotsCompleted, requested);
    host.wakeBackup();
  }

  close(): void {
    // The agent outlives the replica.
  }
}
