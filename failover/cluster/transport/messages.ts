/**
 * What the agents of a group say to each other: frames of a length, a type and a body. Control messages are JSON, the log's
 * bytes and positions are binary. Positions count 8-byte units modulo 2^32, as in the log (log/ring.ts).
 *
 *   0  u32 length of the body
 *   4  u8  type, u8 version, u16 0
 *   8  body
 */
import BufferLayout from 'buffer-layout';
import type { StartSnapshot } from '../../host/group-directory.js';
import type { GroupState } from '../coordinator/coordinator.js';

export const CHANNEL_VERSION = 1;
export const FRAME_HEADER = 8;
/** Longest body: a piece of the log, or a start-up snapshot with a large environment. */
export const MAX_BODY = 1024 * 1024;
/** Before a piece of the log: u32 position, u32 0. */
export const DATA_HEADER = 8;
/** Longest piece of the log in one frame. */
export const MAX_PIECE = 256 * 1024;

export const MessageType = {
  Hello: 1,
  Status: 2,
  Follow: 3,
  Welcome: 4,
  Data: 5,
  Publish: 6,
  Ack: 7,
  End: 8,
  Leave: 9,
  Refuse: 10,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** First on every connection. */
export interface Hello {
  group: string;
  node: string;
  /** Drawn when the agent starts: another one means that the former agent, and its member, are dead. */
  incarnation: string;
}

/** Several times a second: how it is. */
export interface Status {
  role: 'looking' | 'leading' | 'following' | 'orphan';
  /** Of the primary that it is, or whose log it has; 0: it has none. */
  epoch: number;
  /** End of its copy of the log. */
  position: number;
  /** The member can go on at once. */
  ready: boolean;
  /** The leader's: it may speak. */
  speaks: boolean;
  /** The leader's: what all agree on. */
  state: GroupState | null;
}

/** A backup asks to be fed. */
export interface Follow {
  /** Of its copy of the log; 0: it has none. */
  epoch: number;
  position: number;
  /** How far its member has gone: what lies behind can still be taken back. */
  consumed: number;
}

export interface Welcome {
  epoch: number;
  /** It goes on with the copy that it has, cut at `position`; or begins anew with an empty one. */
  continues: boolean;
  position: number;
  historyLost: boolean;
  logEpoch: number;
  secret: string;
  snapshot: StartSnapshot;
  /** The group's time, as in Publish. */
  monoUs: number;
  wallMs: number;
}

/** The primary's member has ended, all of its log has been sent, its right was given up. */
export interface End {
  epoch: number;
  position: number;
  /** Word.planned: 0 death, 1 handed over, 2 the group is over. */
  planned: number;
  hang: boolean;
}

export interface Refuse {
  code: string;
  message: string;
}

export interface Publish {
  head: number;
  complete: number;
  heartbeat: number;
  logEpoch: number;
  flags: number;
  /** The group's time: microseconds, and milliseconds of the wall clock. */
  monoUs: number;
  wallMs: number;
}
export const PublishFlag = { Draining: 1, Ready: 2 } as const;

const publishLayout = BufferLayout.struct<Publish>([
  BufferLayout.u32('head'),
  BufferLayout.u32('complete'),
  BufferLayout.u32('heartbeat'),
  BufferLayout.u32('logEpoch'),
  BufferLayout.u32('flags'),
  BufferLayout.f64('monoUs'),
  BufferLayout.f64('wallMs'),
]);

export function encodePublish(publish: Publish): Buffer {
  const body = Buffer.alloc(publishLayout.span);
  publishLayout.encode(publish, body);
  return body;
}

/** Undefined for a body of another length. */
export function decodePublish(body: Buffer): Publish | undefined {
  return body.length === publishLayout.span ? publishLayout.decode(body) : undefined;
}

export function encodeHeader(type: MessageType, length: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUInt32LE(length, 0);
  header[4] = type;
  header[5] = CHANNEL_VERSION;
  return header;
}

export function encodeJson(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Undefined for what is not an object. */
export function decodeJson(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Why a stream of frames cannot be read on. */
export type FrameFault = 'version' | 'length';

/** Cuts a stream of bytes into frames. Never throws; after a fault nothing more comes. */
export class FrameReader {
  fault: FrameFault | null = null;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(readonly onFrame: (type: number, body: Buffer) => void) {}

  push(part: Buffer): void {
    if (this.fault !== null) return;
    this.#parts.push(part);
    this.#length += part.length;
    while (this.#length >= FRAME_HEADER && this.fault === null) {
      const header = this.#gather(FRAME_HEADER);
      const length = header.readUInt32LE(0);
      if (header[5] !== CHANNEL_VERSION) this.fault = 'version';
      else if (length > MAX_BODY) this.fault = 'length';
      else if (this.#length < FRAME_HEADER + length) return;
      else {
        const frame = this.#gather(FRAME_HEADER + length);
        this.#drop(FRAME_HEADER + length);
        this.onFrame(frame[4]!, frame.subarray(FRAME_HEADER, FRAME_HEADER + length));
      }
    }
  }

  /** The first bytes in one piece. */
  #gather(length: number): Buffer {
    const first = this.#parts[0]!;
    if (first.length >= length) return first;
    let have = 0;
    let count = 0;
    while (have < length) have += this.#parts[count++]!.length;
    const one = Buffer.concat(this.#parts.slice(0, count), have);
    this.#parts.splice(0, count, one);
    return one;
  }

  #drop(length: number): void {
    this.#length -= length;
    const first = this.#parts[0]!;
    if (first.length === length) this.#parts.shift();
    else this.#parts[0] = first.subarray(length);
  }
}
