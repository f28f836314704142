/**
 * What has happened to a group: its takeovers, joins, divergences and more, as the events that the
 * table marks (events.ts). They are JSON lines in the group's directory, in two files of a bounded
 * size. The processes of the group add to them one after the other, and each sees all.
 *
 * Each line of a primary has the group's totals. So the next primary continues them.
 */
import {
  appendFileSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
} from '../../lib/own-node.js';
import type { EventRecord } from './event-log.js';
import type { EventSpec } from './event-spec.js';
import { EVENTS, type EventName } from './events.js';
import { type GroupTotals, noTotals } from './observation.js';

/** The file that is written to, and the one before it. */
export const HISTORY_FILES = ['history.jsonl', 'history.1.jsonl'] as const;

/** When the file has this size, it becomes the one before. */
const MAX_FILE_BYTES = 64 * 1024;
/** A longer event is cut. */
const MAX_TEXT = 300;
/** What a program has said, or sent, may be secret: the history outlives the group. */
const SECRET = new Set(['here', 'primary', 'lastEvents', 'error', 'message']);

/** The history of one group. */
export class History {
  readonly #file: (name: string) => string;

  /** @param file the path of a file in the group's directory */
  constructor(file: (name: string) => string) {
    this.#file = file;
  }

  /** Adds an event, if the table says so. Never throws: the group may have lost its directory. */
  add(event: EventName, record: EventRecord, totals: GroupTotals | null): void {
    const { isHistory }: EventSpec = EVENTS[event];
    if (isHistory !== true) return;
    const kept = Object.entries(record)
      .filter(([name]) => !SECRET.has(name))
      .map(([name, value]) => [name, typeof value === 'string' ? value.slice(0, MAX_TEXT) : value]);
    const line = JSON.stringify({ ...Object.fromEntries(kept), ...(totals === null ? {} : { totals }) });
    const [current, before] = HISTORY_FILES;
    const path = this.#file(current);
    try {
      const found = statSync(path, { throwIfNoEntry: false });
      if (found !== undefined && found.size > MAX_FILE_BYTES) renameSync(path, this.#file(before));
      // One write at the end of the file: lines of two processes do not mix.
      appendFileSync(path, `${line}\n`, { mode: 0o600, flag: 'a' });
    } catch {
      // A history that cannot be written is no reason to stop.
    }
  }

  /** All events that are kept, the latest one last. Lines that are none are left out. */
  read(): EventRecord[] {
    const [current, before] = HISTORY_FILES;
    return [before, current].flatMap((name) => parse(readBounded(this.#file(name))));
  }

  /** What the primaries of the group have added up. */
  totals(): GroupTotals {
    for (const { totals } of this.read().reverse()) if (isTotals(totals)) return totals;
    return noTotals();
  }
}

/** The end of a file; nothing when it cannot be read. */
function readBounded(path: string): string {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { size } = fstatSync(fd);
    const length = Math.min(size, 2 * MAX_FILE_BYTES);
    const bytes = Buffer.alloc(length);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, length, size - length));
  } catch {
    return '';
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function parse(text: string): EventRecord[] {
  const records: EventRecord[] = [];
  for (const line of text.split('\n')) {
    try {
      const record: unknown = JSON.parse(line);
      if (typeof record === 'object' && record !== null && 'event' in record) records.push(record as EventRecord);
    } catch {
      // The last line of a process that was killed, or the first one of a part.
    }
  }
  return records;
}

function isTotals(value: unknown): value is GroupTotals {
  if (typeof value !== 'object' || value === null) return false;
  const { takeovers, unprotectedMs } = value as Partial<GroupTotals>;
  if (!isCount(unprotectedMs) || typeof takeovers !== 'object' || takeovers === null) return false;
  const { death, hang, switchover } = takeovers;
  return isCount(death) && isCount(hang) && isCount(switchover);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
