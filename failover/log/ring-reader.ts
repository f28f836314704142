/** The backup's end of the log: one record at a time, verified before anything of it is used. */
import { LOG_VERSION, LogError, OLDEST_VERSION, RECORD_HEADER, RecordType } from './records.js';
import { bytesBetweenPositions, type Ring } from './ring.js';
import { Word } from './ring-header.js';

/**
 * Reads the log. Throws LogError for a record that is damaged, of another version or of an older
 * epoch.
 */
export class RingReader {
  // The current record, after `next` has returned true.
  type: RecordType = RecordType.Pad;
  conn = 0;
  /** Version of the format. */
  version = 0;
  /** Offset of the body in the ring's data area. */
  body = 0;
  /** Bytes of the body, padding included. */
  bodyLength = 0;
  epoch = 0;
  /** The record that `lookAt` has looked at last. */
  readonly ahead: { type: RecordType; body: number } = { type: RecordType.Pad, body: 0 };
  #position: number;
  #released: number;
  #before = 0;
  #borrowedFrom = -1;
  #end: typeof Word.head | typeof Word.eventEnd = Word.eventEnd;

  constructor(readonly ring: Ring) {
    this.#position = ring.words[Word.startAt] >>> 0;
    this.#released = this.#position;
  }

  /** Bytes that can be read now. */
  get lag(): number {
    return bytesBetweenPositions(this.#position, this.ring.load(this.#end) >>> 0);
  }

  /** The writer is dead: its unfinished event is read, too. */
  readAll(): void {
    this.#end = Word.head;
  }

  /** The writer is dead, and its unfinished event is read, too. */
  get readsAll(): boolean {
    return this.#end === Word.head;
  }

  /** Behind the current record. */
  get position(): number {
    return this.#position;
  }

  /** Where the current record begins. */
  get before(): number {
    return this.#before;
  }

  /** The current record belongs to an event that the writer did not finish. */
  get unfinished(): boolean {
    return ((this.#before - this.ring.load(Word.eventEnd)) | 0) >= 0;
  }

  /**
   * Connection of the event that the dead writer was in; 0 for an event of none, -1 when it was in
   * no event.
   */
  get lastConn(): number {
    const { ring } = this;
    const head = ring.load(Word.head) >>> 0;
    let position = ring.load(Word.eventEnd) >>> 0;
    while (position !== head) {
      const at = (position * 8) % ring.size;
      const type = ring.view.getUint8(at + 4);
      if (type === RecordType.Event) return ring.view.getUint32(at + 12, true);
      if (type === RecordType.Runtime) return 0;
      // These records have not been verified.
      const length = ring.view.getUint32(at, true);
      if (length < 8 || (length & 7) !== 0 || length > bytesBetweenPositions(position, head)) return -1;
      position = (position + length / 8) >>> 0;
    }
    return -1;
  }

  /**
   * Moves to the next record.
   * @returns false at the end of the log. Throws LogError for a record that cannot be used.
   */
  next(): boolean {
    const { ring } = this;
    const { view } = ring;
    for (;;) {
      const head = ring.load(this.#end) >>> 0;
      if (this.#position === head) return false;
      const at = (this.#position * 8) % ring.size;
      const length = view.getUint32(at, true);
      const type = view.getUint8(at + 4);
      if (
        length < (type === RecordType.Pad ? 8 : RECORD_HEADER) ||
        (length & 7) !== 0 ||
        length > bytesBetweenPositions(this.#position, head) ||
        at + length > ring.size
      ) {
        throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has a record of impossible length');
      }
      if (type !== RecordType.Pad) {
        this.#take(at, length);
        return true;
      }
      this.#position = (this.#position + length / 8) >>> 0;
    }
  }

  #take(at: number, length: number): void {
    const { view } = this.ring;
    const version = view.getUint8(at + 5);
    if (version < OLDEST_VERSION || version > LOG_VERSION) {
      throw new LogError('ERR_FT_LOG_VERSION', `The shared log has a record of version ${version}`);
    }
    const epoch = view.getUint16(at + 6, true);
    if (epoch < this.epoch)
      throw new LogError('ERR_FT_LOG_EPOCH', `The shared log has a record of the older epoch ${epoch}`);
    this.type = view.getUint8(at + 4) as RecordType;
    this.version = version;
    this.conn = view.getUint32(at + 12, true);
    this.body = at + RECORD_HEADER;
    this.bodyLength = length - RECORD_HEADER;
    this.#verify(at, this.body, this.bodyLength);
    this.epoch = epoch;
    this.#before = this.#position;
    this.#position = (this.#position + length / 8) >>> 0;
  }

  #verify(at: number, body: number, bodyLength: number): void {
    const { ring } = this;
    const seed = (ring.view.getUint32(at + 4, true) ^ ring.view.getUint32(at + 12, true)) >>> 0;
    if (ring.checksum(body, bodyLength, seed) !== ring.view.getUint32(at + 8, true)) {
      throw new LogError('ERR_FT_LOG_CORRUPT', 'The shared log has a record with a wrong checksum');
    }
  }

  /**
   * Looks behind the current record without moving, as far as the running event goes.
   * @param skip how many records of this type to pass over
   * @returns body offset of the record of this type, or -1
   */
  peek(type: RecordType, skip: number): number {
    const { ring } = this;
    let position = this.#position;
    const head = ring.load(this.#end) >>> 0;
    for (;;) {
      if (position === head) return -1;
      const at = (position * 8) % ring.size;
      const kind = ring.view.getUint8(at + 4);
      const length = ring.view.getUint32(at, true);
      if (kind === type && skip-- === 0) return at + RECORD_HEADER;
      if (kind === RecordType.Event || kind === RecordType.Runtime || length < 8) return -1;
      position = (position + length / 8) >>> 0;
    }
  }

  /**
   * Looks at the record at a position without moving, and verifies it.
   * @returns the position behind it, or -1 at the end of the log
   */
  lookAt(position: number): number {
    const { ring, ahead } = this;
    const head = ring.load(this.#end) >>> 0;
    for (;;) {
      if (position === head) return -1;
      const at = (position * 8) % ring.size;
      const length = ring.view.getUint32(at, true);
      if (length < 8 || (length & 7) !== 0 || length > bytesBetweenPositions(position, head)) return -1;
      position = (position + length / 8) >>> 0;
      ahead.type = ring.view.getUint8(at + 4) as RecordType;
      if (ahead.type === RecordType.Pad) continue;
      ahead.body = at + RECORD_HEADER;
      this.#verify(at, ahead.body, length - RECORD_HEADER);
      return position;
    }
  }

  /** Steps back before the current record, so that `next` gives it again. */
  unread(): void {
    this.#position = this.#before;
  }

  /** Tells the writer that everything up to here has been applied. */
  release(): void {
    if (this.#released === this.#position) return;
    this.#released = this.#position;
    if (this.#borrowedFrom >= 0) this.borrowFrom(this.#borrowedFrom);
    this.ring.store(Word.tail, this.#position | 0);
  }

  /** Whether the writer leaves borrowed records alone; writers of version 3 do not. */
  get canBorrow(): boolean {
    const { words } = this.ring;
    return words[Word.borrowSupportPid] !== 0 && words[Word.borrowSupportPid] === words[Word.writerPid];
  }

  /** Records from this position on stay borrowed, wherever `release` gets; -1: none. */
  borrowFrom(position: number): void {
    this.#borrowedFrom = position;
    // What has not been released is left alone anyway.
    const units = position < 0 ? 0 : Math.max(0, (this.#released - position) | 0);
    if (this.ring.words[Word.readerBorrowed] !== units) this.ring.store(Word.readerBorrowed, units);
  }
}
