/**
 * The log's records. Little-endian, 8-byte aligned, written in place into the ring and read from it
 * without copies.
 *
 *   0  u32 length    whole record, a multiple of 8
 *   4  u8  type      RecordType
 *   5  u8  version   of the format
 *   6  u16 epoch     which primary wrote it (counts takeovers)
 *   8  u32 crc       CRC-32C of the body, seeded with type, version, epoch XOR conn
 * 12 u32 conn connection number, 0 for none 16 body padded with undefined bytes
 *
 * A record that is damaged, of another version or of an older epoch is refused with a typed error
 * and never applied. A body is declared once (`...Body`): the primary writes through the same
 * fields that the backup reads, and docs/reference/log-format.md is made from them
 * (record-table.ts).
 */
import { FtError } from '../../lib/errors.js';
import { f64, raw, u8, u16, u32 } from './fields.js';

/** Bytes of a record's header. */
export const RECORD_HEADER = 16;
/** Version of the format that is written. */
export const LOG_VERSION = 4;
/** The oldest version that can be read: an upgrade goes one version at a time, the backup first. */
export const OLDEST_VERSION = 3;
/** Largest body in bytes: a received chunk is at most one 64 KiB super-segment. */
export const MAX_BODY = 128 * 1024;

/** Kinds of records; record-table.ts says what each means. Numbers are never reused. */
export const RecordType = {
  Pad: 1,
  Opened: 2,
  Established: 3,
  Received: 4,
  PeerFin: 5,
  Acked: 6,
  Removed: 7,
  TimeWait: 8,
  Event: 9,
  Runtime: 10,
  Check: 11,
  Epoch: 12,
  Join: 13,
  Started: 14,
  OutOfOrder: 15,
  Sent: 16,
  Wrote: 17,
  Closing: 18,
  Context: 19,
  Placed: 20,
  TransferBegin: 21,
  TransferEnd: 22,
  Saved: 23,
  AllSaved: 24,
  History: 25,
  Paired: 26,
  RelayBegin: 27,
  Sample: 30,
} as const;
/** A kind of record. */
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Why a log cannot be read on. */
export class LogError extends FtError {
  constructor(code: 'ERR_FT_LOG_CORRUPT' | 'ERR_FT_LOG_VERSION' | 'ERR_FT_LOG_EPOCH', message: string) {
    super(
      code,
      message,
      code === 'ERR_FT_LOG_VERSION'
        ? 'Upgrade one version at a time, the backup first'
        : 'This replica cannot follow any more; restart it, and it joins again',
    );
  }
}

/** OpenedBody.follow: how a backup that runs the program follows a connection. */
export const Follow = {
  /** Its program repeats the events. */
  Replay: 0,
  /** It keeps the connection's state, and gives it to its program at a takeover. */
  State: 1,
  /** Not at all: the connection was opened in an event that is not replicated. */
  Not: 2,
  /** Replay by a backup that has seen the beginning, State by others. */
  Either: 3,
} as const;
/** A value of OpenedBody.follow. */
export type Follow = (typeof Follow)[keyof typeof Follow];

/** OpenedBody.follow: the Follow. */
export const FOLLOW_MASK = 0x7f;
/** OpenedBody.follow: the SYN is answered later (stack/relay). */
export const SYN_HELD_BIT = 0x80;

/** EventBody.word: the AppEvent. */
export const EVENT_KIND_MASK = 0x7f;
/** EventBody.word: backups that run the program do not repeat the event; since version 4. */
export const UNREPLICATED_BIT = 0x80;
/**
 * EventBody.word: the send buffer, in units of SEND_TARGET_UNIT, is in the bits from this one on.
 */
export const SEND_TARGET_SHIFT = 8;

/**
 * RemovedBody.code, and EventBody.n of a Close event: why a connection ended; 0 is an orderly end.
 */
export const REMOVAL_CODES = [
  '',
  'ECONNRESET',
  'ETIMEDOUT',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
] as const;

/** The number of an error code in the log; a code without a number is logged as ECONNRESET. */
export function removalNumber(code: string | null): number {
  return code === null ? 0 : Math.max(1, (REMOVAL_CODES as readonly string[]).indexOf(code));
}

