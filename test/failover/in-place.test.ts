/**
 * Received data that is where the log has it: on the primary, which reads it to there, and on the
 * backup, which leaves it there.
 */
import t from 'tap';
import { BorrowedLog } from '../../failover/backup/borrowed-log.js';
import { RECORD_HEADER, ReceivedBody, RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import type { PlacedPayload } from '../../lib/device/rx-batch.js';
import { native } from '../../lib/native/native.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { BorrowedBuffers } from '../../stack/tcp/tcb/borrowed-buffers.js';
import { ReceiveQueue } from '../../stack/tcp/tcb/receive-queue.js';

const KIB = 1024;
const PID = 77;

function log(bytes: number): { ring: Ring; writer: RingWriter; overruns: () => number } {
  const ring = new Ring(native(), new ArrayBuffer(RING_HEADER + bytes));
  ring.format(new Uint8Array(SECRET_LENGTH));
  ring.words[Word.writerPid] = PID;
  ring.words[Word.borrowSupportPid] = PID;
  let overruns = 0;
  const writer = new RingWriter(ring, () => {
    overruns++;
    writer.detach();
  });
  return { ring, writer, overruns: () => overruns };
}

/** A record of a received chunk. @returns where its bytes are, -1 for nowhere */
function put(writer: RingWriter, conn: number, length: number, byte = conn): number {
  const at = writer.begin(RecordType.Received, conn, ReceivedBody.size + length);
  if (at < 0) return -1;
  ReceivedBody.length.set(writer.ring.view, at, length);
  writer.ring.bytes.fill(byte, at + ReceivedBody.size, at + ReceivedBody.size + length);
  writer.end();
  return at + ReceivedBody.size;
}

t.test('the log says where the next payload will be', async (t) => {
  const { ring, writer } = log(1024 * KIB);
  writer.attach();
  const { next } = writer.placement;
  t.equal(next[0], -1, 'nobody has asked');
  writer.placement.offer();
  t.equal(next[0], RECORD_HEADER + ReceivedBody.size);
  t.ok(next[1] > 64 * KIB && next[1] <= 512 * KIB, 'not all of it');
  t.equal(put(writer, 1, 1000), RECORD_HEADER + ReceivedBody.size, 'as it is');
  t.equal(next[0], -1, 'something was written since');
  writer.placement.offer();
  const said = next[0];
  t.equal(said % 8, 0);
  t.equal(said, writer.placement.claimOffset);
  t.equal(put(writer, 1, 1000), said);
  for (let i = 0; i < 11; i++) put(writer, 1, 64 * KIB);
  writer.placement.offer();
  t.ok(next[0] > 0 && next[1] <= ring.size);
  for (let i = 0; i < 4; i++) put(writer, 1, 64 * KIB);
  writer.placement.offer();
  t.equal(next[0], -1, 'there is no room for a frame before the end');
});

t.test('not where the reader has not been, nor where nothing is logged', async (t) => {
  const { ring, writer } = log(1024 * KIB);
  writer.attach();
  const reader = new RingReader(ring);
  for (let i = 0; i < 15; i++) put(writer, 1, 64 * KIB);
  writer.publish();
  for (let i = 0; i < 15; i++) reader.next();
  writer.placement.offer();
  t.equal(writer.placement.next[0], -1);
  reader.release();
  put(writer, 1, 64 * KIB);
  writer.placement.offer();
  t.equal(writer.placement.next[0], writer.placement.claimOffset, 'behind the end of the ring');
  const room = Atomics.load(ring.words, Word.tail) >>> 0;
  t.ok(writer.placement.next[1] <= ((room * 8) % ring.size) + 8 || writer.placement.next[1] <= 512 * KIB);
  writer.detach();
  writer.placement.offer();
  t.equal(writer.placement.next[0], -1, 'nobody reads, and the beginning is overwritten');

  const alone = log(1024 * KIB);
  alone.writer.placement.offer();
  t.equal(alone.writer.placement.next[0], alone.writer.placement.claimOffset, 'the history is kept for who may come');
  for (let i = 0; i < 15; i++) put(alone.writer, 1, 64 * KIB);
  alone.writer.placement.offer();
  t.equal(alone.writer.placement.next[0], -1, 'as long as there is room for it');
});

t.test('placed payload is relocated before a record is written', async (t) => {
  const { writer } = log(256 * KIB);
  let relocated = 0;
  writer.placement.placed = { relocate: () => relocated++ } as unknown as PlacedPayload;
  put(writer, 1, 100);
  t.equal(relocated, 1);
  writer.logging = false;
  put(writer, 1, 100);
  t.equal(relocated, 1, 'where nothing is written nothing is relocated');
});

t.test('borrowed bytes are released before they are overwritten, and not sooner', async (t) => {
  const { ring, writer } = log(256 * KIB);
  writer.attach();
  const reader = new RingReader(ring);
  const lender = {
    returns: 0,
    at: 0,
    giveBack(): void {
      this.returns++;
      t.equal(ring.bytes[this.at], 42, 'it is still what it was');
      t.equal(ring.bytes[this.at + 999], 42);
    },
  };
  const more = (records: number): void => {
    for (let i = 0; i < records; i++) {
      put(writer, 2, 10 * KIB);
      writer.publish();
      while (reader.next());
      reader.release();
    }
  };
  lender.at = put(writer, 1, 1000, 42);
  writer.placement.borrow(lender);
  more(10);
  t.equal(lender.returns, 0);
  more(100);
  t.equal(lender.returns, 1, 'once');
  lender.at = put(writer, 1, 1000, 42);
  writer.placement.borrow(lender);
  more(5);
  // The device has had it given back meanwhile.
  lender.returns++;
  more(200);
  t.equal(lender.returns, 2, 'nobody is asked for what was given back');
  put(writer, 1, 1000, 42);
  writer.placement.borrow(lender);
  lender.returns++;
  more(5);
  lender.at = put(writer, 1, 1000, 42);
  writer.placement.borrow(lender);
  more(11);
  t.equal(lender.returns, 3, 'the younger one counts from where it is');
  more(100);
  t.equal(lender.returns, 4);
});

t.test('the writer does not overwrite what the reader borrows', async (t) => {
  const { ring, writer, overruns } = log(256 * KIB);
  writer.attach();
  const reader = new RingReader(ring);
  t.ok(reader.canBorrow);
  put(writer, 1, 10 * KIB);
  put(writer, 2, 10 * KIB);
  writer.publish();
  reader.next();
  const from = reader.before;
  reader.borrowFrom(from);
  reader.next();
  const before = writer.room;
  reader.release();
  t.equal(writer.room, before, 'reading has got on, and nothing is free');
  t.equal(writer.lag, 0, 'but it has been read');
  put(writer, 3, 10 * KIB);
  writer.publish();
  reader.next();
  reader.release();
  t.ok(writer.room < before);
  const { room } = writer;
  reader.borrowFrom(-1);
  t.ok(writer.room > room + 30 * KIB);
  t.equal(writer.room, ring.size, 'all is free');
  reader.borrowFrom(reader.before);
  let written = 0;
  while (put(writer, 4, 10 * KIB) >= 0 && overruns() === 0) written++;
  t.equal(overruns(), 1, 'it is dropped rather than overwritten');
  t.ok(written >= 21 && written <= 24, 'but for what is held, and the end of the ring, all of it was used');

  ring.words[Word.borrowSupportPid] = PID - 1;
  t.notOk(reader.canBorrow, 'a writer that knows nothing of it');
  ring.words[Word.borrowSupportPid] = ring.words[Word.writerPid] = 0;
  t.notOk(reader.canBorrow);
});

/** A connection as far as a log's chunks go. */
function connection(): TcpConnection {
  const conn = {
    tcp: { borrowedBuffers: new BorrowedBuffers() },
    receiveQueue: new ReceiveQueue(),
    receiveQueued: 0,
    rcvNxt: 1,
    peeked: false,
  };
  const enqueue = (bytes: Uint8Array, from: number, length: number): void => {
    conn.receiveQueue.push(bytes, from, length);
    conn.receiveQueued += length;
  };
  return Object.assign(conn, { enqueue }) as unknown as TcpConnection;
}

t.test('a backup borrows chunks from the log until the program has read them', async (t) => {
  const { ring, writer } = log(1024 * KIB);
  writer.attach();
  const reader = new RingReader(ring);
  const lent = new BorrowedLog(reader, 4096);
  /** @returns the memory that the chunk is in */
  const receive = (conn: TcpConnection, length: number, byte: number): ArrayBufferLike => {
    put(writer, 1, length, byte);
    writer.publish();
    reader.next();
    lent.enqueue(conn, reader.body + ReceivedBody.size, length);
    conn.rcvNxt += length;
    return conn.receiveQueue.sourceAt(conn.receiveQueue.length - 1).buffer;
  };
  /** @returns what was read */
  const take = (conn: TcpConnection): Buffer => {
    const chunk = Buffer.from(conn.receiveQueue.viewAt(0));
    conn.receiveQueue.drop();
    conn.receiveQueued -= chunk.length;
    return chunk;
  };
  const step = (): void => {
    lent.releaseRead();
    reader.release();
  };
  const [one, two] = [connection(), connection()];
  t.not(receive(one, 1000, 1), ring.buffer, 'a small one is copied');
  one.peeked = true;
  t.equal(receive(one, 1000, 2), ring.buffer, 'unless nobody wants the copy');
  step();
  take(one);
  take(one);
  step();
  t.equal(ring.words[Word.readerBorrowed], 0);

  receive(one, 8 * KIB, 3);
  receive(two, 8 * KIB, 4);
  receive(one, 8 * KIB, 5);
  step();
  const all = ring.words[Word.readerBorrowed] * 8;
  t.ok(all >= 24 * KIB && all < 25 * KIB);
  take(one);
  step();
  t.ok(ring.words[Word.readerBorrowed] * 8 < 17 * KIB, 'the first one is free');
  take(one);
  step();
  t.ok(ring.words[Word.readerBorrowed] * 8 >= 16 * KIB, 'what lies behind one that is held is held, too');
  take(two);
  step();
  t.equal(ring.words[Word.readerBorrowed], 0);
  t.same(lent.counters, { borrowed: 4, copied: 0 });

  const kept = receive(two, 8 * KIB, 6);
  for (let i = 0; i < 20; i++) {
    receive(one, 8 * KIB, 7);
    step();
    take(one);
  }
  t.equal(
    lent.counters.copied,
    2,
    'who does not look gets a copy, so that the log does not fill, as does what came last',
  );
  t.not(two.receiveQueue.sourceAt(0).buffer, kept);
  t.same(Buffer.from(two.receiveQueue.viewAt(0)), Buffer.alloc(8 * KIB, 6));
  step();
  t.equal(ring.words[Word.readerBorrowed], 0);

  receive(one, 8 * KIB, 8);
  receive(two, 8 * KIB, 9);
  lent.releaseAll();
  ring.bytes.fill(0);
  t.equal(ring.words[Word.readerBorrowed], 0);
  t.same(take(one), Buffer.alloc(8 * KIB, 8), 'everybody has what is his');
  t.same([take(two)[0], take(two)[0]], [6, 9]);

  ring.words[Word.borrowSupportPid] = 0;
  t.not(receive(one, 8 * KIB, 1), ring.buffer, 'a writer that would overwrite it');
});
