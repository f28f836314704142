/**
 * The backup's hold on its primary: it joins the log, keeps copies of the primary's device queue
 * and lock, and a view of the memory that the primary receives into, watches the primary, and
 * fences it at a takeover.
 *
 * The copies are descriptors of the same open files. So queue and lock outlive the primary: there
 * is no moment at which a third process could have the lock, and a takeover need not wait until the
 * kernel has closed the primary's own descriptors.
 */
import { RxSlab, slabBytes } from '../../lib/device/rx-slab.js';
import { FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { UnclaimedConnections } from '../connections/checkpoint/unclaimed-connections.js';
import type { GroupPlace } from '../host/group-directory.js';
import { watchThreads } from '../host/thread-watch.js';
import type { Ring } from '../log/ring.js';
import { ReaderState, Word } from '../log/ring-header.js';
import { RingReader } from '../log/ring-reader.js';
import { FailureDetector } from './failure-detector.js';
import type { FenceProof, LossReason, PrimaryWatch } from './primary-watch.js';
import { RemoteFailureDetector } from './remote-failure-detector.js';
import type { ReplayHost } from './replay-host.js';
import type { Replayer } from './replayer.js';

/** Frames that a replica's device receives in one batch, at most. */
export const RX_SLOTS = 64;

/** What a {@link Follower} follows, and how. */
export interface FollowerOptions {
  native: NativeAddon;
  /** This process. */
  ownPid: number;
  ring: Ring;
  group: GroupPlace;
  /** Applies the log's records. */
  host: ReplayHost;
  /** The primary's process; on several machines, the local agent. */
  primaryPid: number;
  /** False: the primary is known to be dead. */
  alive: boolean;
  /** The primary is on another machine. */
  remote: boolean;
  /** A heartbeat that stands still for this time means a hang, microseconds; Infinity: never. */
  hangTimeoutUs: number;
  /** A program that is loaded for longer means a hang, microseconds; Infinity: never. */
  loadTimeoutUs: number;
  /** Called once, when the primary is lost. */
  onLost: (reason: LossReason) => void;
  /** Connections that no program of this process owns. */
  unclaimed: UnclaimedConnections;
  /** State mode of the whole group: no program runs here. */
  stateMode: boolean;
  /** The class that applies the log's records. */
  Replayer: typeof Replayer;
}

/**
 * Joins a primary's log and reads it. Its last three steps, `fence`, `lock` and `readToEnd`, belong
 * to a takeover.
 */
export class Follower {
  reader: RingReader | null = null;
  replayer: Replayer | null = null;
  readonly detector: PrimaryWatch;
  /** A copy of the primary's device queue: frames that wait in it outlive the primary. -1: none. */
  queue = -1;
  /** Memory that the primary receives frames into; null: none. */
  slab: RxSlab | null = null;
  /** A copy of the descriptor that holds the primary's lock; -1: none. */
  #lock = -1;
  readonly #options: FollowerOptions;

  /** Throws FtError ESRCH when there is no such process. */
  constructor(options: FollowerOptions) {
    this.#options = options;
    const { native, primaryPid: pid, ring, hangTimeoutUs, loadTimeoutUs, onLost, alive } = options;
    this.detector = options.remote
      ? new RemoteFailureDetector(pid, ring, onLost)
      : new FailureDetector({
          ...{ native, pid, ring, hangTimeoutUs, loadTimeoutUs, onLost, alive },
          watchThreads: (onEnd) => watchThreads(native, options.group, pid, onEnd),
        });
  }

  /**
   * Begins to follow, once the primary has admitted this replica.
   * @returns true when it has just begun
   */
  join(): boolean {
    const { ring, ownPid } = this.#options;
    if (ring.load(Word.readerState) !== ReaderState.Live || ring.words[Word.readerPid] !== ownPid) return false;
    this.#read();
    const queue = ring.words[Word.tapFd];
    if (queue > 0) this.queue = this.detector.copyDescriptor(queue);
    this.#copyLock(ring.words[Word.lockFd]);
    return true;
  }

  #copyLock(fd: number): void {
    const { group, native } = this.#options;
    const copy = fd > 0 ? this.detector.copyDescriptor(fd) : -1;
    if (copy < 0) return;
    if (group.isPrimaryLock(copy)) this.#lock = copy;
    else native.closeFd(copy);
  }

  #read(): void {
    const { ring, group, host, unclaimed, stateMode } = this.#options;
    this.reader = new RingReader(ring);
    this.replayer = new this.#options.Replayer(this.reader, host, unclaimed, stateMode, host.minInPlaceBytes);
    this.replayer.joinedLate = ring.words[Word.startAt] !== 0;
    const slab = group.mapSlab(ring.writerPid, slabBytes(RX_SLOTS));
    this.slab = slab === null ? null : new RxSlab(slab);
  }

  /**
   * The primary died before it admitted this replica. The log outlives it: a complete log can still
   * be replayed. Without one, the program starts afresh, and connections that it does not know get
   * no answer.
   */
  #joinDead(): void {
    const { ring, ownPid } = this.#options;
    if (ring.words[Word.truncated] === 1) return;
    ring.words[Word.startAt] = 0;
    ring.words[Word.tail] = 0;
    ring.words[Word.readerPid] = ownPid;
    ring.words[Word.readerFault] = 0;
    ring.store(Word.readerState, ReaderState.Live);
    this.#read();
  }

  /**
   * Throws FtError ERR_FT_DROPPED when the primary has given this replica up: unread records may be
   * overwritten.
   */
  assertFollowing(): void {
    const { ring, ownPid } = this.#options;
    if (this.reader === null) return;
    if (ring.load(Word.readerState) === ReaderState.Live && ring.words[Word.readerPid] === ownPid) return;
    throw new FtError(
      'ERR_FT_DROPPED',
      'The primary has dropped this replica, which did not keep up with the log',
      'Restart it, and it joins again; a larger --log-size bridges longer pauses',
    );
  }

  /**
   * Makes sure that the primary is dead. Throws FtError ERR_FT_DROPPED, ERR_FT_FENCE. A program
   * that starts after the takeover may need what the old one held of the kernel.
   */
  fence(): FenceProof {
    this.assertFollowing();
    const { stateMode, host } = this.#options;
    return this.detector.fence(this.queue >= 0 && this.#lock >= 0 && (!stateMode || host.programLoaded));
  }

  /**
   * Takes the group's lock. Throws FtError ERR_FT_FENCE when another process holds it,
   * ERR_FT_DROPPED when the primary has given this replica up before it was fenced.
   */
  lock(): void {
    const { group } = this.#options;
    this.assertFollowing();
    if (this.#lock >= 0 && group.inheritPrimary(this.#lock)) this.#lock = -1;
    else if (!group.lockPrimary())
      throw new FtError('ERR_FT_FENCE', 'Another process holds the group', 'See ft-tcp status');
  }

  /**
   * The primary is dead: from here on the log is read to its end, and begun if this replica has not
   * joined yet.
   */
  readToEnd(): void {
    if (this.replayer === null && !this.join()) this.#joinDead();
    // In state mode the event that the primary died in has not happened: its data is still to be
    // read.
    if (!this.#options.stateMode) this.reader?.readAll();
  }

  /** Lets go of the old primary: everything of it has been taken over. */
  finish(): void {
    const { group } = this.#options;
    group.removeMemory(this.detector.pid);
    this.detector.close();
    group.unlockBackup();
  }

  /** Ends without a takeover: the copies must not outlive it. */
  close(): void {
    const { native } = this.#options;
    this.detector.close();
    for (const fd of [this.queue, this.#lock]) if (fd >= 0) native.closeFd(fd);
    this.queue = this.#lock = -1;
  }
}
