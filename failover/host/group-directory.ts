/**
 * A group is the set of replicas of one program on one machine. They meet in its directory, which
 * holds:
 *
 * | file           | content                                                                          |
 * | -------------- | -------------------------------------------------------------------------------- |
 * | primary.lock   | held by the primary, and by its backup with a copy of the primary's descriptor   |
 * | backup.lock    | held by the backup that follows the log                                          |
 * | supervisor.lock | held by `ft-tcp up`                                                             |
 * | log            | the shared log (log/ring.ts)                                                     |
 * | start.json     | the start snapshot: what a backup must have in common with the primary           |
 * | history.jsonl  | what happened to the group (admin/history.ts); history.1.jsonl: before that      |
 * | ended          | the last group ended on purpose: its log and start snapshot are removed          |
 * | frames.PID     | memory that a process receives frames into                                       |
 * | threads.PID    | says whether the threads of a process that can send are alive                    |
 * | bell-ROLE      | FIFO by which the other role is woken                                            |
 * | PID.sock       | status socket (admin/status.ts)                                                  |
 * | PID.control    | admin socket (admin/commands.ts)                                                 |
 * | PID.gateway    | socket of a gateway (gateway/admin.ts)                                           |
 * | PID.check.PORT | socket of a health check to a server of the program (cli/standby-commands.ts)    |
 * | deploy.lock    | held by the deploy that is under way (deploy/record.ts)                          |
 * | deploy.json    | which version served before                                                      |
 * | deploy.log     | output of processes that deploys have started                                    |
 */

import { join } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import {
  existsSync,
  fstatSync,
  kill,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from '../../lib/own-node.js';
import { PrivateDirectory } from './private-directory.js';

/**
 * The start snapshot: what a backup must have in common with its primary, fixed when the group
 * starts.
 */
export interface StartSnapshot {
  /** Version of the log's format. */
  format: number;
  /** Version of Node, as `v20.11.1`. */
  node: string;
  /** Digest of the program (program-digest.ts). */
  program: string;
  argv: string[];
  /** When the group started: CLOCK_MONOTONIC, microseconds, and milliseconds since 1970. */
  monoUs: number;
  wallMs: number;
  /** Size of the log, bytes. */
  ringBytes: number;
  /** 'replay' when absent. */
  mode?: 'replay' | 'state';
  /** What the program sees of its process; opaque here (runtime/samples/process.ts). */
  process: object;
  /** What else all replicas must have in common (replica/agreement.ts). */
  agreement?: Readonly<Record<string, string>>;
  /** The primary that started or resumed the group. */
  writerPid: number;
}

/** The default of `--dir`: memory-backed, private to the user. */
export function defaultDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  if (uid === 0) return '/run/ft-tcp';
  const runtime = env['XDG_RUNTIME_DIR'];
  return runtime !== undefined && runtime !== '' && existsSync(runtime)
    ? join(runtime, 'ft-tcp')
    : `/dev/shm/ft-tcp-${uid}`;
}

/** What a replica needs of its group's directory. */
export interface GroupPlace {
  /** @returns the path of a file of the group */
  file(name: string): string;
  /** Tries to become the primary. */
  lockPrimary(): boolean;
  /** The descriptor that holds the primary's lock; -1: this process does not hold it. */
  readonly primaryLock: number;
  /** Whether a copy of another process's descriptor holds the primary's lock. */
  isPrimaryLock(fd: number): boolean;
  /**
   * Holds the primary's lock by a copy of the dead primary's descriptor, from then on as its own.
   * @returns false: it does not hold the lock
   */
  inheritPrimary(fd: number): boolean;
  /** Frees the backup's place. */
  unlockBackup(): void;
  /** Creates the memory that a process receives frames into. */
  createSlab(pid: number, bytes: number): ArrayBuffer;
  /** Maps another process's memory of this kind; null when there is none. */
  mapSlab(pid: number, bytes: number): ArrayBuffer | null;
  /**
   * Says of this process, to others, whether its threads that can send are alive
   * (NativeAddon.threadsCreate). Null: not possible here, and others wait for the process's end.
   */
  createThreads(pid: number): NativeHandle | null;
  /** The same of another process; null when there is none. */
  openThreads(pid: number): NativeHandle | null;
  /** Removes what `createSlab` and `createThreads` have made. */
  removeMemory(pid: number): void;
  /** Memory for what a primary's program wrote last (log/output-window.ts). */
  createOutputs(pid: number, bytes: number): ArrayBuffer;
  mapOutputs(pid: number, bytes: number): ArrayBuffer | null;
}

/** Says that the last group ended on purpose. */
const ENDED = 'ended';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Whether a group, and so its directory, may have this name. */
export function isGroupName(name: string): boolean {
  return NAME.test(name);
}

