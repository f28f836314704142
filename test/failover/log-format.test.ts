/**
 * The log's format as a contract: logs that older programs wrote are read byte for byte, what is
 * written now has the same bytes, and the reference page says what the code does. The fixtures were
 * laid out by hand, not by this code.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { renderLogFormat } from '../../failover/cli/reference/log-format.js';
import type { NumberField } from '../../failover/log/fields.js';
import { fieldsOf, RECORDS } from '../../failover/log/record-table.js';
import {
  LOG_VERSION,
  OLDEST_VERSION,
  RECORD_HEADER,
  REMOVAL_CODES,
  RecordType,
  removalCode,
  removalNumber,
} from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { HEADER_WORD_COUNT, HEADER_WORDS, RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { native } from '../../lib/native/native.js';

interface Expected {
  type: number;
  name: keyof typeof RecordType;
  conn: number;
  size: number;
  since: number;
  fields: Record<string, number | string | number[]>;
  tail: number[];
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
const fixture = (name: string): Buffer => readFileSync(`${root}test/failover/fixtures/${name}`);
const expected = JSON.parse(fixture('log-records.json').toString()) as Expected[];

function oldLog(version: number): Ring {
  const bytes = fixture(`log-v${version}.bin`);
  const buffer = new ArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return new Ring(native(), buffer);
}

/** The field of a fixture is called `kind` where the body has `word`. */
const fieldName = (record: Expected, name: string): string =>
  record.name === 'Event' && name === 'kind' ? 'word' : name;

for (const version of [OLDEST_VERSION, LOG_VERSION]) {
  t.test(`a log that version ${version} wrote is read byte for byte`, async (t) => {
    const ring = oldLog(version);
    ring.check();
    t.same(Buffer.from(ring.secret), Buffer.from(Array.from({ length: SECRET_LENGTH }, (_, i) => i + 1)));
    t.same([...ring.offsets], [1234567, 89]);
    const reader = new RingReader(ring);
    for (const record of expected) {
      if (record.since > version) continue;
      t.equal(reader.next(), true);
      t.equal(reader.type, RecordType[record.name], record.name);
      t.equal(reader.type, record.type);
      t.equal(reader.version, version);
      t.equal(reader.conn, record.conn);
      const { body } = RECORDS[record.name];
      t.equal(body?.size ?? 0, record.size, `${record.name}: size`);
      const seen: Record<string, number | string | number[]> = {};
      for (const [name, field] of fieldsOf(body)) {
        if (field.type === 'bytes') {
          const from = reader.body + field.offset;
          seen[name] = [...ring.bytes.subarray(from, from + field.size)];
        } else {
          const value = field.get(ring.view, reader.body);
          seen[name] = Number.isFinite(value) ? value : String(value);
        }
      }
      const wanted = Object.fromEntries(Object.entries(record.fields).map(([k, v]) => [fieldName(record, k), v]));
      if (version < 4 && 'follow' in wanted) wanted['follow'] = 0;
      t.same(seen, wanted, record.name);
      const tail = reader.body + record.size;
      t.same([...ring.bytes.subarray(tail, tail + record.tail.length)], record.tail);
    }
    t.equal(reader.next(), false, 'that was all');
  });
}

t.test('what is written now has the same bytes', async (t) => {
  const old = oldLog(LOG_VERSION);
  const ring = new Ring(native(), new ArrayBuffer(RING_HEADER + 4096));
  ring.format(new Uint8Array(SECRET_LENGTH));
  const writer = new RingWriter(ring, () => undefined);
  const reader = new RingReader(old);
  for (const record of expected) {
    const at = writer.begin(RecordType[record.name], record.conn, record.size + record.tail.length);
    for (const [key, value] of Object.entries(record.fields)) {
      const field = RECORDS[record.name].body?.[fieldName(record, key)];
      if (Array.isArray(value)) ring.bytes.set(value, at + (field as { offset: number }).offset);
      else (field as NumberField).set(ring.view, at, Number(value));
    }
    ring.bytes.set(record.tail, at + record.size);
    writer.end();
    writer.publish();
    reader.next();
    const from = at - RECORD_HEADER;
    const before = reader.body - RECORD_HEADER;
    const length = RECORD_HEADER + reader.bodyLength;
    t.same(
      Buffer.from(ring.bytes.subarray(from, from + length)),
      Buffer.from(old.bytes.subarray(before, before + length)),
      record.name,
    );
  }
});

t.test('every record is declared, and its fields fit', async (t) => {
  const names = Object.keys(RecordType) as (keyof typeof RecordType)[];
  t.same(Object.keys(RECORDS).sort(), [...names].sort());
  t.equal(new Set(Object.values(RecordType)).size, names.length, 'no number is used twice');
  t.same(
    names.filter((name) => name !== 'Pad').sort(),
    expected.map(({ name }) => name).sort(),
    'the fixtures have all of them',
  );
  for (const name of names) {
    const { body } = RECORDS[name];
    let end = 0;
    for (const [field, { offset, size }] of fieldsOf(body)) {
      t.ok(offset >= end, `${name}.${field} does not overlap`);
      if (size <= 8 && size !== 6) t.equal(offset % size, 0, `${name}.${field} is aligned`);
      end = offset + size;
    }
    t.ok(end <= (body?.size ?? 0), `${name} is as long as its fields`);
    t.equal((body?.size ?? 0) % 8, 0);
  }
});

t.test("the header's words are sorted, without gaps, and have the numbers that older programs know", async (t) => {
  t.same(
    HEADER_WORDS.map(({ word }) => word),
    HEADER_WORDS.map((_, i) => i),
  );
  t.ok(HEADER_WORDS.length <= HEADER_WORD_COUNT);
  const { head, tail, readerState, eventEnd, shutdown, commitPosition, leaseUntilMs, waitPosition } = Word;
  t.same(
    [head, tail, readerState, eventEnd, shutdown, commitPosition, leaseUntilMs, waitPosition],
    [4, 5, 8, 16, 19, 22, 23, 30],
  );
  t.equal(Word.borrowSupportPid, 33);
});

t.test('removal codes keep their numbers', async (t) => {
  t.equal(removalNumber(null), 0);
  t.equal(removalCode(0), null);
  for (const [number, code] of REMOVAL_CODES.entries())
    if (number > 0) t.same([removalNumber(code), removalCode(number)], [number, code]);
  t.equal(removalNumber('EPIPE'), 1, 'a code without a number is a reset');
  t.equal(removalCode(99), 'ECONNRESET');
  t.equal(REMOVAL_CODES.indexOf('ECONNABORTED'), 6);
});

t.test('the reference page has every word and every field', async (t) => {
  const page = renderLogFormat();
  for (const { word, name } of HEADER_WORDS) t.match(page, `| ${word} | \`${name}\` |`);
  for (const name of Object.keys(RecordType) as (keyof typeof RecordType)[]) {
    t.match(page, `### ${RecordType[name]} ${name}\n`);
    for (const [field, { offset }] of fieldsOf(RECORDS[name].body))
      t.match(page, new RegExp(`\\| ${offset} \\| .* \\| \`${field}\` `));
  }
});
