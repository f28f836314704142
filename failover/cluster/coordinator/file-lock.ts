/**
 * Coordinator of nodes on one machine: the lease is a lock on a file, which the kernel releases
 * when the agent that has it ends.
 *
 * A primary may send for `leaseMs` after its agent last had the lock, by the machine's one clock.
 * An agent that gets the lock from one that did not give it back therefore waits for `leaseMs`
 * before its primary sends. An agent that stands still with the lock soon has a primary that may
 * not send, but keeps the others from leading: when it has not renewed for `stallTimeoutMs`, it is
 * killed.
 *
 * Two files: `GROUP.holder` has the lock, and says who holds it and since when. `GROUP.state` is
 * the group's state, which only the holder writes.
 */
import { readdirSync, readFileSync, renameSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootTime, type Clock } from '../../../lib/clock.js';
import { errorCode, FtError } from '../../../lib/errors.js';
import type { NativeAddon } from '../../../lib/native/native.js';
import { PrivateDirectory } from '../../host/private-directory.js';
import type { FileLockConfig } from '../config/config.js';
import { type Coordinator, type GroupState, type GroupView, parseState } from './coordinator.js';

const SIGKILL = 9;

/** Length of the holder's record: it never changes, so that no reader sees half of one. */
const HOLDER_BYTES = 256;
/** Shown as the holder while the file does not say who it is. */
const UNKNOWN_HOLDER = '?';

interface Holder {
  node: string;
  pid: number;
  /** When the process was started, as in /proc: a pid that is used again is another process. */
  started: string;
  /** Last renewal: CLOCK_BOOTTIME, microseconds. */
  atUs: number;
  /** It gave the lease back, and its primary sends no more. */
  released: boolean;
}

/** What a file lock coordinator is given. */
export interface FileLockHost {
  /** The group's name, part of the files' names. */
  group: string;
  /** This node. */
  node: string;
  /** Of the agent, which may be killed by others. */
  pid: number;
  native: NativeAddon;
  clock: Clock;
  /** Resolves after a time in microseconds. */
  wait(us: number): Promise<void>;
}

/** When a process was started, in the kernel's ticks; undefined: there is no such process. */
export function startedAt(pid: number): string | undefined {
  try {
    // The name of the program, in brackets, may contain spaces and brackets.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[19];
  } catch {
    return undefined;
  }
}

function isSameFile(path: string, { dev, ino }: Stats): boolean {
  try {
    const found = statSync(path);
    return found.ino === ino && found.dev === dev;
  } catch {
    return false;
  }
}

/** Coordinator type "file-lock". */
export class FileLockCoordinator implements Coordinator {
  leaseUntilUs = 0;
  readonly renewIntervalUs: number;
  /** Agents that were killed because they stood still. */
  killedAgents = 0;
  /** Names of the two files. */
  readonly #holder: string;
  readonly #state: string;
  readonly #started: string;
  readonly #directory: PrivateDirectory;
  #fd = -1;
  /** The state as it was read last. */
  #read: string | null = null;