/** The error code of a number in the log; null for an orderly end. */
export function removalCode(number: number): string | null {
  return number === 0 ? null : (REMOVAL_CODES[number] ?? 'ECONNRESET');
}

/** ClosingBody.what: which end the program gave a connection. */
export const Closing = { Shutdown: 1, Close: 2, Abort: 3 } as const;
/** A value of ClosingBody.what. */
export type Closing = (typeof Closing)[keyof typeof Closing];

/** Bits of OpenedBody.flags. */
export const OpenedFlag = {
  Sack: 1,
  Timestamps: 2,
  Outgoing: 4,
  PeerMac: 8,
  Ecn: 16,
  AccurateEcn: 32,
} as const;
/** OpenedBody.flags: the IP codepoint of the SYN is in the bits from this one on. */
export const SYN_CODEPOINT_SHIFT = 6;

/**
 * Body of Opened: a connection as its handshake left it (RFC 9293 section 3.3.1 names the
 * variables).
 */
export const OpenedBody = {
  size: 128,
  state: u8(0, 'TcpState: SYN-SENT or SYN-RECEIVED'),
  flags: u8(
    1,
    'OpenedFlag: 1 SACK, 2 timestamps, 4 outgoing, 8 peer MAC, 16 ECN, 32 AccECN; >> 6 codepoint of the SYN',
  ),
  sndScale: u8(2, 'window scale of the peer'),
  rcvScale: u8(3, 'window scale of ours'),
  localPort: u16(4, 'local port'),
  remotePort: u16(6, 'remote port'),
  iss: u32(16, 'ISS'),
  irs: u32(20, 'IRS'),
  sndMss: u32(24, 'send MSS, bytes'),
  receiveLimit: u32(28, 'largest receive window that may have been advertised, bytes'),
  tsOffset: u32(32, 'offset of our timestamps (RFC 7323)'),
  tsRecent: u32(36, 'TS.Recent (RFC 7323)'),
  sndWnd: f64(40, 'SND.WND, bytes'),
  rcvNxt: f64(48, 'RCV.NXT as an offset from IRS'),
  mac: raw(56, 6, "peer's MAC address, with the flag PeerMac"),
  localAddress: raw(64, 16, 'local address; IPv4 as ::ffff:a.b.c.d'),
  remoteAddress: raw(80, 16, 'remote address'),
  follow: u8(
    96,
    'Follow: how a backup follows the connection; since version 4. Bit 7: the SYN is answered when a relay has reached its server',
  ),
} as const;

/** Body of Acked. */
export const AckedBody = {
  size: 40,
  sndUna: f64(0, 'SND.UNA as an offset from ISS'),
  sndWnd: f64(8, 'SND.WND, bytes'),
  sndWl1: f64(16, 'SND.WL1 as an offset from IRS'),
  srttUs: f64(24, 'SRTT, microseconds (RFC 6298)'),
  tsRecent: u32(32, 'TS.Recent (RFC 7323)'),
  sndWl2Lag: u32(36, 'SND.UNA - SND.WL2, bytes'),
} as const;

/** Body of Removed. */
export const RemovedBody = {
  size: 8,
  code: u32(0, 'why it ended: index into REMOVAL_CODES, 0 for an orderly end'),
} as const;

/** Body of Wrote; the bytes follow. */
export const WroteBody = { size: 8, length: u32(0, 'bytes that follow') } as const;

/** Body of Closing. */
export const ClosingBody = { size: 8, what: u32(0, 'Closing: 1 shutdown, 2 close, 3 abort') } as const;

/** Body of Context; the bytes follow. */
export const ContextBody = { size: 8, length: u32(0, 'bytes that follow; 0 removes the context') } as const;

/** Body of Placed. */
export const PlacedBody = {
  size: 32,
  sendStart: f64(0, 'stream offset of the first unacknowledged byte'),
  rcvNxt: f64(8, 'RCV.NXT without what waits for the program, as an offset from IRS'),
  sndWnd: f64(16, 'SND.WND, bytes'),
  accepted: u32(24, '1: a program has the connection'),
} as const;

/** Body of History. */
export const HistoryBody = {
  size: 16,
  sndUna: f64(0, 'SND.UNA by now, as an offset from ISS'),
  rcvNxt: f64(8, 'RCV.NXT at the end of the history, as an offset from IRS'),
} as const;