/** A group's directory on this machine. */
export class Group implements GroupPlace {
  readonly path: string;
  readonly #directory: PrivateDirectory;
  #primaryLock = -1;
  #backupLock = -1;

  /**
   * Throws FtError ERR_FT_GROUP for a bad name, EACCES when the directory cannot be used.
   * @param create false: ENOENT is thrown for a directory that is missing, and none is made
   */
  constructor(
    readonly native: NativeAddon,
    directory: string,
    readonly name: string,
    create = true,
  ) {
    if (!isGroupName(name)) {
      throw new FtError(
        'ERR_FT_GROUP',
        `"${name}" is not a group name`,
        'Use letters, digits, ".", "_" and "-", at most 64',
      );
    }
    this.path = join(directory, name);
    this.#directory = new PrivateDirectory(this.path, {
      what: "The group's directory",
      hint: 'Choose another directory with --dir',
      create,
    });
  }

  /**
   * The group, if it has a directory; null: it has none. Throws FtError as the constructor does.
   */
  static find(native: NativeAddon, directory: string, name: string): Group | null {
    try {
      return new Group(native, directory, name, false);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  file(name: string): string {
    return this.#directory.file(name);
  }

  /** Tries to become the primary. */
  lockPrimary(): boolean {
    if (this.#primaryLock < 0) this.#primaryLock = this.#lock('primary.lock');
    return this.#primaryLock >= 0;
  }

  get primaryLock(): number {
    return this.#primaryLock;
  }

  isPrimaryLock(fd: number): boolean {
    return this.native.lockAgain(fd, this.file('primary.lock'));
  }

  inheritPrimary(fd: number): boolean {
    if (!this.isPrimaryLock(fd)) return false;
    this.#primaryLock = fd;
    return true;
  }

  /** Tries to become the one backup that follows the log. */
  lockBackup(): boolean {
    if (this.#backupLock < 0) this.#backupLock = this.#lock('backup.lock');
    return this.#backupLock >= 0;
  }

  /** Tries to become the one supervisor of the group. */
  lockSupervisor(): boolean {
    return this.#lock('supervisor.lock') >= 0;
  }

  /**
   * Whether the directory, and the lock that this process holds, are still where others look for
   * them.
   */
  get isInPlace(): boolean {
    return this.#directory.isInPlace && (this.#primaryLock < 0 || this.#isSameFile(this.#primaryLock, 'primary.lock'));
  }

  /** @returns the lock's descriptor; -1: another process holds it */
  #lock(name: string): number {
    for (;;) {
      const fd = this.#open(name);
      // `ft-tcp cleanup` may have removed the file before it was locked: others lock a new one.
      if (fd < 0 || this.#isSameFile(fd, name)) return fd;
      this.native.closeFd(fd);
    }
  }

  #open(name: string): number {
    try {
      return this.native.lockFile(this.file(name));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      throw new FtError('ERR_FT_GROUP', `The group's directory ${this.path} has been removed`, 'Start again');
    }
  }

  #isSameFile(fd: number, name: string): boolean {
    try {
      const [opened, named] = [fstatSync(fd), statSync(this.file(name))];
      return opened.ino === named.ino && opened.dev === named.dev;
    } catch {
      return false;
    }
  }

  /** Frees the backup's place. */
  unlockBackup(): void {
    if (this.#backupLock >= 0) this.native.closeFd(this.#backupLock);
    this.#backupLock = -1;
  }

  /** Creates a new log, invisible to others until `publishRing`. Throws FtError ENOSPC. */
  createRing(bytes: number): ArrayBuffer {
    return this.#create('log.new', bytes);
  }

  /**
   * Creates a file and reserves its memory. Throws FtError ENOSPC when there is no room, and leaves
   * nothing behind.
   */
  #create(name: string, bytes: number): ArrayBuffer {
    rmSync(this.file(name), { force: true });
    try {
      return this.native.shmMap(this.file(name), bytes, true);
    } catch (error) {
      rmSync(this.file(name), { force: true });
      const code = errorCode(error);
      if (code !== 'ENOSPC' && code !== 'EFBIG' && code !== 'ENOMEM') throw error;
      throw new FtError(
        'ENOSPC',
        `There is no room for ${Math.ceil(bytes / 1048576)} MiB in ${this.path}`,
        'Make room, choose a smaller --log-size, or another directory with --dir',
      );
    }
  }

  publishRing(): void {
    renameSync(this.file('log.new'), this.file('log'));
  }

  mapRing(bytes: number): ArrayBuffer {
    return this.native.shmMap(this.file('log'), bytes, false);
  }

  /**
   * A backup finds in this memory the frames that were received but not processed. Throws FtError
   * ENOSPC.
   */
  createSlab(pid: number, bytes: number): ArrayBuffer {
    return this.#create(`frames.${pid}`, bytes);
  }

  mapSlab(pid: number, bytes: number): ArrayBuffer | null {
    try {
      return this.native.shmMap(this.file(`frames.${pid}`), bytes, false);
    } catch {
      return null;
    }
  }

  createThreads(pid: number): NativeHandle | null {
    try {
      return this.native.threadsCreate(this.file(`threads.${pid}`));
    } catch {
      return null;
    }
  }

  openThreads(pid: number): NativeHandle | null {
    try {
      return this.native.threadsOpen(this.file(`threads.${pid}`), pid);
    } catch {
      return null;
    }
  }

  removeMemory(pid: number): void {
    for (const name of [`frames.${pid}`, `threads.${pid}`, `outputs.${pid}`]) rmSync(this.file(name), { force: true });
  }

  /** Throws FtError ENOSPC. */
  createOutputs(pid: number, bytes: number): ArrayBuffer {
    return this.#create(`outputs.${pid}`, bytes);
  }

  mapOutputs(pid: number, bytes: number): ArrayBuffer | null {
    try {
      return this.native.shmMap(this.file(`outputs.${pid}`), bytes, false);
    } catch {
      return null;
    }
  }

  writeSnapshot(snapshot: StartSnapshot): void {
    // It has the whole environment: the mode counts for a new file only.
    rmSync(this.file('start.new'), { force: true });
    writeFileSync(this.file('start.new'), JSON.stringify(snapshot), { mode: 0o600, flag: 'wx' });
    renameSync(this.file('start.new'), this.file('start.json'));
  }

  /** @returns the primary's start snapshot; null while there is none */
  readSnapshot(): StartSnapshot | null {
    try {
      return JSON.parse(readFileSync(this.file('start.json'), 'utf8')) as StartSnapshot;
    } catch {
      return null;
    }
  }

  /** Removes what an earlier, dead group left behind. */
  clearOld(): void {
    const memory = this.files().filter((name) => /^(frames|threads|outputs)\./.test(name));
    for (const name of ['start.json', 'start.new', 'log', 'log.new', ENDED, ...memory]) this.#remove(name);
  }

  #remove(name: string): void {
    rmSync(this.file(name), { force: true });
  }

  /**
   * Removes what a group that has ended on purpose has made: the log, the start snapshot and the
   * frames hold the program's secrets. The primary's lock and a mark stay. No effect while another
   * process is the primary.
   */
  removeEnded(): void {
    if (!this.lockPrimary()) return;
    this.clearOld();
    for (const name of ['bell-primary', 'bell-backup', 'backup.lock']) this.#remove(name);
    writeFileSync(this.file(ENDED), '', { mode: 0o600 });
  }

  /**
   * Removes everything, the directory too. Throws FtError EBUSY while a process holds one of the
   * locks.
   */
  removeAll(): void {
    // In the order in which a replica takes them.
    const isFree = this.lockBackup() && this.lockPrimary() && this.#lock('agent.lock') >= 0 && this.lockSupervisor();
    if (!isFree) throw new FtError('EBUSY', `A process uses the group ${this.name}`, 'See ft-tcp status');
    for (const name of this.files()) rmSync(this.file(name), { force: true, recursive: true });
    rmdirSync(this.path);
  }

  /** Names of all files of the group. */
  files(): string[] {
    return readdirSync(this.file('.'));
  }

  /** Removes the sockets of a process that has ended. */
  removeSockets(pid: number): void {
    for (const suffix of ['sock', 'control', 'gateway']) this.#remove(`${pid}.${suffix}`);
    for (const name of this.files()) if (name.startsWith(`${pid}.check.`)) this.#remove(name);
  }

  /** Removes memory of processes that have ended. @param keep processes whose memory is needed */
  sweepMemory(keep: readonly number[]): void {
    for (const name of this.files()) {
      const pid = Number(/^(?:frames|threads)\.(\d+)$/.exec(name)?.[1]);
      if (pid > 0 && !keep.includes(pid) && !isProcess(pid)) this.removeMemory(pid);
    }
  }

  /** Whether the last group ended on purpose, and left nothing to resume. */
  get hasEnded(): boolean {
    return existsSync(this.file(ENDED));
  }

  /** Processes that have, or had, sockets here: the replicas. */
  replicaPids(): number[] {
    const pids = new Set<number>();
    for (const name of this.files()) {
      const pid = Number(/^(\d+)\.(?:sock|control)$/.exec(name)?.[1]);
      if (pid > 0) pids.add(pid);
    }
    return [...pids];
  }
}

/** Whether a process has this number, also one of another user. */
export function isProcess(pid: number): boolean {
  try {
    kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}
