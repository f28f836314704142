/**
 * A backup's copy of the log: the same bytes at the same positions as the primary's, in shared memory of this machine, which the
 * member follows as if its writer were here. What has been published into it outlives the member.
 */
import { oldestInUse, type Ring } from '../../log/ring.js';
import { ReaderState, Word } from '../../log/ring-header.js';
import { type Publish, PublishFlag } from '../transport/messages.js';

/** Bytes from one position to another; negative when it lies before. */
export function bytesBetween(from: number, to: number): number {
  return ((to - from) | 0) * 8;
}

export class LogCopy {
  /** End of what has come, published or not. Units. */
  received: number;

  constructor(
    readonly ring: Ring,
    /** Of the primary whose log it is. */
    public epoch: number,
    position: number,
  ) {
    this.received = position >>> 0;
  }

  /** End of what has been published. Units. */
  get position(): number {
    return this.ring.words[Word.head]! >>> 0;
  }

  get whole(): boolean {
    return this.ring.words[Word.truncated] === 0;
  }

  /** The member follows, and has been at the end of the log once. */
  get ready(): boolean {
    return this.ring.load(Word.readerReady) === 1 && this.ring.load(Word.readerFault) === 0;
  }

  /** The member cannot follow any more. */
  get fault(): boolean {
    return this.ring.load(Word.readerFault) !== 0;
  }

  /** There is something that the member has not read. */
  get behind(): boolean {
    return this.#reads ? this.ring.load(Word.tail) !== this.ring.load(Word.eventEnd) : true;
  }

  /** Bytes that the member has not read. */
  get unread(): number {
    return this.#reads ? bytesBetween(this.ring.load(Word.tail), this.position) : 0;
  }

  /** How far the member has gone. */
  get consumed(): number {
    return this.#reads ? this.ring.load(Word.tail) >>> 0 : this.position;
  }

  get #reads(): boolean {
    return this.ring.load(Word.readerState) === ReaderState.Live;
  }

  /** Bytes that can be taken before what the member has not read, or still looks at, would be overwritten. */
  get room(): number {
    const { ring } = this;
    const from = this.#reads ? oldestInUse(ring) : ring.words[Word.startAt]! >>> 0;
    return ring.size - bytesBetween(from, this.received);
  }

  /** Takes a piece of the log. @returns false when it is not the next one, or does not fit. */
  data(position: number, bytes: Uint8Array): boolean {
    const { ring } = this;
    if (position >>> 0 !== this.received || (bytes.length & 7) !== 0 || bytes.length > this.room) return false;
    const at = (this.received * 8) % ring.size;
    if (at + bytes.length > ring.size) return false;
    ring.bytes.set(bytes, at);
    this.received = (this.received + bytes.length / 8) >>> 0;
    if (this.whole && bytesBetween(0, this.received) > ring.size) ring.store(Word.truncated, 1);
    return true;
  }

  /** What has come up to `head` is valid. @returns false for an end that lies beyond what has come, or before what was valid. */
  publish(publish: Publish): boolean {
    const { ring } = this;
    const { head, complete } = publish;
    if (head !== this.received || bytesBetween(this.position, head) < 0 || bytesBetween(complete, head) < 0)
      return false;
    ring.words[Word.epoch] = publish.logEpoch;
    ring.words[Word.draining] = (publish.flags & PublishFlag.Draining) === 0 ? 0 : 1;
    ring.store(Word.head, head | 0);
    ring.store(Word.eventEnd, complete | 0);
    ring.store(Word.ready, (publish.flags & PublishFlag.Ready) === 0 ? 0 : 1);
    return true;
  }

  /** Takes back what the next primary does not have. @returns false when the member has read it. */
  cut(position: number): boolean {
    const { ring } = this;
    if (bytesBetween(position, this.position) < 0) return false;
    if (bytesBetween(this.consumed, position) < 0) return false;
    ring.store(Word.eventEnd, position | 0);
    ring.store(Word.head, position | 0);
    this.received = position >>> 0;
    return true;
  }

  /** Lets the member in that asks to follow. @returns true when it did. */
  admit(): boolean {
    const { ring } = this;
    if (ring.load(Word.readerState) !== ReaderState.Joining) return false;
    ring.words[Word.tail] = ring.words[Word.startAt]!;
    ring.words[Word.readerBorrowed] = 0;
    ring.words[Word.readerFault] = 0;
    ring.words[Word.readerReady] = 0;
    ring.store(Word.readerState, ReaderState.Live);
    return true;
  }

  /** The member has ended: another one can begin where the copy does. @returns false when that has been overwritten. */
  forgetReader(): boolean {
    const { ring } = this;
    ring.words[Word.readerReady] = 0;
    ring.store(Word.readerState, ReaderState.None);
    return this.whole;
  }
}