/** Body of Paired; the record's connection is the client's. */
export const PairedBody = {
  size: 24,
  server: u32(0, 'number of the connection to the server'),
  clientFrom: f64(8, "the client's first byte that the relay still has to pass, as an offset from IRS"),
  serverFrom: f64(16, "the server's first byte that the relay still has to pass, as an offset from IRS"),
} as const;

/** Body of RelayBegin; the record's connection is the client's. */
export const RelayBeginBody = { size: 8, server: u32(0, 'number of the connection to the server') } as const;

/** Body of Sent. */
export const SentBody = {
  size: 40,
  sndNxt: f64(0, 'SND.NXT as an offset from ISS'),
  cwnd: f64(8, 'congestion window, bytes'),
  ssthresh: f64(16, 'slow start threshold, bytes; may be infinite'),
  srttUs: f64(24, 'SRTT, microseconds'),
  rttvarUs: f64(32, 'RTTVAR, microseconds'),
} as const;

/** Body of OutOfOrder; the bytes follow. */
export const OutOfOrderBody = {
  size: 16,
  start: f64(0, 'offset of the first byte from IRS'),
  length: u32(8, 'bytes that follow'),
} as const;

/** Body of Received; the bytes follow. */
export const ReceivedBody = {
  size: 8,
  length: u32(0, 'bytes that follow'),
  marks: u32(4, 'congestion marks counted so far (stack/tcp/loss/ecn.ts)'),
} as const;

/** Body of TimeWait. */
export const TimeWaitBody = {
  size: 80,
  localPort: u16(8, 'local port'),
  remotePort: u16(10, 'remote port'),
  sndNxt: u32(12, 'SND.NXT, a sequence number'),
  rcvNxt: u32(16, 'RCV.NXT, a sequence number'),
  tsOk: u32(20, '1: timestamps are in use'),
  tsRecent: u32(24, 'TS.Recent'),
  tsOffset: u32(28, 'offset of our timestamps'),
  rcvWindow: u32(32, 'advertised window, bytes'),
  lifeUs: f64(40, 'time left in TIME-WAIT, microseconds'),
  localAddress: raw(48, 16, 'local address'),
  remoteAddress: raw(64, 16, 'remote address'),
} as const;

/** Body of Event. */
export const EventBody = {
  size: 40,
  word: u32(0, 'bits 0-6 AppEvent, bit 7 unreplicated; from bit 8 on, for Space: send buffer in units of 64 KiB'),
  n: f64(8, 'amount of the event: bytes of Data, bytes acknowledged of Space, removal code of Close'),
  monoUs: f64(16, "time of the event: the group's monotonic clock, microseconds"),
  wallMs: f64(24, 'time of the event: wall clock, milliseconds'),
  number: f64(32, 'number of the event'),
} as const;

/** Body of Runtime; the result's bytes follow. */
export const RuntimeBody = {
  size: 48,
  kind: u32(0, 'kind of the event (runtime/core/events.ts)'),
  resultLength: u32(4, 'bytes that follow'),
  id: f64(8, 'number of the timer or operation; negative: unreplicated'),
  monoUs: f64(16, "time of the event: the group's monotonic clock, microseconds"),
  wallMs: f64(24, 'time of the event: wall clock, milliseconds'),
  number: f64(32, 'number of the event'),
} as const;

/** Body of Saved; the name in UTF-16 and the bytes follow. */
export const SavedBody = {
  size: 8,
  length: u32(0, 'bytes of the value'),
  nameLength: u32(4, 'UTF-16 units of the name'),
} as const;

/** Body of Sample; the name in Latin-1 and the result's bytes follow. */
export const SampleBody = {
  size: 8,
  resultLength: u32(0, 'bytes of the result'),
  nameLength: u16(4, "bytes of the function's name"),
  isStart: u8(6, "1: in the program's start-up"),
} as const;

/** Body of Check. */
export const CheckBody = {
  size: 16,
  written: f64(0, 'bytes that the program has written to the connection'),
  crc: u32(8, 'CRC-32C over them'),
} as const;

/** Body of Join. */
export const JoinBody = {
  size: 24,
  number: f64(0, 'number of the last event'),
  monoUs: f64(8, "the group's monotonic clock, microseconds"),
  wallMs: f64(16, 'wall clock, milliseconds'),
} as const;
