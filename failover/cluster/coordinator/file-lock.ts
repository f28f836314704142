/**
 * Nodes that are all on one machine: the right to be primary is a lock on a file, which the kernel takes back when the agent that has it ends.
 *
 * A member may speak for `leaseMs` after its agent last had the lock, by the machine's one clock. So whoever gets the lock
 * after an agent that did not give it up waits for so long before anybody speaks for it. An agent that stands still with the lock has a
 * silent member soon, but keeps everybody else from going on: when it has not moved its time on for `hungMs`, it is killed.
 *
 * `holder` is the file with the lock; it says who has it, and when he last said so. `state` is the group's state, which only the one who has the lock writes.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../../lib/clock.js';
import { errorCode, FtError } from '../../../lib/errors.js';
import type { NativeAddon } from '../../../lib/native/native.js';
import type { LockConfig } from '../config.js';
import { type Coordinator, type GroupState, parseState, type View } from './coordinator.js';

const SIGKILL = 9;

interface Holder {
  node: string;
  pid: number;
  /** When the process was started, as /proc has it: a number that is used again is another process. */
  started: string;
  /** Monotonic time, microseconds. */
  atUs: number;
  /** It gave the right up, and nobody speaks for it. */
  released: boolean;
}

/** When a process was started, in the kernel's ticks; undefined: there is none. */
export function startedAt(pid: number): string | undefined {
  try {
    // The name, in brackets, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[19];
  } catch {
    return undefined;
  }
}

export class FileLockCoordinator implements Coordinator {
  speakUntilUs = 0;
  readonly renewEveryUs: number;
  /** Agents that were killed because they stood still. */
  killed = 0;
  readonly #holderPath: string;
  readonly #statePath: string;
  readonly #started: string;
  #fd = -1;
  /** The state as it was read last. */
  #read: string | null = null;

  constructor(
    readonly config: LockConfig,
    group: string,
    readonly node: string,
    readonly pid: number,
    readonly native: NativeAddon,
    readonly clock: Clock,
    readonly wait: (us: number) => Promise<void>,
  ) {
    this.renewEveryUs = (config.leaseMs * 1000) / 4;
    this.#started = startedAt(pid) ?? '';
    this.#holderPath = join(config.directory, `${group}.holder`);
    this.#statePath = join(config.directory, `${group}.state`);
  }

  async read(): Promise<View> {
    const text = this.#text(this.#statePath);
    this.#read = text;
    return { state: text === null ? null : parseState(text, this.#statePath), holder: this.#whoHolds() };
  }

  async claim(state: GroupState): Promise<boolean> {
    if (this.#fd >= 0) return this.#take(state);
    const fd = this.#lock();
    if (fd < 0) return false;
    this.#fd = fd;
    try {
      if (this.#text(this.#statePath) !== this.#read) {
        this.#unlock();
        return false;
      }
      if (this.#maySpeakStill()) {
        await this.wait(this.config.leaseMs * 1000);
        if (this.#fd < 0) return false;
      }
      return this.#take(state);
    } catch (error) {
      // A lock that nobody knows that he has would keep everybody from going on.
      this.#unlock();
      throw error;
    }
  }

  #take(state: GroupState): boolean {
    this.#write(state);
    this.#speak();
    return true;
  }

  /** Whether a member of whoever had the lock last may speak still. Nobody writes the file now. */
  #maySpeakStill(): boolean {
    // New: nobody has had it. What cannot be read is taken for the worst.
    const text = this.#text(this.#holderPath);
    return text !== null && text !== '' && this.#parse(text)?.released !== true;
  }

  async update(state: GroupState): Promise<boolean> {
    if (this.#fd < 0) return false;
    this.#write(state);
    return true;
  }

  learn(): void {
    // The file knows.
  }

  async renew(): Promise<boolean> {
    if (this.#fd < 0) return false;
    this.#speak();
    return true;
  }

  async release(): Promise<void> {
    if (this.#fd < 0) return;
    this.speakUntilUs = 0;
    try {
      this.#sign(true);
    } finally {
      // Without the word, whoever comes next waits.
      this.#unlock();
    }
  }

  close(): void {
    if (this.#fd >= 0) this.#unlock();
  }

  /** The lock is ours: our member may speak for a while. */
  #speak(): void {
    const now = this.clock.now();
    this.#sign(false);
    this.speakUntilUs = now + this.config.leaseMs * 1000;
  }

  #unlock(): void {
    this.native.closeFd(this.#fd);
    this.#fd = -1;
    this.speakUntilUs = 0;
  }

  /** @returns a descriptor, or -1 when somebody else has it. */
  #lock(): number {
    try {
      return this.native.lockFile(this.#holderPath);
    } catch (error) {
      throw this.#failed(error, this.#holderPath);
    }
  }

  /** Who has the lock; null: nobody. Whoever has it and stands still loses it. */
  #whoHolds(): string | null {
    if (this.#fd >= 0) return this.node;
    const fd = this.#lock();
    if (fd >= 0) {
      this.native.closeFd(fd);
      return null;
    }
    const holder = this.#parse(this.#text(this.#holderPath) ?? '');
    // Somebody else looks, as we do, or has only just got it.
    if (holder === null || holder.released) return '?';
    if (this.clock.now() - holder.atUs > this.config.hungMs * 1000) this.#kill(holder);
    return holder.node;
  }

  #kill(holder: Holder): void {
    let pidfd: number;
    try {
      pidfd = this.native.pidfdOpen(holder.pid);
    } catch {
      return;
    }
    // Only now is it certain that the number will not become another process's.
    if (startedAt(holder.pid) === holder.started && this.native.pidfdSignal(pidfd, SIGKILL) === 0) this.killed++;
    this.native.closeFd(pidfd);
  }

  #parse(text: string): Holder | null {
    try {
      const { node, pid, started, atUs, released } = JSON.parse(text) as Partial<Holder>;
      if (
        typeof node !== 'string' ||
        typeof pid !== 'number' ||
        typeof started !== 'string' ||
        typeof atUs !== 'number'
      )
        return null;
      return { node, pid, started, atUs, released: released === true };
    } catch {
      return null;
    }
  }

  /** Says in the file who has the lock. It keeps its length: nobody reads half of it. */
  #sign(released: boolean): void {
    const holder: Holder = {
      node: this.node,
      pid: this.pid,
      started: this.#started,
      atUs: Math.floor(this.clock.now()),
      released,
    };
    try {
      writeFileSync(this.#holderPath, JSON.stringify(holder).padEnd(256), { flag: 'r+' });
    } catch (error) {
      throw this.#failed(error, this.#holderPath);
    }
  }

  #write(state: GroupState): void {
    const text = JSON.stringify(state);
    try {
      writeFileSync(`${this.#statePath}.new`, text, { mode: 0o600 });
      renameSync(`${this.#statePath}.new`, this.#statePath);
    } catch (error) {
      throw this.#failed(error, this.#statePath);
    }
    this.#read = text;
  }

  #text(path: string): string | null {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw this.#failed(error, path);
    }
  }

  #failed(error: unknown, path: string): FtError {
    return new FtError(
      'ERR_FT_COORDINATOR',
      `${path} cannot be used (${errorCode(error) ?? error})`,
      'All nodes of the group need the same directory, with room in it',
    );
  }
}
