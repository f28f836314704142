/**
 * The backup's hold on its primary: joins its log, keeps a copy of its device queue and a view of the memory that it
 * receives into, watches it, and makes sure that it is dead when it has to be.
 */
import { RxSlab, slabBytes } from '../../lib/device/rx-slab.js';
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { UnclaimedConnections } from '../checkpoint/unclaimed-connections.js';
import type { GroupPlace } from '../host/group-directory.js';
import { invariants } from '../log/invariants.js';
import { ReaderState, type Ring, RingReader, Word } from '../log/ring.js';
import { FailureDetector, type PrimaryWatch } from './failure-detector.js';
import { RemoteFailureDetector } from './remote-failure-detector.js';
import type { ReplayHost } from './replay-host.js';
import { Replayer } from './replayer.js';

/** Frames that a replica's device hands over at once. */
export const RX_SLOTS = 64;

export class Follower {
  reader: RingReader | null = null;
  replayer: Replayer | null = null;
  readonly detector: PrimaryWatch;
  /** A copy of the primary's device queue, so that frames which wait in it outlive the primary; -1: none. */
  queue = -1;
  /** Where the primary receives its frames. */
  slab: RxSlab | null = null;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(
    native: NativeAddon,
    readonly ownPid: number,
    readonly ring: Ring,
    readonly group: GroupPlace,
    readonly host: ReplayHost,
    primary: number,
    hangTimeoutUs: number,
    onGone: (reason: 'death' | 'hang') => void,
    /** Connections that are kept without a program. */
    readonly kept: UnclaimedConnections,
    readonly stateMode: boolean,
    alive: boolean,
    /** The primary is on another machine; `primary` is the agent that stands in for it. */
    remote: boolean,
  ) {
    this.detector = remote
      ? new RemoteFailureDetector(primary, ring, onGone)
      : new FailureDetector(native, primary, ring, hangTimeoutUs, onGone, alive);
  }

  /** Begins to follow when the primary has let us. @returns true when it has just begun. */
  join(): boolean {
    const { ring } = this;
    if (ring.load(Word.readerState) !== ReaderState.Live || ring.words[Word.readerPid] !== this.ownPid) return false;
    this.#read();
    const queue = ring.words[Word.tapFd]!;
    if (queue > 0) this.queue = this.detector.copyDescriptor(queue);
    return true;
  }

  #read(): void {
    const { ring } = this;
    this.reader = new RingReader(ring);
    this.replayer = new Replayer(this.reader, this.host, this.kept, this.stateMode, this.host.leastInPlace);
    this.replayer.joiner = ring.words[Word.startAt] !== 0;
    const slab = this.group.mapSlab(ring.writerPid, slabBytes(RX_SLOTS));
    this.slab = slab === null ? null : new RxSlab(slab);
  }

  /**
   * The primary died before it let us join. The log outlives it: while it has the whole history, everything can still be
   * repeated; without it, we begin as a new program, and say nothing to connections that we do not know.
   */
  #joinDead(): void {
    const { ring } = this;
    if (ring.words[Word.truncated] === 1) return;
    ring.words[Word.startAt] = 0;
    ring.words[Word.tail] = 0;
    ring.words[Word.readerPid] = this.ownPid;
    ring.words[Word.readerFault] = 0;
    ring.store(Word.readerState, ReaderState.Live);
    this.#read();
  }

  /** What is not read yet may be overwritten, once the primary has given us up. Throws FtError ERR_FT_DROPPED. */
  assertFollowing(): void {
    const { ring } = this;
    if (this.reader === null) return;
    if (ring.load(Word.readerState) === ReaderState.Live && ring.words[Word.readerPid] === this.ownPid) return;
    throw new FtError(
      'ERR_FT_DROPPED',
      'The primary has dropped this replica, which did not keep up with the log',
      'Restart it, and it joins again; a larger --log-size bridges longer pauses',
    );
  }

  /** Makes sure that the primary is dead and the group ours; from then on the log is read to its end. Throws FtError. */
  succeed(): void {
    this.assertFollowing();
    if (invariants.fence) this.detector.fence();
    if (!this.group.lockPrimary() && invariants.fence) {
      throw new FtError('ERR_FT_FENCE', 'Another process holds the group', 'See ft-tcp status');
    }
    if (this.replayer === null && !this.join()) this.#joinDead();
    // In state mode the event that the primary died in has not happened: its data is still to be read.
    if (!this.stateMode) this.reader?.readAll();
  }

  /** Everything of the old primary has been taken over. */
  finish(): void {
    this.group.removeSlab(this.detector.pid);
    this.detector.close();
    this.group.unlockBackup();
  }
}
