/**
 * Receives a leader's log: appends it to the copy, acknowledges it, and stops reading while the
 * replica falls behind.
 */
import { followClock } from '../../log/group-clock.js';
import { Word } from '../../log/ring-header.js';
import { DATA_HEADER_BYTES, decodePublish, MessageType } from '../transport/messages.js';
import type { AgentHost } from './host.js';
import type { LogCopy } from './log-copy.js';

/**
 * A replica with more unread bytes than this is woken; otherwise it polls the log within
 * milliseconds.
 */
const WAKE_BYTES = 128 * 1024;

/** The receiving side of log shipping; LogSender is the other one. */
export class LogReceiver {
  /** Peers that are not read from, because the copy has no room. */
  readonly #paused = new Set<string>();

  constructor(readonly host: AgentHost) {}

  /** Whether a peer is not read from. */
  isPaused(name: string): boolean {
    return this.#paused.has(name);
  }

  /** The connection to a peer is gone. */
  forget(name: string): void {
    this.#paused.delete(name);
  }

  /** Reads from all peers again: the role has changed. */
  resumeAll(): void {
    for (const name of this.#paused) this.host.links.setPaused(name, false);
    this.#paused.clear();
  }

  /** A Data message. @returns false for a chunk that does not fit to the copy. */
  append(copy: LogCopy, name: string, body: Buffer): boolean {
    if (body.length < DATA_HEADER_BYTES) return true;
    if (!copy.append(body.readUInt32LE(0), body.subarray(DATA_HEADER_BYTES))) return false;
    // One more of the longest chunks has to fit.
    if (copy.freeBytes < copy.ring.size / 4 && !this.#paused.has(name)) {
      this.#paused.add(name);
      this.host.links.setPaused(name, true);
    }
    return true;
  }

  /** Reads from a paused peer again if the replica has made room. */
  resumeIfRoom(copy: LogCopy, name: string): void {
    if (copy.freeBytes < copy.ring.size / 2) return;
    this.#paused.delete(name);
    this.host.links.setPaused(name, false);
  }

  /** A Publish message. @returns false when it does not fit to the copy. */
  publish(copy: LogCopy, name: string, epoch: number, body: Buffer): boolean {
    const publish = decodePublish(body);
    if (publish === undefined || !copy.publish(publish)) return false;
    this.acknowledge(name, epoch, copy.position);
    const { ring } = copy;
    followClock(ring, this.host.clock, publish.monoUs, publish.wallMs);
    if (ring.load(Word.readerSleeping) !== 0 && copy.unreadBytes > WAKE_BYTES) {
      ring.words[Word.readerSleeping] = 0;
      this.host.replica.wake('backup');
    }
    return true;
  }

  /** Tells a leader up to which position this node holds its log. */
  acknowledge(name: string, epoch: number, position: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32LE(position >>> 0, 0);
    body.writeUInt32LE(epoch, 4);
    this.host.links.send(name, MessageType.Ack, body);
  }
}
