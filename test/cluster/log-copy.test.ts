/**
 * A log whose transfer is cut at any byte: the copy holds whole records, in order, and all that was
 * published.
 */
import t from 'tap';
import { LogCopy } from '../../failover/cluster/agent/log-copy.js';
import {
  DATA_HEADER_BYTES,
  decodePublish,
  encodeHeader,
  encodePublish,
  FrameReader,
  MessageType,
  PublishFlag,
} from '../../failover/cluster/transport/messages.js';
import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

const BYTES = 16_384;
const RECORDS = 60;

function ring(): Ring {
  const made = new Ring(native(), new ArrayBuffer(RING_HEADER + BYTES));
  made.format(new Uint8Array(SECRET_LENGTH));
  return made;
}

interface Sent {
  stream: Buffer;
  /** Behind each publication: bytes of the stream, and records of the log. */
  published: { at: number; records: number }[];
  bodies: Buffer[];
}

/** A log as a leader sends it: chunks of any length, and a Publish message now and then. */
function send(random: SeededRandom): Sent {
  const log = ring();
  const writer = new RingWriter(log, () => undefined);
  const sent: Sent = { stream: Buffer.alloc(0), published: [{ at: 0, records: 0 }], bodies: [] };
  const frame = (type: MessageType, ...parts: Uint8Array[]): void => {
    const body = Buffer.concat(parts);
    sent.stream = Buffer.concat([sent.stream, encodeHeader(type, body.length), body]);
  };
  let position = 0;
  for (let n = 1; n <= RECORDS; n++) {
    const body = Buffer.alloc(8 * (random.u32() % 20), n);
    const at = writer.begin(RecordType.Received, n, body.length);
    log.bytes.set(body, at);
    writer.end();
    sent.bodies.push(body);
    if (random.u32() % 3 > 0) continue;
    writer.publish();
    const head = log.load(Word.head) >>> 0;
    while (position < head) {
      const units = Math.min(head - position, 1 + (random.u32() % 30));
      const header = Buffer.alloc(DATA_HEADER_BYTES);
      header.writeUInt32LE(position, 0);
      frame(MessageType.Data, header, log.bytes.subarray(position * 8, (position + units) * 8));
      position += units;
    }
    const rest = { heartbeat: n, logEpoch: 1, flags: PublishFlag.Ready, monoUs: n, wallMs: n };
    frame(MessageType.Publish, encodePublish({ head, eventEnd: head, ...rest }));
    sent.published.push({ at: sent.stream.length, records: n });
  }
  return sent;
}

/** What a backup holds after it has received `stream`. */
function receive(stream: Buffer): { ring: Ring; refused: number } {
  const copy = ring();
  const target = new LogCopy(copy, 1, 0);
  let refused = 0;
  const reader = new FrameReader((type, body) => {
    const taken =
      type === MessageType.Data
        ? target.append(body.readUInt32LE(0), body.subarray(DATA_HEADER_BYTES))
        : target.publish(decodePublish(body)!);
    if (!taken) refused++;
  });
  reader.push(stream);
  return { ring: copy, refused };
}

t.test('cut at any byte', async (t) => {
  const { stream, published, bodies } = send(new SeededRandom('cut'));
  t.ok(published.length > 12 && stream.length > 6000);
  let wrong = '';
  for (let cut = 0; cut <= stream.length && wrong === ''; cut++) {
    const { ring: copy, refused } = receive(stream.subarray(0, cut));
    const known = published.findLast(({ at }) => at <= cut)!.records;
    const log = new RingReader(copy);
    log.readAll();
    let records = 0;
    while (log.next()) {
      const body = bodies[records++];
      const same = Buffer.from(copy.bytes.subarray(log.body, log.body + log.bodyLength)).equals(body);
      if (log.conn !== records || !same) wrong = `cut at ${cut}: record ${records} is another one`;
    }
    if (records !== known || refused > 0) wrong = `cut at ${cut}: ${records} records, ${known} were published`;
  }
  t.equal(wrong, '');
});

t.test('a chunk that is missing, or comes twice, is refused', async (t) => {
  const { stream } = send(new SeededRandom('pieces'));
  const frames: Buffer[] = [];
  new FrameReader((type, body) =>
    frames.push(Buffer.concat([encodeHeader(type as MessageType, body.length), body])),
  ).push(stream);
  const pieces = frames.flatMap((frame, n) => (frame[4] === MessageType.Data ? [n] : []));
  for (const n of pieces.slice(1, 12)) {
    const before = receive(Buffer.concat(frames.slice(0, n)));
    const missing = receive(Buffer.concat([...frames.slice(0, n), ...frames.slice(n + 1)]));
    t.ok(missing.refused > 0, `without frame ${n}`);
    t.equal(missing.ring.load(Word.head), before.ring.load(Word.head), 'nothing behind it is published');
    const twice = receive(Buffer.concat([...frames.slice(0, n + 1), ...frames.slice(n)]));
    t.equal(twice.refused, 1, `frame ${n} twice`);
    t.equal(twice.ring.load(Word.head), receive(stream).ring.load(Word.head));
  }
});
