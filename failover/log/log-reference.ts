/**
 * What each record of the log means, and the reference page of the log's format
 * (docs/reference/log-format.md).
 */
import type { Body, Field } from './fields.js';
import * as records from './records.js';
import { LOG_VERSION, MAX_BODY, OLDEST_VERSION, RECORD_HEADER, RecordType } from './records.js';
import { CLOCK_OFFSETS_OFFSET, HEADER_WORDS, RING_HEADER, SECRET_LENGTH, SECRET_OFFSET } from './ring-header.js';

/** One kind of record. */
export interface RecordDescription {
  /** Its fields; null for an empty body. */
  readonly body: Body | null;
  /** What follows the fields; '' for nothing. */
  readonly tail: string;
  /** What of the primary writes it. */
  readonly writer: string;
  /** What of a backup applies it. */
  readonly applier: string;
  readonly meaning: string;
  /** Version of the format that introduced it. */
  readonly since: number;
}

function record(
  body: Body | null,
  writer: string,
  applier: string,
  meaning: string,
  { tail = '', since = OLDEST_VERSION }: { tail?: string; since?: number } = {},
): RecordDescription {
  return { body, tail, writer, applier, meaning, since };
}

const CONNECTION = 'ConnectionRecords';
const REPLAYER = 'Replayer';
const RECORDER = 'Recorder';
const STREAM = 'StreamRecorder';

/** All records, by the name of their type. */
export const RECORDS: Readonly<Record<keyof typeof RecordType, RecordDescription>> = {
  Pad: record(null, 'RingWriter', 'RingReader', 'fills the end of the ring; no checksum, no connection'),
  Opened: record(records.OpenedBody, RECORDER, REPLAYER, 'a connection exists'),
  Established: record(null, RECORDER, CONNECTION, 'the handshake is complete'),
  Received: record(records.ReceivedBody, RECORDER, CONNECTION, 'bytes that came in order', { tail: 'the bytes' }),
  PeerFin: record(null, RECORDER, CONNECTION, "the peer's FIN was received"),
  Acked: record(records.AckedBody, RECORDER, CONNECTION, 'the peer acknowledged; a hint that output never waits for'),
  Removed: record(records.RemovedBody, RECORDER, REPLAYER, 'the connection is gone'),
  TimeWait: record(records.TimeWaitBody, RECORDER, CONNECTION, 'a connection is in TIME-WAIT'),
  Event: record(records.EventBody, RECORDER, REPLAYER, 'a socket is told something'),
  Runtime: record(records.RuntimeBody, RECORDER, REPLAYER, 'a timer, an immediate or a finished operation', {
    tail: 'the result',
  }),
  Check: record(records.CheckBody, RECORDER, REPLAYER, 'what the program wrote in the last event, as a checksum'),
  Epoch: record(null, RECORDER, 'none', 'a new primary continues the log'),
  Join: record(records.JoinBody, RECORDER, REPLAYER, 'a backup that did not see the beginning joins here'),
  Started: record(null, RECORDER, REPLAYER, "the program's start-up is complete"),
  OutOfOrder: record(records.OutOfOrderBody, RECORDER, CONNECTION, 'bytes that came before those in front of them', {
    tail: 'the bytes',
  }),
  Sent: record(records.SentBody, RECORDER, CONNECTION, 'how far a connection has sent, at a switchover'),
  Wrote: record(records.WroteBody, STREAM, CONNECTION, 'what the program wrote (state mode)', { tail: 'the bytes' }),
  Closing: record(records.ClosingBody, STREAM, CONNECTION, 'the program closed the connection (state mode)'),
  Context: record(records.ContextBody, STREAM, CONNECTION, 'what the program saved with the connection', {
    tail: 'the bytes',
  }),
  Placed: record(records.PlacedBody, STREAM, CONNECTION, 'where an older connection is, in a state transfer'),
  TransferBegin: record(null, STREAM, REPLAYER, 'begin of the state transfer of one connection', { since: 4 }),
  TransferEnd: record(null, STREAM, REPLAYER, 'end of the state transfer of one connection', { since: 4 }),
  Saved: record(records.SavedBody, STREAM, REPLAYER, 'a value that the program saved of itself', {
    tail: 'the name in UTF-16, then the value',
    since: 4,
  }),
  AllSaved: record(null, STREAM, REPLAYER, 'end of the saved values, where a replica joins', { since: 4 }),
  History: record(records.HistoryBody, STREAM, REPLAYER, "what follows is the connection's history", { since: 4 }),
};