  constructor(
    readonly config: FileLockConfig,
    readonly host: FileLockHost,
  ) {
    this.renewIntervalUs = (config.leaseMs * 1000) / 4;
    this.#started = startedAt(host.pid) ?? '';
    this.#directory = new PrivateDirectory(config.directory, {
      what: 'The directory of the file lock',
      hint: 'Choose another one (coordinator.directory)',
    });
    this.#holder = `${host.group}.holder`;
    this.#state = `${host.group}.state`;
  }

  async read(): Promise<GroupView> {
    const text = this.#text(this.#state);
    this.#read = text;
    return { state: text === null ? null : parseState(text, this.#shown(this.#state)), holder: this.#findHolder() };
  }

  async claim(state: GroupState): Promise<boolean> {
    if (this.#fd >= 0) return this.#take(state);
    const fd = this.#lock();
    if (fd < 0) return false;
    this.#fd = fd;
    try {
      if (this.#text(this.#state) !== this.#read) {
        this.#unlock();
        return false;
      }
      if (this.#mayFormerSend()) {
        await this.host.wait(this.config.leaseMs * 1000);
        if (this.#fd < 0) return false;
      }
      return this.#take(state);
    } catch (error) {
      // A lock that is held without a lease would keep all nodes from leading.
      this.#unlock();
      throw error;
    }
  }

  #take(state: GroupState): boolean {
    this.#write(state);
    this.#extend();
    return true;
  }

  /**
   * Whether the primary of the last holder may still send. The file is not written while this node
   * has the lock.
   */
  #mayFormerSend(): boolean {
    // A new file: no node has had the lock. A file that cannot be read is assumed not to be given
    // back.
    const text = this.#text(this.#holder);
    return text !== null && text !== '' && this.#parse(text)?.released !== true;
  }

  async update(state: GroupState): Promise<boolean> {
    if (this.#fd < 0) return false;
    this.#write(state);
    return true;
  }

  observe(): void {
    // The state is read from the file.
  }

  async renew(): Promise<boolean> {
    if (this.#fd < 0) return false;
    this.#extend();
    return true;
  }

  async release(): Promise<void> {
    if (this.#fd < 0) return;
    this.leaseUntilUs = 0;
    try {
      this.#sign(true);
    } finally {
      // When that fails, the next holder waits.
      this.#unlock();
    }
  }

  close(): void {
    if (this.#fd >= 0) this.#unlock();
    this.#directory.close();
  }

  /** This node has the lock: its primary may send for a while. */
  #extend(): void {
    const now = bootTime(this.host.clock);
    this.#sign(false);
    this.leaseUntilUs = now + this.config.leaseMs * 1000;
  }

  #unlock(): void {
    this.host.native.closeFd(this.#fd);
    this.#fd = -1;
    this.leaseUntilUs = 0;
  }

  /** @returns a descriptor, or -1 when another process has the lock. */
  #lock(): number {
    try {
      return this.host.native.lockFile(this.#directory.file(this.#holder));
    } catch (error) {
      throw this.#failed(error, this.#holder);
    }
  }

  /** The node that has the lock; null: none. A holder that stands still is killed. */
  #findHolder(): string | null {
    if (this.#fd >= 0) return this.host.node;
    const fd = this.#lock();
    if (fd >= 0) {
      this.host.native.closeFd(fd);
      return null;
    }
    const holder = this.#parse(this.#text(this.#holder) ?? '');
    // Another node tests the lock, as this one does, or has just acquired it.
    if (holder === null || holder.released) return UNKNOWN_HOLDER;
    if (bootTime(this.host.clock) - holder.atUs > this.config.stallTimeoutMs * 1000) this.#kill(holder);
    return holder.node;
  }

  #kill(holder: Holder): void {
    let pidfd: number;
    try {
      pidfd = this.host.native.pidfdOpen(holder.pid);
    } catch {
      return;
    }
    // With the descriptor open the pid cannot become another process's: now its start time is worth
    // comparing.
    if (this.#isAgent(holder) && this.host.native.pidfdSignal(pidfd, SIGKILL) === 0) this.killedAgents++;
    this.host.native.closeFd(pidfd);
  }

  /**
   * Whether the process is the one that the file names, and an agent: it runs as this user, and has
   * the lock's file open. A file alone must not choose what is killed.
   */
  #isAgent({ pid, started }: Holder): boolean {
    if (startedAt(pid) !== started) return false;
    try {
      const lock = statSync(this.#directory.file(this.#holder));
      if (statSync(`/proc/${pid}`).uid !== process.geteuid?.()) return false;
      return readdirSync(`/proc/${pid}/fd`).some((fd) => isSameFile(`/proc/${pid}/fd/${fd}`, lock));
    } catch {
      return false;
    }
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

  /** Writes into the file who has the lock, since when, and whether the lease was given back. */
  #sign(released: boolean): void {
    const holder: Holder = {
      node: this.host.node,
      pid: this.host.pid,
      started: this.#started,
      atUs: Math.floor(bootTime(this.host.clock)),
      released,
    };
    try {
      writeFileSync(this.#directory.file(this.#holder), JSON.stringify(holder).padEnd(HOLDER_BYTES), { flag: 'r+' });
    } catch (error) {
      throw this.#failed(error, this.#holder);
    }
  }

  #write(state: GroupState): void {
    const text = JSON.stringify(state);
    try {
      const path = this.#directory.file(this.#state);
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (error) {
      throw this.#failed(error, this.#state);
    }
    this.#read = text;
  }

  #text(name: string): string | null {
    try {
      return readFileSync(this.#directory.file(name), 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw this.#failed(error, name);
    }
  }

  #shown(name: string): string {
    return join(this.config.directory, name);
  }

  #failed(error: unknown, name: string): FtError {
    return new FtError(
      'ERR_FT_COORDINATOR',
      `${this.#shown(name)} cannot be used (${errorCode(error) ?? error})`,
      'All nodes of the group need the same directory, with room in it',
    );
  }
}
