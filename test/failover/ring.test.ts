/**
 * The log: every damage is found, nothing is lost when it wraps, and a reader that cannot follow is
 * told why.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LOG_VERSION, LogError, MAX_BODY, RECORD_HEADER, RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-ring-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

/** The same log as its writer and its reader map it. */
function pair(bytes = 65_536): { ours: Ring; theirs: Ring; writer: RingWriter; overruns: () => number } {
  const path = join(directory, `log${files++}`);
  const ours = new Ring(native(), native().shmMap(path, RING_HEADER + bytes, true));
  ours.format(new Uint8Array(SECRET_LENGTH).fill(9));
  const theirs = new Ring(native(), native().shmMap(path, RING_HEADER + bytes, false));
  theirs.check();
  let overruns = 0;
  const writer = new RingWriter(ours, () => {
    overruns++;
    writer.detach();
  });
  return { ours, theirs, writer, overruns: () => overruns };
}

function put(writer: RingWriter, type: RecordType, conn: number, body: Uint8Array): boolean {
  const at = writer.begin(type, conn, body.length);
  if (at < 0) return false;
  writer.ring.bytes.set(body, at);
  writer.end();
  return true;
}

function reader(theirs: Ring): RingReader {
  return new RingReader(theirs);
}

t.test('what is written is read, in order, over many wraps', async (t) => {
  const { theirs, writer } = pair();
  writer.attach();
  const from = reader(theirs);
  const random = new SeededRandom('wraps');
  const pending: { type: RecordType; conn: number; body: Buffer }[] = [];
  let wrong = 0;
  let total = 0;
  for (let i = 0; i < 20_000; i++) {
    if (random.u32() % 3 > 0 && writer.room > 8192) {
      const body = Buffer.alloc((random.u32() % 500) * 8, i & 255);
      const type = random.u32() % 2 === 0 ? RecordType.Received : RecordType.Event;
      pending.push({ type, conn: i, body });
      if (!put(writer, type, i, body)) wrong++;
      total += body.length;
    }
    if (random.u32() % 4 === 0) writer.publish();
    if (random.u32() % 5 === 0) {
      while (from.next()) {
        const wanted = pending.shift()!;
        const body = Buffer.from(theirs.bytes.subarray(from.body, from.body + from.bodyLength));
        if (from.type !== wanted.type || from.conn !== wanted.conn || !body.equals(wanted.body)) wrong++;
      }
      from.release();
    }
  }
  t.equal(wrong, 0);
  t.ok(total > 100 * 65_536, 'wrapped a hundred times');
});

t.test('nothing is seen before it is published, and no event before it is over', async (t) => {
  const { theirs, writer } = pair();
  writer.attach();
  const from = reader(theirs);
  put(writer, RecordType.Acked, 1, new Uint8Array(40));
  t.equal(from.next(), false);
  writer.publish();
  t.equal(from.next(), true);
  put(writer, RecordType.Event, 2, new Uint8Array(40));
  writer.beginEvent();
  put(writer, RecordType.Opened, 3, new Uint8Array(120));
  writer.publish();
  t.equal(from.next(), false, 'the event runs');
  t.equal(from.peek(RecordType.Opened, 0), -1);
  const after = reader(theirs);
  after.readAll();
  const seen: number[] = [];
  while (after.next()) seen.push(after.conn);
  t.same(seen, [1, 2, 3], 'a successor reads it all');
  writer.endEvent();
  writer.publish();
  t.equal(from.next(), true);
  t.not(from.peek(RecordType.Opened, 0), -1);
});

t.test('every single bit that changes is found', async (t) => {
  const { ours, theirs, writer } = pair();
  writer.attach();
  const start = ours.words[Word.startAt];
  const body = new Uint8Array(64).map((_, i) => i * 3);
  put(writer, RecordType.Received, 7, body);
  writer.publish();
  const at = start * 8;
  let missed = '';
  for (let bit = 0; bit < (RECORD_HEADER + 64) * 8; bit++) {
    ours.bytes[at + (bit >> 3)] ^= 1 << (bit & 7);
    try {
      const from = reader(theirs);
      // A higher epoch is a new primary's; its checksum does not fit, though.
      if (from.next()) missed += ` ${bit}`;
      else missed += ` ${bit} (nothing read)`;
    } catch (error) {
      if (!(error instanceof LogError) || !/^ERR_FT_LOG_/.test(error.code)) throw error;
    }
    ours.bytes[at + (bit >> 3)] ^= 1 << (bit & 7);
  }
  t.equal(missed, '');
  t.equal(reader(theirs).next(), true, 'and whole again');
});