/** A body's fields in the order of their offsets. */
export function fieldsOf(body: Body | null): [name: string, field: Field][] {
  if (body === null) return [];
  const fields = Object.entries(body).filter((entry): entry is [string, Field] => typeof entry[1] !== 'number');
  return fields.sort(([, a], [, b]) => a.offset - b.offset);
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => String(cell).replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return [line(cells[0]), line(widths.map((width) => '-'.repeat(width))), ...cells.slice(1).map(line)].join('\n');
}

function recordSection(name: keyof typeof RecordType): string {
  const { body, tail, writer, applier, meaning, since } = RECORDS[name];
  const head = `### ${RecordType[name]} ${name}\n\n${meaning[0].toUpperCase()}${meaning.slice(1)}.`;
  const facts = `Written by ${writer}; applied by ${applier}; since version ${since === OLDEST_VERSION ? `${since} or before` : since}.`;
  if (body === null) return `${head}\n${facts} Empty body.`;
  const rows = fieldsOf(body).map(([field, { offset, type, size, meaning }]) => [
    offset,
    type === 'bytes' ? `${size} bytes` : type,
    `\`${field}\``,
    meaning,
  ]);
  if (tail !== '') rows.push([body.size, 'bytes', '', tail]);
  return `${head}\n${facts} ${body.size} bytes${tail === '' ? '' : ', and what follows'}.\n\n${table(['offset', 'type', 'field', 'meaning'], rows)}`;
}

/** The reference page, in Markdown. */
export function renderLogFormat(): string {
  const words = HEADER_WORDS.map(({ word, name, type, unit, writtenBy, readBy, ordering, meaning }) => [
    word,
    `\`${name}\``,
    type,
    unit,
    writtenBy,
    readBy,
    ordering,
    meaning,
  ]);
  const names = Object.keys(RecordType) as (keyof typeof RecordType)[];
  return `# Log format

<!-- Generated from failover/log by renderLogFormat(); do not edit. -->

The log is a file in shared memory: a header page of ${RING_HEADER} bytes, then the ring of records. This program writes
version ${LOG_VERSION}, and reads versions ${OLDEST_VERSION} to ${LOG_VERSION}. Numbers are little-endian. The
[memory model](../internals/memory-model.md) explains the ordering.

## Header

Each word is four bytes, at four times its number. A position counts 8-byte units of log, modulo 2^32. The header also
holds ${SECRET_LENGTH} bytes of secrets at byte ${SECRET_OFFSET}. Two float64 at byte ${CLOCK_OFFSETS_OFFSET} are the offsets of the group's clocks:
monotonic microseconds and wall milliseconds.

${table(['word', 'name', 'type', 'unit', 'written by', 'read by', 'store and ordering', 'meaning'], words)}

## Record header

${table(
  ['offset', 'type', 'field', 'meaning'],
  [
    [0, 'u32', '`length`', 'bytes of the whole record, a multiple of 8'],
    [4, 'u8', '`type`', 'kind of record'],
    [5, 'u8', '`version`', 'version of the format'],
    [6, 'u16', '`epoch`', 'which primary wrote it; counts takeovers'],
    [8, 'u32', '`crc`', 'CRC-32C of the body; the seed is the word at 4 XOR the word at 12'],
    [12, 'u32', '`conn`', 'connection number, 0 for none'],
  ],
)}

A body begins at byte ${RECORD_HEADER} and has at most ${MAX_BODY} bytes. A reader refuses a record that is damaged, of an unknown
version or of an older epoch.

## Records

${names.map(recordSection).join('\n\n')}
`;
}
