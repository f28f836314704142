/**
 * The primary's dealings with backups on other machines, which an agent on this machine brings the log to (cluster/). The agent
 * alone decides who holds the log and who may speak; the primary never drops a backup by itself, as that backup could still
 * become primary without knowing what was said meanwhile.
 */

import { ReaderState, type Ring, type RingWriter, Word } from '../log/ring.js';
import type { Standby, StandbyHost } from './standby.js';

/** Word.readerFault: the log has a gap, whoever follows has to begin anew. */
const GAP = 2;

export class RemoteStandby implements Standby {
  firstProtected = Number.POSITIVE_INFINITY;
  paused = false;
  #writer: RingWriter | null = null;
  #protected = false;
  #announced: number;
  /** Connections before this one are unknown to a backup that joined last. */
  #joinedAt = 0;
  /** Older connections are still to be told of. */
  #covering = false;

  constructor(
    readonly ring: Ring,
    readonly host: StandbyHost,
    readonly agentPid: number,
  ) {
    this.#announced = ring.load(Word.announceCount);
  }

  /** A record found no room: nothing leaves before the agent has made sure that nobody goes on from the log as it was. */
  readonly overrun = (): void => {
    const { ring, host } = this;
    host.gate.shut = true;
    ring.store(Word.mayServeAlone, 0);
    ring.store(Word.readerFault, GAP);
    this.#writer?.detach();
    host.wakeBackup();
  };

  start(writer: RingWriter): void {
    const { ring } = this;
    this.#writer = writer;
    ring.words[Word.readerPid] = this.agentPid;
    ring.words[Word.readerReady] = 0;
    ring.words[Word.readerFault] = 0;
    ring.words[Word.commitPosition] = ring.words[Word.tail]!;
    ring.words[Word.snapshotsCompleted] = ring.words[Word.snapshotsRequested]!;
    writer.keep();
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
      ring.store(Word.readerFault, 0);
      host.gate.shut = false;
    }
    const asked = ring.load(Word.snapshotsRequested);
    if (asked !== ring.words[Word.snapshotsCompleted] && host.programLoaded && !host.gate.shut)
      this.#join(writer, asked);
    if (this.#covering) this.#covering = !host.cover();
    const safe = writer.readerReady;
    if (safe !== this.#protected) {
      this.#protected = safe;
      this.firstProtected = !safe ? Number.POSITIVE_INFINITY : ring.load(Word.joinedLate) === 0 ? 0 : this.#joinedAt;
      if (safe) host.onProtected();
      else host.onUnprotected('no other machine holds the log');
    }
    const announce = ring.load(Word.announceCount);
    if (announce !== this.#announced) {
      this.#announced = announce;
      host.announce();
    }
    if (ring.load(Word.readerSleeping) !== 0 && writer.published !== this.#told) {
      this.#told = writer.published;
      ring.words[Word.readerSleeping] = 0;
      host.wakeBackup();
    }
  }

  get following(): boolean {
    return this.#protected;
  }

  #told = -1;

  /** A backup that has not seen the beginning begins here. */
  #join(writer: RingWriter, asked: number): void {
    const { ring, host } = this;
    writer.keep();
    ring.words[Word.startAt] = writer.position | 0;
    host.recordJoin();
    this.#joinedAt = host.nextConnection();
    this.#covering = !host.cover();
    writer.publish();
    ring.store(Word.snapshotsCompleted, asked);
    host.wakeBackup();
  }

  close(): void {
    // The agent outlives its member.
  }
}
