/**
 * The samples of the event that a backup repeats (runtime/samples/). Their records stand behind the
 * event's, in the order in which the primary's program asked. The start of the program may take
 * many turns of the loop, in which the reader passes their records: these are kept until the
 * program asks for them.
 */
import { RecordType, SampleBody } from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { LoggedSample, NextSample } from '../runtime/samples/samples.js';

/** What the samples need of the replay around them. */
export interface SampleReplay {
  readonly reader: RingReader;
  /** This replica did not see the beginning of the log. */
  readonly joinedLate: boolean;
  /** The program's start-up is complete. */
  readonly programLoaded: boolean;
  /** The program is not where the primary's was: it asked for more or less than that one. */
  differs(reason: string): void;
}

/** Finds the samples of the running event. */
export class ReplayedSamples {
  readonly #host: SampleReplay;
  /** Where the next sample is looked for, at the reader's position or behind it; -1: there. */
  #next = -1;
  /** The event runs here, so that its samples are asked for. */
  #isFollowed = false;
  /** Samples of the program's start that the reader has passed. */
  readonly #start: LoggedSample[] = [];
  /** How far samples of the start were found ahead of the reader; -1: none were. */
  #startNext = -1;

  constructor(host: SampleReplay) {
    this.#host = host;
  }

  /** A record of an event was read. @param isFollowed it is given to the program */
  beginEvent(isFollowed: boolean): void {
    this.#next = -1;
    this.#isFollowed = isFollowed;
    if (this.#host.programLoaded && this.#start.length > 0) {
      const [{ name }] = this.#start.splice(0);
      this.#host.differs(`the start of the primary's program called ${name}; this replica's did not`);
    }
  }

  /** The running event's next sample. */
  next(): NextSample {
    const { reader, programLoaded } = this.#host;
    if (!programLoaded) return this.#nextOfStart();
    for (let at = this.#from(this.#next); ; ) {
      const behind = reader.lookAt(at);
      const { type } = reader.ahead;
      if (behind < 0 || type === RecordType.Event || type === RecordType.Runtime) break;
      at = behind;
      if (type !== RecordType.Sample) continue;
      this.#next = behind;
      return this.#sampleAt(reader.ahead.body);
    }
    return reader.unfinished ? 'end' : 'missing';
  }

  #nextOfStart(): NextSample {
    const { reader, joinedLate } = this.#host;
    const passed = this.#start.shift();
    if (passed !== undefined) return passed;
    if (joinedLate) return 'unlogged';
    for (let at = this.#from(this.#startNext); ; ) {
      const behind = reader.lookAt(at);
      if (behind < 0 || reader.ahead.type === RecordType.Started) break;
      at = behind;
      if (!this.#isOfStart()) continue;
      this.#startNext = behind;
      return this.#sampleAt(reader.ahead.body);
    }
    return reader.readsAll ? 'end' : 'missing';
  }

  #isOfStart(): boolean {
    const { ahead, ring } = this.#host.reader;
    return ahead.type === RecordType.Sample && SampleBody.isStart.get(ring.view, ahead.body) === 1;
  }

  /** Where to look on: not before what the reader has passed. */
  #from(wanted: number): number {
    const { position } = this.#host.reader;
    return wanted < 0 || ((wanted - position) | 0) < 0 ? position : wanted;
  }

  /** The reader has passed the record of a sample. */
  passed(): void {
    const { reader, joinedLate, programLoaded } = this.#host;
    const isStart = SampleBody.isStart.get(reader.ring.view, reader.body) === 1;
    const taken = isStart ? this.#startNext : this.#next;
    if (taken >= 0 && ((reader.before - taken) | 0) < 0) return;
    if (isStart && !joinedLate && !programLoaded) this.#start.push(this.#sampleAt(reader.body));
    else if (isStart ? !joinedLate : this.#isFollowed) {
      const { name } = this.#sampleAt(reader.body);
      this.#host.differs(`the primary's program called ${name}; this replica's program did not`);
    }
  }

  #sampleAt(body: number): LoggedSample {
    const { view, bytes } = this.#host.reader.ring;
    const from = body + SampleBody.size;
    const middle = from + SampleBody.nameLength.get(view, body);
    const name = Buffer.from(bytes.subarray(from, middle)).toString('latin1');
    return { name, result: bytes.slice(middle, middle + SampleBody.resultLength.get(view, body)) };
  }
}