t.test('version, epoch and impossible lengths have codes of their own', async (t) => {
  const { ours, theirs, writer } = pair();
  writer.attach();
  const at = ours.words[Word.startAt] * 8;
  put(writer, RecordType.Received, 7, new Uint8Array(16));
  put(writer, RecordType.Received, 7, new Uint8Array(16));
  writer.publish();
  const { view } = ours;
  view.setUint8(at + 5, LOG_VERSION + 1);
  t.throws(() => reader(theirs).next(), { code: 'ERR_FT_LOG_VERSION', message: /one version at a time/ });
  view.setUint8(at + 5, LOG_VERSION);
  for (const length of [0, 4, 8, 12, 17, MAX_BODY * 8, 0xfffffff8]) {
    const before = view.getUint32(at, true);
    view.setUint32(at, length, true);
    t.throws(() => reader(theirs).next(), { code: 'ERR_FT_LOG_CORRUPT' }, `length ${length}`);
    view.setUint32(at, before, true);
  }
  // A primary of an older epoch that writes after a takeover.
  const old = pair();
  old.ours.words[Word.epoch] = 3;
  const late = new RingWriter(old.ours, () => undefined);
  late.attach();
  put(late, RecordType.Epoch, 0, new Uint8Array(8));
  late.epoch = 2;
  put(late, RecordType.Received, 1, new Uint8Array(8));
  late.publish();
  const from = reader(old.theirs);
  t.equal(from.next(), true);
  t.throws(() => from.next(), { code: 'ERR_FT_LOG_EPOCH' });
});

t.test('a header that is none', async (t) => {
  const { ours, theirs } = pair();
  ours.words[Word.version] = LOG_VERSION + 7;
  t.throws(() => theirs.check(), { code: 'ERR_FT_LOG_VERSION' });
  ours.words[Word.version] = LOG_VERSION;
  ours.words[Word.units] = 5;
  t.throws(() => theirs.check(), { code: 'ERR_FT_LOG_CORRUPT' });
  ours.words[Word.magic] = 1;
  t.throws(() => theirs.check(), { code: 'ERR_FT_LOG_CORRUPT' });
});

t.test('a reader that does not keep up is dropped, the writer goes on', async (t) => {
  const { writer, overruns } = pair();
  writer.attach();
  for (let i = 0; i < 100; i++) put(writer, RecordType.Received, i, new Uint8Array(4096));
  t.equal(overruns(), 1, 'told once');
  t.equal(writer.readerAttached, false);
  t.ok(writer.counters.dropped >= 1);
  t.equal(put(writer, RecordType.Received, 1, new Uint8Array(8)), false, 'nobody to log for');
});

t.test('a late reader gets the whole history while the ring has it, and else begins at the end', async (t) => {
  const { ours, theirs, writer } = pair();
  for (let i = 0; i < 5; i++) put(writer, RecordType.Event, i, new Uint8Array(40));
  t.equal(writer.attach(), true);
  const from = reader(theirs);
  let count = 0;
  while (from.next()) count++;
  t.equal(count, 5);

  const other = pair();
  for (let i = 0; i < 100; i++) put(other.writer, RecordType.Received, i, new Uint8Array(4096));
  t.equal(other.ours.words[Word.truncated], 1, 'bounded: nothing grows while nobody reads');
  t.equal(other.writer.attach(), false);
  const late = reader(other.theirs);
  t.equal(late.next(), false);
  put(other.writer, RecordType.Join, 0, new Uint8Array(24));
  other.writer.publish();
  t.equal(late.next(), true);
  t.equal(late.type, RecordType.Join);
  t.equal(ours.words[Word.truncated], 0);
});

