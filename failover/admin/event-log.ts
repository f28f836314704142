/**
 * Where events go. Without `--events` they are JSON lines on standard error, or text where that is
 * a terminal. With it, the JSON lines go to a file or a descriptor of their own. Events of one name
 * are bounded per second: what is left out is counted.
 */
import { hostname } from 'node:os';
import type { Clock } from '../../lib/clock.js';
import { errorCode, FtError } from '../../lib/errors.js';
import { systemClock } from '../../lib/native/system.js';
import { closeSync, constants, fstatSync, openSync, writeSync } from '../../lib/own-node.js';
import { RateLimit } from '../../stack/core/rate-limit.js';
import { ownPid } from '../host/own-pid.js';
import { setTimeout } from '../host/own-timers.js';
import { originals } from '../runtime/core/originals.js';
import type { EventSpec } from './event-spec.js';
import { EVENT_SCHEMA, EVENTS, type EventName, type EventWriter, levelOf } from './events.js';

/** Where `--events` writes. */
export type EventsTarget = { readonly file: string } | { readonly fd: number };

/** Whose events they are. `node`: the agent's node. */
export interface EventOrigin {
  readonly group: string;
  readonly node?: string;
}

/** An event as a line has it. */
export type EventRecord = Readonly<Record<string, unknown>>;

const HOST = hostname();
/** Events of one name in a second. */
const MAX_PER_SECOND = 50;
/** What was left out is reported after this time. */
const LEFT_OUT_MS = 1000;

/** The event with its common fields. @param atMs wall-clock milliseconds */
export function eventRecord(event: EventName, data: object, origin: EventOrigin, atMs: number): EventRecord {
  const { group, node } = origin;
  return {
    event,
    schema: EVENT_SCHEMA,
    level: levelOf(event),
    // The program's runtime replaces Date, which on a backup has the primary's time.
    time: new originals.Date(atMs).toISOString(),
    pid: ownPid,
    group,
    host: HOST,
    ...(node === undefined ? {} : { node }),
    ...data,
  };
}

/** The event as one line of JSON, without the line's end. @param atMs wall-clock milliseconds */
export function eventLine(event: EventName, data: object, origin: EventOrigin, atMs: number): string {
  return JSON.stringify(eventRecord(event, data, origin, atMs));
}

/** Fields that text shows in its first words, or not at all. */
const SHOWN_FIRST = new Set(['event', 'schema', 'level', 'time', 'pid', 'group', 'host', 'node', 'totals']);

/** Text of others, such as a program's error, must not move a terminal's cursor. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function words(name: string, value: unknown): string[] {
  if (value === null || value === '') return [];
  if (Array.isArray(value)) return value.length === 0 ? [] : [`${name} ${value.join(', ')}`];
  if (typeof value === 'object') return Object.entries(value).flatMap(([key, inner]) => words(key, inner));
  return [`${name} ${String(value)}`];
}

/** The event as text for people, on one line. Never throws. */
export function eventText(record: EventRecord): string {
  const { time, group, node, pid, event } = record;
  const clock = String(time).slice(11, 23);
  const fields = Object.entries(record).filter(([name]) => !SHOWN_FIRST.has(name));
  const said = fields.flatMap(([name, value]) => words(name, value));
  const who = `${String(group)}${node === undefined ? '' : ` ${String(node)}`} ${String(pid)}`;
  return printable(`${clock} ${who}: ${[String(event), ...said].join('  ')}`);
}

/** The event as text with what to do. */
function textWithAction(event: EventName, record: EventRecord): string {
  const { action }: EventSpec = EVENTS[event];
  return `${eventText(record)}\n${levelOf(event) === 'info' ? '' : `    ${action}\n`}`;
}

/** Opens the target. Throws FtError ERR_FT_USAGE, or why the file cannot be opened. */
function openTarget(target: EventsTarget): number {
  if ('file' in target) {
    try {
      return openSync(target.file, 'a', 0o600);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new FtError(errorCode(error) ?? 'ERR_FT', `--events: ${why}`, 'Choose a file that this user may write');
    }
  }
  const { fd } = target;
  try {
    const kind = fstatSync(fd);
    if (kind.isFile() || kind.isFIFO() || kind.isSocket() || kind.isCharacterDevice()) return ownDescription(fd);
  } catch {
    // It is not open.
  }
  throw new FtError('ERR_FT_USAGE', `--events ${fd}: no such descriptor is open`, `Open it, as in ${fd}>events.jsonl`);
}

