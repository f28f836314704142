/**
 * A group: the replicas of one program on one machine. Its directory holds the lock that makes the first process the
 * primary (the kernel releases it when that process dies), a second lock for the one active backup, the shared log, two
 * FIFOs as doorbells, and the start-up snapshot.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';
import type { NativeAddon } from '../../lib/native/native.js';

/** Everything a backup must have in common with its primary, fixed when the group's first primary starts. */
export interface StartSnapshot {
  /** Log format and package version. */
  format: number;
  node: string;
  /** SHA-256 of the program's main file. */
  program: string;
  argv: string[];
  monoUs: number;
  wallMs: number;
  ringBytes: number;
  /** 'replay' when absent. */
  mode?: 'replay' | 'state';
  /** What the program sees of its process; opaque here (runtime/samples/process.ts). */
  process: object;
  writerPid: number;
}

/** Where groups live unless told otherwise: memory-backed, private to the user. */
export function defaultDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  if (uid === 0) return '/run/ft-tcp';
  const runtime = env['XDG_RUNTIME_DIR'];
  return runtime !== undefined && runtime !== '' && existsSync(runtime)
    ? join(runtime, 'ft-tcp')
    : `/dev/shm/ft-tcp-${uid}`;
}

/** What a replica needs of its group's place. */
export interface GroupPlace {
  file(name: string): string;
  /** Tries to become the primary. */
  lockPrimary(): boolean;
  /** The place of the backup is free again. */
  unlockBackup(): void;
  createSlab(pid: number, bytes: number): ArrayBuffer;
  mapSlab(pid: number, bytes: number): ArrayBuffer | null;
  removeSlab(pid: number): void;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export class Group implements GroupPlace {
  readonly path: string;
  #primaryLock = -1;
  #backupLock = -1;

  /** Throws FtError ERR_FT_GROUP for a bad name, EACCES when the directory cannot be used. */
  constructor(
    readonly native: NativeAddon,
    directory: string,
    readonly name: string,
  ) {
    if (!NAME.test(name)) {
      throw new FtError(
        'ERR_FT_GROUP',
        `"${name}" is not a group name`,
        'Use letters, digits, ".", "_" and "-", at most 64',
      );
    }
    this.path = join(directory, name);
    try {
      makeDirectory(this.path);
      const found = statSync(this.path);
      const { uid: owner, mode } = found;
      if (!found.isDirectory()) {
        throw new FtError('ENOTDIR', `${this.path} is not a directory`, 'Choose another directory with --dir');
      }
      if (process.getuid !== undefined && owner !== process.getuid()) {
        throw new FtError(
          'EACCES',
          `The group's directory ${this.path} belongs to user ${owner}`,
          'Choose another directory with --dir',
        );
      }
      // Whoever may write here could hand us a log of his own.
      if ((mode & 0o022) !== 0) {
        throw new FtError(
          'EACCES',
          `Others may write to the group's directory ${this.path}`,
          `chmod 700 ${this.path}, or choose another directory with --dir`,
        );
      }
    } catch (error) {
      if (error instanceof FtError) throw error;
      throw new FtError(
        errorCode(error) ?? 'EACCES',
        `The group's directory ${this.path} cannot be made (${errorCode(error) ?? String(error)})`,
        'Choose another directory with --dir',
      );
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Tries to become the primary. */
  lockPrimary(): boolean {
    if (this.#primaryLock < 0) this.#primaryLock = this.native.lockFile(this.file('primary.lock'));
    return this.#primaryLock >= 0;
  }

  /** Tries to become the one backup that follows the log. */
  lockBackup(): boolean {
    if (this.#backupLock < 0) this.#backupLock = this.native.lockFile(this.file('backup.lock'));
    return this.#backupLock >= 0;
  }

  /** The place of the backup is free again. */
  unlockBackup(): void {
    if (this.#backupLock >= 0) this.native.closeFd(this.#backupLock);
    this.#backupLock = -1;
  }

  /** Creates a fresh log file, invisible to others until `publishRing`. */
  createRing(bytes: number): ArrayBuffer {
    return this.#create('log.new', bytes);
  }

  /** A new file with its memory reserved. Throws FtError ENOSPC when there is no room, and leaves nothing behind. */
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

  /** Memory that this process receives frames into; its backup finds there what was read and not looked at. */
  createSlab(pid: number, bytes: number): ArrayBuffer {
    return this.#create(`frames.${pid}`, bytes);
  }

  /** Another process's memory of this kind, or null when there is none. */
  mapSlab(pid: number, bytes: number): ArrayBuffer | null {
    try {
      return this.native.shmMap(this.file(`frames.${pid}`), bytes, false);
    } catch {
      return null;
    }
  }

  removeSlab(pid: number): void {
    rmSync(this.file(`frames.${pid}`), { force: true });
  }

  writeSnapshot(snapshot: StartSnapshot): void {
    writeFileSync(this.file('start.new'), JSON.stringify(snapshot), { mode: 0o600 });
    renameSync(this.file('start.new'), this.file('start.json'));
  }

  /** The primary's snapshot, or null while there is none. */
  readSnapshot(): StartSnapshot | null {
    try {
      return JSON.parse(readFileSync(this.file('start.json'), 'utf8')) as StartSnapshot;
    } catch {
      return null;
    }
  }

  /** What an earlier, dead group left behind. */
  clearOld(): void {
    const frames = readdirSync(this.path).filter((name) => name.startsWith('frames.'));
    for (const name of ['start.json', 'log', 'log.new', ...frames]) rmSync(this.file(name), { force: true });
  }

  /** Status sockets of the replicas that are (or were) here. */
  sockets(): string[] {
    try {
      return readdirSync(this.path)
        .filter((name) => name.endsWith('.sock'))
        .map((name) => this.file(name));
    } catch {
      return [];
    }
  }
}

/** With its parents, private. (Node's recursive mkdir never returns where a parent cannot be made, as in /proc.) */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another replica may have made it meanwhile.
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/** SHA-256 of a program's main file, to refuse a backup that runs another program. */
export function programDigest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
