/**
 * A backup's copy of the log: the same bytes at the same positions as the primary's, in shared
 * memory of this machine. The local replica follows it as if its writer were here. What has been
 * published into the copy outlives the replica.
 */
import { oldestInUse, type Ring } from '../../log/ring.js';
import { ReaderState, Word } from '../../log/ring-header.js';
import { type Publish, PublishFlag } from '../transport/messages.js';

/**
 * Bytes from one position to another, negative when it lies before. Positions count units of 8
 * bytes modulo 2^32, so they may be 8 GiB apart at most.
 */
export function bytesBetween(from: number, to: number): number {
  return ((to - from) | 0) * 8;
}

/** The copy, as the agent writes it. */
export class LogCopy {
  /** End of what has been received, published or not. Units. */
  received: number;

  constructor(
    readonly ring: Ring,
    /** Of the leader whose log it is. */
    public epoch: number,
    position: number,
  ) {
    this.received = position >>> 0;
  }

  /** End of what has been published. Units. */
  get position(): number {
    return this.ring.load(Word.head) >>> 0;
  }

  /** The copy holds the log from its beginning. */
  get isComplete(): boolean {
    return this.ring.load(Word.truncated) === 0;
  }

  /** The replica follows, and has been at the end of the log once. */
  get isReady(): boolean {
    return this.ring.load(Word.readerReady) === 1 && !this.hasFault;
  }

  /** The replica cannot follow any more. */
  get hasFault(): boolean {
    return this.ring.load(Word.readerFault) !== 0;
  }

  /** There is something that the replica has not applied, or there is no replica that follows. */
  get hasUnread(): boolean {
    return !this.#hasReader || this.ring.load(Word.tail) !== this.ring.load(Word.eventEnd);
  }

  /** Bytes that the replica has not applied. */
  get unreadBytes(): number {
    return this.#hasReader ? bytesBetween(this.ring.load(Word.tail), this.position) : 0;
  }

  /** End of what the replica has applied. Units. */
  get applied(): number {
    return this.#hasReader ? this.ring.load(Word.tail) >>> 0 : this.position;
  }

  get #hasReader(): boolean {
    return this.ring.load(Word.readerState) === ReaderState.Live;
  }

  /**
   * Bytes that fit before what the replica has not applied, or has borrowed, would be overwritten.
   */
  get freeBytes(): number {
    const { ring } = this;
    const from = this.#hasReader ? oldestInUse(ring) : ring.load(Word.startAt) >>> 0;
    return ring.size - bytesBetween(from, this.received);
  }

  /** Adds a chunk of the log. @returns false when it is not the next one, or does not fit. */
  append(position: number, bytes: Uint8Array): boolean {
    const { ring } = this;
    if (position >>> 0 !== this.received || (bytes.length & 7) !== 0 || bytes.length > this.freeBytes) return false;
    const at = (this.received * 8) % ring.size;
    if (at + bytes.length > ring.size) return false;
    ring.bytes.set(bytes, at);
    this.received = (this.received + bytes.length / 8) >>> 0;
    if (this.isComplete && bytesBetween(0, this.received) > ring.size) ring.store(Word.truncated, 1);
    return true;
  }

  /** Makes what has been received valid. @returns false for an end that does not fit to it. */
  publish(publish: Publish): boolean {
    const { ring } = this;
    const { head, eventEnd } = publish;
    if (head !== this.received || bytesBetween(this.position, head) < 0 || bytesBetween(eventEnd, head) < 0)
      return false;
    ring.words[Word.epoch] = publish.logEpoch;
    ring.words[Word.draining] = (publish.flags & PublishFlag.Draining) === 0 ? 0 : 1;
    ring.store(Word.head, head | 0);
    ring.store(Word.eventEnd, eventEnd | 0);
    ring.store(Word.ready, (publish.flags & PublishFlag.Ready) === 0 ? 0 : 1);
    return true;
  }

  /** Removes what the next leader does not have. @returns false when the replica has applied it. */
  truncateTo(position: number): boolean {
    const { ring } = this;
    if (bytesBetween(position, this.position) < 0) return false;
    if (bytesBetween(this.applied, position) < 0) return false;
    ring.store(Word.eventEnd, position | 0);
    ring.store(Word.head, position | 0);
    this.received = position >>> 0;
    return true;
  }

  /** Lets a replica follow that asks to. @returns whether one did. */
  admitReader(): boolean {
    const { ring } = this;
    if (ring.load(Word.readerState) !== ReaderState.Joining) return false;
    ring.words[Word.tail] = ring.load(Word.startAt);
    ring.words[Word.readerBorrowed] = 0;
    ring.words[Word.readerFault] = 0;
    ring.words[Word.readerReady] = 0;
    ring.store(Word.readerState, ReaderState.Live);
    return true;
  }

  /** The replica has ended. @returns whether another one can begin at the start of the copy. */
  detachReader(): boolean {
    const { ring } = this;
    ring.words[Word.readerReady] = 0;
    ring.store(Word.readerState, ReaderState.None);
    return this.isComplete;
  }
}
