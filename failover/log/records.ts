/**
 * The log's records. Little-endian, 8-byte aligned, written in place into the ring and read from it without copies.
 *
 *   0  u32 length    whole record, a multiple of 8
 *   4  u8  type      below
 *   5  u8  version   of the format
 *   6  u16 epoch     which primary wrote it (counts takeovers)
 *   8  u32 crc       CRC-32C of the body, seeded with the header's other words
 *  12  u32 conn      connection number, 0 for none
 *  16  body
 *
 * A record that is damaged, of another version or of an older epoch is refused with a typed error and never applied.
 */
import { FtError } from '../../lib/errors.js';

export const RECORD_HEADER = 16;
export const LOG_VERSION = 4;
/** The oldest version that can be read: an upgrade goes one version at a time, the backup first. */
export const OLDEST_VERSION = 3;
/** Largest body: a received chunk is at most one 64 KiB super-segment. */
export const MAX_BODY = 128 * 1024;

export const RecordType = {
  Pad: 1,
  Opened: 2,
  Established: 3,
  Received: 4,
  PeerFin: 5,
  Acked: 6,
  Removed: 7,
  TimeWait: 8,
  /** A socket is told something. */
  Event: 9,
  /** A timer, immediate or finished operation of the program. */
  Runtime: 10,
  /** What the program wrote to a connection, as length and checksum. */
  Check: 11,
  /** A new primary continues the log. */
  Epoch: 12,
  /** A backup that did not see the beginning joins here. */
  Join: 13,
  /** The program's start-up is complete. */
  Started: 14,
  /** Bytes that came before those in front of them. */
  OutOfOrder: 15,
  /** How far a connection has sent, at a planned move: nothing need be sent again. */
  Sent: 16,
  /** State mode: what the program wrote, closed and saved; and where a connection is that began before. */
  Wrote: 17,
  Closing: 18,
  Context: 19,
  Placed: 20,
  /** Around all that there is to know of a connection that began before; since version 4. */
  TransferBegin: 21,
  TransferEnd: 22,
  /** What the program saves of itself; and, where a replica joins, the end of what it had saved; since version 4. */
  Saved: 23,
  AllSaved: 24,
  /** Between Cover and Covered: what follows is the connection's history (failover/log/connection-history.ts); since version 4. */
  History: 25,
} as const;
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

/** How a backup that runs the program follows a connection. */
export const Follow = {
  /** Its program repeats what happens to it. */
  Replay: 0,
  /** It keeps its state, and gives it to its program at a takeover. */
  State: 1,
  /** Not at all: made by the program in an event that is not repeated. */
  Not: 2,
  /** Replay by who has seen the beginning, State by others. */
  Either: 3,
} as const;
export type Follow = (typeof Follow)[keyof typeof Follow];

/** Set in EventBody.kind: backups that run the program do not repeat the event; since version 4. */
export const UNREPLICATED_BIT = 0x80;

/** RemovedBody.code and EventBody.n of a Close event: why a connection ended; 0 is an orderly end. */
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
export type Closing = (typeof Closing)[keyof typeof Closing];

/** Body layouts (offsets behind the header); all numbers little-endian. */
export const OpenedBody = {
  size: 128,
  state: 0, // u8
  flags: 1, // u8: 1 SACK, 2 timestamps, 4 outgoing, 8 peer's MAC known, 16 ECN, 32 accurate ECN, from 64 on: the SYN's codepoint
  sndScale: 2, // u8
  rcvScale: 3, // u8
  localPort: 4, // u16
  remotePort: 6, // u16
  localAddress: 64, // 16 bytes; IPv4 as ::ffff:a.b.c.d
  remoteAddress: 80, // 16 bytes
  iss: 16, // u32
  irs: 20, // u32
  sndMss: 24, // u32
  receiveLimit: 28, // u32
  tsOffset: 32, // u32
  tsRecent: 36, // u32
  sndWnd: 40, // f64
  rcvNxt: 48, // f64
  mac: 56, // 6 bytes
  follow: 96, // u8: how a backup follows it (Follow); since version 4
} as const;

export const AckedBody = {
  size: 40,
  sndUna: 0, // f64
  sndWnd: 8, // f64
  sndWl1: 16, // f64
  srttUs: 24, // f64
  tsRecent: 32, // u32
  sndWl2Lag: 36, // u32: SND.UNA - SND.WL2
} as const;

/** Followed by the bytes. */
export const WroteBody = { size: 8, length: 0 } as const;

export const ClosingBody = { size: 8, what: 0 } as const;

/** Followed by the bytes. */
export const ContextBody = { size: 8, length: 0 } as const;

export const PlacedBody = {
  size: 32,
  sendStart: 0, // f64: stream offset of the first byte that is not acknowledged
  rcvNxt: 8, // f64: before what waits for the program
  sndWnd: 16, // f64
  accepted: 24, // u32
} as const;

export const HistoryBody = {
  size: 16,
  sndUna: 0, // f64: acknowledged by now
  rcvNxt: 8, // f64: received by the end of it
} as const;

export const SentBody = {
  size: 40,
  sndNxt: 0, // f64
  cwnd: 8, // f64
  ssthresh: 16, // f64, may be infinite
  srttUs: 24, // f64
  rttvarUs: 32, // f64
} as const;

/** Followed by the bytes. */
export const OutOfOrderBody = {
  size: 16,
  start: 0, // f64: offset from IRS
  length: 8, // u32
} as const;

/** Followed by the bytes. */
export const ReceivedBody = {
  size: 8,
  length: 0, // u32
  marks: 4, // u32: congestion marks counted so far (stack/tcp/loss/ecn.ts)
} as const;

export const TimeWaitBody = {
  size: 80,
  localAddress: 48, // 16 bytes
  remoteAddress: 64, // 16 bytes
  localPort: 8,
  remotePort: 10,
  sndNxt: 12,
  rcvNxt: 16,
  tsOk: 20,
  tsRecent: 24,
  tsOffset: 28,
  rcvWindow: 32,
  lifeUs: 40, // f64: time left when written
} as const;

export const EventBody = {
  size: 40,
  kind: 0, // 7 bits and APART_BIT; above them, for Space, the send buffer in units of 64 KiB
  n: 8, // f64
  monoUs: 16, // f64
  wallMs: 24, // f64
  number: 32, // f64
} as const;

export const RuntimeBody = {
  /** Followed by the result's bytes. */
  size: 48,
  kind: 0, // u32
  resultLength: 4, // u32
  id: 8, // f64
  monoUs: 16, // f64
  wallMs: 24, // f64
  number: 32, // f64
} as const;

/** Followed by the name, in UTF-16, and the bytes. */
export const SavedBody = { size: 8, length: 0, nameLength: 4 } as const;

export const CheckBody = {
  size: 16,
  written: 0, // f64
  crc: 8, // u32
} as const;

export const JoinBody = {
  size: 24,
  number: 0, // f64: events so far
  monoUs: 8,
  wallMs: 16,
} as const;
