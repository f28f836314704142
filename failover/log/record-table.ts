/** What each record of the log means: the table behind docs/reference/log-format.md. */
import type { Body, Field } from './fields.js';
import * as records from './records.js';
import { OLDEST_VERSION, type RecordType } from './records.js';

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
  Paired: record(records.PairedBody, RECORDER, CONNECTION, 'a relay couples two connections', { since: 4 }),
  RelayBegin: record(records.RelayBeginBody, STREAM, REPLAYER, 'begin of the state transfer of a relay', { since: 4 }),
  Sample: record(records.SampleBody, RECORDER, REPLAYER, 'a value that the program read in the running event', {
    tail: 'the name, then the result',
    since: 4,
  }),
};

/** A body's fields in the order of their offsets. */
export function fieldsOf(body: Body | null): [name: string, field: Field][] {
  if (body === null) return [];
  const fields = Object.entries(body).filter((entry): entry is [string, Field] => typeof entry[1] !== 'number');
  return fields.sort(([, a], [, b]) => a.offset - b.offset);
}