/** The same file or pipe, opened again: a reader that is slow must not stop this process. */
function ownDescription(fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  } catch {
    // A socket cannot be opened again.
    return fd;
  }
}

/** Writes whole lines to a descriptor. */
class LineFile {
  readonly #fd: number;
  /** The end of a line that a full pipe has not taken. */
  #rest: Uint8Array | null = null;

  constructor(target: EventsTarget) {
    this.#fd = openTarget(target);
  }

  /** @returns false: the line was not written */
  write(text: string): boolean {
    if (this.#rest !== null) {
      const rest = this.#rest;
      this.#rest = null;
      if (!this.#put(rest) || this.#rest !== null) {
        this.#rest ??= rest;
        return false;
      }
    }
    return this.#put(Buffer.from(text));
  }

  #put(bytes: Uint8Array): boolean {
    try {
      const count = writeSync(this.#fd, bytes);
      if (count < bytes.length) this.#rest = bytes.subarray(count);
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#fd > 2) closeSync(this.#fd);
  }
}

/** What an {@link EventLog} is given beside its origin. */
export interface EventLogOptions {
  /** Undefined: standard error. */
  readonly target?: EventsTarget | undefined;
  /** Keeps events of the group's history. */
  readonly history?: (event: EventName, record: EventRecord) => void;
  readonly clock?: Pick<Clock, 'now' | 'wall'>;
  /** Standard error. */
  readonly stderr?: { readonly isTTY?: boolean; write(text: string): unknown };
}

/** Writes events of a group, also while an event of the program runs. */
export class EventLog {
  readonly #origin: EventOrigin;
  readonly #clock: Pick<Clock, 'now' | 'wall'>;
  readonly #file: LineFile | null;
  readonly #history: EventLogOptions['history'];
  /** What the program itself writes is suppressed on a backup: these are Node's own. */
  readonly #stderr: (text: string) => unknown;
  readonly #isTerminal: boolean;
  readonly #limits = new Map<EventName, RateLimit>();
  readonly #leftOut = new Map<EventName, number>();
  #timer: NodeJS.Timeout | null = null;

  /** Throws FtError when the target cannot be opened. */
  constructor(origin: EventOrigin, options: EventLogOptions = {}) {
    const { target, history, clock = systemClock, stderr = process.stderr } = options;
    this.#origin = origin;
    this.#clock = clock;
    this.#history = history;
    this.#stderr = stderr.write.bind(stderr);
    this.#isTerminal = stderr.isTTY === true;
    this.#file = target === undefined ? null : new LineFile(target);
  }

  /** Writes one event, whose fields the compiler has checked. */
  readonly report: EventWriter = (event, data) => this.write(event, data);

  /** Writes one event. Never throws. */
  write(event: EventName, data: object): void {
    let limit = this.#limits.get(event);
    if (limit === undefined) this.#limits.set(event, (limit = new RateLimit(MAX_PER_SECOND)));
    if (event !== 'left-out' && !limit.allow(this.#clock.now())) this.#omit(event, 1);
    else this.#put(event, data);
  }

  #put(event: EventName, data: object): void {
    const record = eventRecord(event, data, this.#origin, this.#clock.wall());
    const line = `${JSON.stringify(record)}\n`;
    if (this.#isTerminal) this.#stderr(textWithAction(event, record));
    else if (this.#file === null) this.#stderr(line);
    if (this.#file?.write(line) === false && event !== 'left-out') this.#omit(event, 1);
    this.#history?.(event, record);
  }

  #omit(event: EventName, count: number): void {
    this.#leftOut.set(event, (this.#leftOut.get(event) ?? 0) + count);
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#reportLeftOut(), LEFT_OUT_MS);
    this.#timer.unref();
  }

  #reportLeftOut(): void {
    this.#timer = null;
    const leftOut = [...this.#leftOut];
    this.#leftOut.clear();
    for (const [of, count] of leftOut) this.write('left-out', { of, count });
  }

  /** Closes the file of `--events`. */
  close(): void {
    if (this.#timer !== null) this.#reportLeftOut();
    this.#file?.close();
  }
}
