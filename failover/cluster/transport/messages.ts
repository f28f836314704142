/**
 * The messages between the agents of a group: frames of a length, a type and a body.
 *
 *   0  u32 length of the body
 *   4  u8  type, u8 version, u16 0
 *   8  body
 *
 * Control messages are JSON. The log's bytes and positions are binary; positions count units of 8
 * bytes modulo 2^32, as in the log itself (log/ring.ts). All integers are little-endian.
 *
 *   type     body           sender    purpose
 *   Hello    JSON Hello     both      first on every connection: who connects
 *   Status   JSON Status    both      several times a second: role, epoch, position
 *   Follow   JSON Follow    backup    asks for the log, from a position
 *   Welcome  JSON Welcome   leader    the log follows, from a position
 *   Data     u32 position, u32 0, bytes of the log
 *                           leader    a chunk of the log, which does not count yet
 *   Publish  Publish        leader    all chunks up to a position count
 *   Ack      u32 position, u32 epoch
 *                           backup    holds the log up to a position
 *   End      JSON End       leader    the replica has ended, and all of its log has been sent
 *   Leave    JSON {}        both      the node shuts down and will not take over
 *   Refuse   JSON Refuse    leader    no log, or no more of it
 */
import BufferLayout from 'buffer-layout';
import type { StartSnapshot } from '../../host/group-directory.js';
import type { GroupState } from '../coordinator/coordinator.js';

/** Of the frames and their bodies; a connection to an agent with another version is closed. */
export const CHANNEL_VERSION = 2;
/** Bytes before the body. */
export const FRAME_HEADER_BYTES = 8;
/** Longest body: a chunk of the log, or a start-up snapshot with a large environment. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** Bytes before the chunk in a Data message. */
export const DATA_HEADER_BYTES = 8;
/** Longest chunk of the log in one message. */
export const MAX_CHUNK_BYTES = 256 * 1024;

/** Numbers of the message types. */
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
/** One of the message types. */
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** First on every connection. */
export interface Hello {
  /** The group's name. */
  group: string;
  /** The sender's node. */
  node: string;
  /**
   * Drawn when the agent starts: another one means that the former agent and its replica are dead.
   */
  incarnation: string;
}

/** A node's state, several times a second. */
export interface AgentStatus {
  role: 'joining' | 'follower' | 'disconnected' | 'leader';
  /** Of the leader that it is, or whose log it has; 0: it has none. */
  epoch: number;
  /** Published end of its log or copy, units. */
  position: number;
  /** Its replica can take over at once. */
  ready: boolean;
  /** A leader's: its lease is valid. */
  holdsLease: boolean;
  /** A leader's: the group's state; null from others. */
  state: GroupState | null;
}

/** A backup asks for the log. */
export interface Follow {
  /** Of its copy of the log; 0: it has none. */
  epoch: number;
  /** Published end of its copy, units. */
  position: number;
  /** What its replica has applied, units: a copy can be truncated behind it. */
  applied: number;
}

/** A leader begins to send its log. */
export interface Welcome {
  epoch: number;
  /** The backup keeps its copy, truncated to `position`; otherwise it begins with an empty one. */
  incremental: boolean;
  /** Where the log that is sent begins, units. */
  position: number;
  /** The log does not begin at its start. */
  truncated: boolean;
  /** The epoch in the log's header. */
  logEpoch: number;
  /** The group's secrets, hexadecimal. */
  secret: string;
  /** What a replica needs to start beside the log. */
  snapshot: StartSnapshot;
  /** The group's time, microseconds. */
  monoUs: number;
  /** The group's wall clock, milliseconds. */
  wallMs: number;
}

/** A primary has ended, all of its log has been sent, and its lease has been given back. */
export interface End {
  epoch: number;
  /** End of the log, units. */
  position: number;
  /** A ShutdownKind. */
  shutdown: number;
  /** The primary hung, and was killed. */
  hung: boolean;
}

/** A request that is not granted, or a follower that is dropped. */
export interface Refuse {
  /**
   * ERR_FT_STATE: not now; ERR_FT_DROPPED: the copy is of no use; ERR_FT_NOT_FED: no log is being
   * sent, ask again.
   */
  code: string;
  message: string;
}

/** All chunks up to `head` count; and words of the log's header. */
export interface Publish {
  /** Published end, units. */
  head: number;
  /** End of the last event that is complete, units. */
  eventEnd: number;
  /** Counts passes of the primary's main loop. */
  heartbeat: number;
  /** The epoch in the log's header. */
  logEpoch: number;
  /** Of PublishFlag. */
  flags: number;
  /** The group's time, microseconds. */
  monoUs: number;
  /** The group's wall clock, milliseconds. */
  wallMs: number;
}
/** Draining: the primary takes no new connections. Ready: its program runs. */
export const PublishFlag = { Draining: 1, Ready: 2 } as const;

const publishLayout = BufferLayout.struct<Publish>([
  BufferLayout.u32('head'),
  BufferLayout.u32('eventEnd'),
  BufferLayout.u32('heartbeat'),
  BufferLayout.u32('logEpoch'),
  BufferLayout.u32('flags'),
  BufferLayout.f64('monoUs'),
  BufferLayout.f64('wallMs'),
]);

/** The body of a Publish message. */
export function encodePublish(publish: Publish): Buffer {
  const body = Buffer.alloc(publishLayout.span);
  publishLayout.encode(publish, body);
  return body;
}

/** @returns undefined for a body of another length. */
export function decodePublish(body: Buffer): Publish | undefined {
  return body.length === publishLayout.span ? publishLayout.decode(body) : undefined;
}

/** The header of a frame with a body of `length` bytes. */
export function encodeHeader(type: MessageType, length: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  header[4] = type;
  header[5] = CHANNEL_VERSION;
  return header;
}

/** The body of a control message. */
export function encodeJson(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** @returns undefined for a body that is not a JSON object. */
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

/** Splits a stream of bytes into frames. Never throws; after a fault it ignores what comes. */
export class FrameReader {
  fault: FrameFault | null = null;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(readonly onFrame: (type: number, body: Buffer) => void) {}

  push(part: Buffer): void {
    if (this.fault !== null) return;
    this.#parts.push(part);
    this.#length += part.length;
    while (this.#length >= FRAME_HEADER_BYTES && this.fault === null) {
      const header = this.#gather(FRAME_HEADER_BYTES);
      const length = header.readUInt32LE(0);
      if (header[5] !== CHANNEL_VERSION) this.fault = 'version';
      else if (length > MAX_BODY_BYTES) this.fault = 'length';
      else if (this.#length < FRAME_HEADER_BYTES + length) return;
      else {
        const frame = this.#gather(FRAME_HEADER_BYTES + length);
        this.#drop(FRAME_HEADER_BYTES + length);
        this.onFrame(frame.readUInt8(4), frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length));
      }
    }
  }

  /** The first bytes as one buffer. */
  #gather(length: number): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && first.length >= length) return first;
    let have = 0;
    let count = 0;
    for (const part of this.#parts) {
      if (have >= length) break;
      have += part.length;
      count++;
    }
    const joined = Buffer.concat(this.#parts.slice(0, count), have);
    this.#parts.splice(0, count, joined);
    return joined;
  }

  #drop(length: number): void {
    this.#length -= length;
    const [first] = this.#parts;
    if (first === undefined || first.length === length) this.#parts.shift();
    else this.#parts[0] = first.subarray(length);
  }
}