t.test('a successor’s log ends its last event with what the old primary did not live to record', async (t) => {
  const { ours } = pair();
  const old = new RingWriter(ours, () => undefined);
  put(old, RecordType.Received, 1, Buffer.alloc(8));
  old.publish();
  const before = ours.words[Word.eventEnd];
  put(old, RecordType.Event, 1, Buffer.alloc(8));
  old.beginEvent();
  const successor = new RingWriter(ours, () => undefined);
  put(successor, RecordType.Check, 1, Buffer.alloc(8));
  successor.publish();
  t.equal(ours.words[Word.eventEnd], before, 'a follower waits');
  successor.endEvent();
  successor.publish();
  t.equal(ours.words[Word.eventEnd], successor.position);
  t.equal(ours.words[Word.head], successor.position);
});

t.test('the position passes 2^32 units, 32 GiB of log, and nobody notices', async (t) => {
  const { ours, theirs } = pair();
  // As a primary finds it that takes over a log of that age.
  const near = 2 ** 32 - 1024;
  ours.words[Word.head] = near | 0;
  ours.words[Word.tail] = near | 0;
  ours.words[Word.eventEnd] = near | 0;
  ours.words[Word.truncated] = 1;
  const writer = new RingWriter(ours, () => undefined);
  t.equal(writer.attach(), false);
  const from = reader(theirs);
  let wrong = 0;
  for (let i = 0; i < 2000; i++) {
    if (!put(writer, RecordType.Received, i, Buffer.alloc(496, i & 255))) wrong++;
    writer.publish();
    if (!from.next() || from.conn !== i || theirs.bytes[from.body + 100] !== (i & 255)) wrong++;
    from.release();
    if (writer.lag !== 0) wrong++;
  }
  t.equal(wrong, 0);
  t.ok(ours.words[Word.head] > 0, 'beyond');
  const next = new RingWriter(ours, () => undefined);
  t.equal(next.attach(), false, 'a low position is not taken for a young log');
});

t.test('a size with which positions could not wrap is refused', async (t) => {
  const path = join(directory, 'odd');
  const odd = new Ring(native(), native().shmMap(path, RING_HEADER + 3 * 65_536, true));
  t.throws(() => odd.format(new Uint8Array(SECRET_LENGTH)), { code: 'ERR_FT_LOG_SIZE', message: /power of two/ });
});

t.test('a log that has wrapped under its reader has lost its beginning, and says so', async (t) => {
  const { ours, theirs, writer } = pair();
  t.equal(writer.attach(), true);
  const from = reader(theirs);
  for (let i = 0; i < 40; i++) {
    t.equal(ours.words[Word.truncated], i * 2072 > 65_536 ? 1 : 0, `after ${i} records`);
    put(writer, RecordType.Received, i, new Uint8Array(2056));
    writer.publish();
    while (from.next());
    from.release();
  }
  // The reader takes over, and somebody joins it.
  const next = new RingWriter(theirs, () => undefined);
  t.equal(next.attach(), false);
});

t.test('two processes: what is published outlives its writer, whole and in order', async (t) => {
  const script = fileURLToPath(new URL('support/ring-writer.js', import.meta.url));
  const random = new SeededRandom('two processes');
  for (let run = 0; run < 5; run++) {
    const path = join(directory, `shared${run}`);
    const ring = new Ring(native(), native().shmMap(path, RING_HEADER + 65_536, true));
    ring.format(new Uint8Array(SECRET_LENGTH));
    const child = spawn(process.execPath, [script, path, '65536'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise<string | number | null>((done) => child.once('exit', (code, by) => done(by ?? code)));
    await new Promise((done) => child.stdout.once('data', done));
    const from = reader(ring);
    let n = 0;
    let wrong = 0;
    const readOn = (): void => {
      while (from.next()) {
        const length = 8 + ((n * 1103) % 1500);
        const { body } = from;
        const fill = n & 255;
        if (from.conn !== n || from.bodyLength !== ((length + 7) & ~7)) wrong++;
        for (let i = 0; i < length; i++) if (ring.bytes[body + i] !== fill) wrong++;
        from.release();
        n++;
      }
    };
    const enough = 500 + (random.u32() % 3000);
    while (n < enough) {
      readOn();
      await new Promise((done) => setImmediate(done));
    }
    child.kill('SIGKILL');
    t.equal(await ended, 'SIGKILL');
    from.readAll();
    readOn();
    t.equal(wrong, 0, `${n} records`);
    t.equal(from.position, ring.words[Word.head] >>> 0, 'to the end');
  }
});
