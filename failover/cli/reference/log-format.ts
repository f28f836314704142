/** docs/reference/log-format.md: header words and records, from the tables of failover/log. */
import { fieldsOf, RECORDS } from '../../log/record-table.js';
import { LOG_VERSION, MAX_BODY, OLDEST_VERSION, RECORD_HEADER, RecordType } from '../../log/records.js';
import {
  CLOCK_OFFSETS_OFFSET,
  HEADER_WORDS,
  RING_HEADER,
  SECRET_LENGTH,
  SECRET_OFFSET,
} from '../../log/ring-header.js';
import { wrap } from '../help.js';
import { code, pageHead, table, WIDTH } from './markdown.js';

const FIELD_HEAD = ['Offset', 'Type', 'Field', 'Meaning'];

function recordSection(name: keyof typeof RecordType): string[] {
  const { body, tail, writer, applier, meaning, since } = RECORDS[name];
  const first = since === OLDEST_VERSION ? `${since} or before` : since;
  const size = body === null ? 'Empty body.' : `${body.size} bytes${tail === '' ? '.' : ', and what follows.'}`;
  const facts = `Written by ${writer}; applied by ${applier}; since version ${first}. ${size}`;
  const out = [
    `### ${RecordType[name]} ${name}`,
    '',
    ...wrap(`${meaning[0].toUpperCase()}${meaning.slice(1)}.`, WIDTH),
  ];
  out.push('', ...wrap(facts, WIDTH), '');
  if (body === null) return out;
  const rows = fieldsOf(body).map(([field, { offset, type, size, meaning }]) => [
    `${offset}`,
    type === 'bytes' ? `${size} bytes` : type,
    code(field),
    meaning,
  ]);
  if (tail !== '') rows.push([`${body.size}`, 'bytes', '', tail]);
  return [...out, ...table(FIELD_HEAD, rows)];
}

/** The page, in Markdown. */
export function renderLogFormat(): string {
  const out = pageHead('Log format', 'failover/log/ring-header.ts, records.ts and record-table.ts', [
    `The log is a file in shared memory: a header page of ${RING_HEADER} bytes, then the ring of records. This ` +
      `program writes version ${LOG_VERSION}, and reads versions ${OLDEST_VERSION} to ${LOG_VERSION}. Numbers are ` +
      'little-endian. The [memory model](../internals/memory-model.md) explains the ordering.',
  ]);
  out.push('## Header', '');
  out.push(
    ...wrap(
      'Each word is four bytes, at four times its number. A position counts 8-byte units of log, modulo 2^32. ' +
        `The header also holds ${SECRET_LENGTH} bytes of secrets at byte ${SECRET_OFFSET}. Two float64 at byte ` +
        `${CLOCK_OFFSETS_OFFSET} are the offsets of the group's clocks: monotonic microseconds and wall milliseconds.`,
      WIDTH,
    ),
    '',
  );
  const words = HEADER_WORDS.map(({ word, name, type, unit, writtenBy, readBy, ordering, meaning }) => [
    `${word}`,
    code(name),
    type,
    unit,
    writtenBy,
    readBy,
    ordering,
    meaning,
  ]);
  const head = ['Word', 'Name', 'Type', 'Unit', 'Written by', 'Read by', 'Store and ordering', 'Meaning'];
  out.push(...table(head, words), '## Record header', '');
  out.push(
    ...table(FIELD_HEAD, [
      ['0', 'u32', code('length'), 'bytes of the whole record, a multiple of 8'],
      ['4', 'u8', code('type'), 'kind of record'],
      ['5', 'u8', code('version'), 'version of the format'],
      ['6', 'u16', code('epoch'), 'which primary wrote it; counts takeovers'],
      ['8', 'u32', code('crc'), 'CRC-32C of the body; the seed is the word at 4 XOR the word at 12'],
      ['12', 'u32', code('conn'), 'connection number, 0 for none'],
    ]),
    ...wrap(
      `A body begins at byte ${RECORD_HEADER} and has at most ${MAX_BODY} bytes. A reader refuses a record that is ` +
        'damaged, of an unknown version or of an older epoch.',
      WIDTH,
    ),
    '',
    '## Records',
    '',
  );
  for (const name of Object.keys(RecordType) as (keyof typeof RecordType)[]) out.push(...recordSection(name));
  return `${out.join('\n').trimEnd()}\n`;
}
