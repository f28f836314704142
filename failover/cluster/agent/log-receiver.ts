/** What comes of a leader's log: it goes into the copy, is acknowledged, and is held back while the member does not get on. */
import { followClock } from '../../log/group-clock.js';
import { Word } from '../../log/ring-header.js';
import { decodePublish, MessageType } from '../transport/messages.js';
import type { AgentHost } from './host.js';
import type { LogCopy } from './log-copy.js';

/** A member that has more than this to read is woken; otherwise it looks by itself, a few milliseconds later. */
const WAKE_BYTES = 128 * 1024;

export class LogReceiver {
  /** Peers that we do not read from, as there is no room for what they send. */
  readonly #full = new Set<string>();

  constructor(readonly host: AgentHost) {}

  holds(name: string): boolean {
    return this.#full.has(name);
  }

  forget(name: string): void {
    this.#full.delete(name);
  }

  /** Whoever is not followed as before is read from. */
  reset(): void {
    for (const name of this.#full) this.host.links.hold(name, false);
    this.#full.clear();
  }

  /** Bytes of the log. @returns false for what does not fit to what is there. */
  data(mirror: LogCopy, name: string, body: Buffer): boolean {
    if (body.length < 8) return true;
    if (!mirror.data(body.readUInt32LE(0), body.subarray(8))) return false;
    // One more of the longest pieces has to fit.
    if (mirror.room < mirror.ring.size / 4 && !this.#full.has(name)) {
      this.#full.add(name);
      this.host.links.hold(name, true);
    }
    return true;
  }

  /** The member has read: is there room again? */
  letRead(mirror: LogCopy, name: string): void {
    if (mirror.room < mirror.ring.size / 2) return;
    this.#full.delete(name);
    this.host.links.hold(name, false);
  }

  /** So much of it counts now. @returns false for what does not fit. */
  published(mirror: LogCopy, name: string, epoch: number, body: Buffer): boolean {
    const publish = decodePublish(body);
    if (publish === undefined || !mirror.publish(publish)) return false;
    this.acknowledge(name, epoch, mirror.position);
    const { ring } = mirror;
    followClock(ring, this.host.clock, publish.monoUs, publish.wallMs);
    // It looks by itself; nobody waits for it.
    if (ring.load(Word.readerSleeping) !== 0 && mirror.unread > WAKE_BYTES) {
      ring.words[Word.readerSleeping] = 0;
      this.host.member.wake('backup');
    }
    return true;
  }

  acknowledge(name: string, epoch: number, position: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32LE(position >>> 0, 0);
    body.writeUInt32LE(epoch, 4);
    this.host.links.send(name, MessageType.Ack, body);
  }
}
