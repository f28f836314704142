/**
 * The log in shared memory against a queue: what is published is read, whole, once and in order,
 * over many wraps.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { native } from '../../lib/native/native.js';

const BYTES = 4096;
const directory = mkdtempSync(join(tmpdir(), 'ft-ring-properties-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      length: fc.integer({ min: 0, max: 700 }),
      fill: fc.integer({ min: 1, max: 255 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('publish' as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('read' as const), count: fc.integer({ min: 1, max: 6 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Item {
  conn: number;
  body: Uint8Array;
}

/** One log file for all runs: each run formats it anew. */
const path = join(directory, 'log');
const ours = new Ring(native(), native().shmMap(path, RING_HEADER + BYTES, true));
const theirs = new Ring(native(), native().shmMap(path, RING_HEADER + BYTES, false));

class Run {
  readonly writer: RingWriter;
  readonly reader: RingReader;
  overruns = 0;
  #appended: Item[] = [];
  readonly #published: Item[] = [];
  #conn = 0;

  constructor() {
    ours.bytes.fill(0);
    ours.words.fill(0);
    ours.format(new Uint8Array(SECRET_LENGTH).fill(9));
    this.writer = new RingWriter(ours, () => {
      this.overruns++;
    });
    this.writer.attach();
    this.reader = new RingReader(theirs);
  }

  apply(one: Step): boolean {
    if (one.kind === 'append') return this.#append(one.length, one.fill);
    if (one.kind === 'publish') {
      this.writer.publish();
      this.#published.push(...this.#appended);
      this.#appended = [];
      return true;
    }
    for (let n = 0; n < one.count; n++) if (!this.#read()) return false;
    return true;
  }

  /** A record that does not fit is left out: the primary would wait, or drop its reader. */
  #append(length: number, fill: number): boolean {
    if (this.writer.room < 2 * (length + 64)) return true;
    const body = new Uint8Array(length).fill(fill);
    const at = this.writer.begin(RecordType.Received, ++this.#conn, length);
    if (at < 0) return false;
    ours.bytes.set(body, at);
    this.writer.end();
    this.#appended.push({ conn: this.#conn, body });
    return true;
  }

  #read(): boolean {
    const expected = this.#published.shift();
    if (!this.reader.next()) return expected === undefined;
    if (expected === undefined || this.reader.type !== RecordType.Received || this.reader.conn !== expected.conn)
      return false;
    const { body, bodyLength } = this.reader;
    // Bodies are padded to the log's unit of eight bytes.
    if (bodyLength < expected.body.length || bodyLength - expected.body.length >= 8) return false;
    const same = Buffer.compare(theirs.bytes.subarray(body, body + expected.body.length), expected.body) === 0;
    this.reader.release();
    return same;
  }
}

t.test('what is published is read, whole, once and in order', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 200 }), (steps) => {
      const run = new Run();
      return steps.every((one) => run.apply(one)) && run.overruns === 0;
    }),
    { numRuns: 500 },
  );
  t.pass('in 500 sequences of up to 200 steps');
});
