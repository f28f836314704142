/**
 * A directory that no other user can fill, rename away or replace. Locks, logs and sockets in it
 * are believed, so its path is opened component by component: each one belongs to root or to this
 * user, others may not rename what is in it, and none is another user's symbolic link. From then on
 * the directory is used by its descriptor: what becomes of its path has no effect.
 */
import type { Stats } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';
import {
  closeSync,
  constants,
  fstatSync,
  geteuid,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
} from '../../lib/own-node.js';

/** O_PATH of Linux, which Node does not name: a descriptor needs no permission to read. */
const O_PATH = 0o10000000;
const OPEN_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const WRITABLE_BY_OTHERS = 0o022;
/** In such a directory only the owner of an entry can rename or remove it. */
const STICKY = 0o1000;
/** As many as Linux follows in one path. */
const MAX_LINKS = 40;

/** What an error says. */
export interface DirectoryUse {
  /** What the directory is: "The group's directory". */
  what: string;
  /** How to choose another one. */
  hint: string;
  /** False: a directory that is missing is not created. Default true. */
  create?: boolean;
}

/** A private directory, open until `close`. */
export class PrivateDirectory {
  /** As it was asked for; for messages. */
  readonly path: string;
  #fd: number;

  /**
   * Opens the directory; creates it and its parents with mode 0700 where they are missing. Throws
   * FtError: EACCES when others could change it, or with the code of a call that failed (ENOENT: it
   * is missing, and not to be created).
   */
  constructor(
    path: string,
    readonly use: DirectoryUse,
  ) {
    this.path = path;
    try {
      this.#fd = this.#open(resolve(path));
    } catch (error) {
      if (error instanceof FtError) throw error;
      const code = errorCode(error);
      throw new FtError(code ?? 'EACCES', `${use.what} ${path} cannot be used (${code ?? String(error)})`, use.hint);
    }
  }

  /** @returns the path of an entry, by the directory's descriptor. It is valid in this process. */
  file(name: string): string {
    return entry(this.#fd, name);
  }

  /** Whether the path still leads to this directory. */
  get isInPlace(): boolean {
    try {
      const [own, found] = [fstatSync(this.#fd), statSync(this.path)];
      return own.ino === found.ino && own.dev === found.dev;
    } catch {
      return false;
    }
  }

  /** Closes the descriptor: paths that were made before are of no use. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    // Another descriptor may get its number.
    this.#fd = -1;
  }

  #open(path: string): number {
    let fd = openSync('/', OPEN_FLAGS);
    try {
      const names = path.split('/').filter((name) => name !== '');
      let shown = '/';
      this.#checkParent(fstatSync(fd), shown);
      for (let links = 0; ; ) {
        const name = names.shift();
        if (name === undefined) break;
        const next = openOrCreate(entry(fd, name), this.use.create ?? true);
        shown = join(shown, name);
        if (next === null) {
          if (++links > MAX_LINKS) throw this.#error('EACCES', `has too many symbolic links`);
          const target = this.#followLink(entry(fd, name), shown);
          names.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
          if (target.startsWith('/')) {
            closeSync(fd);
            fd = openSync('/', OPEN_FLAGS);
            shown = '/';
          } else shown = resolve(shown, '..');
          continue;
        }
        closeSync(fd);
        fd = next;
        if (names.length > 0) this.#checkParent(fstatSync(fd), shown);
      }
      this.#checkOwn(fstatSync(fd));
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Only root's links are followed, e.g. /var/run. Their targets are checked like any path. */
  #followLink(path: string, shown: string): string {
    const found = lstatSync(path);
    if (!found.isSymbolicLink()) throw this.#error('ENOTDIR', `cannot be used: ${shown} is not a directory`);
    if (found.uid !== 0)
      throw this.#error('EACCES', `cannot be used: ${shown} is a symbolic link of user ${found.uid}`);
    return readlinkSync(path);
  }

  /** Who can rename a component of the path can put another directory in its place. */
  #checkParent({ uid, mode }: Stats, shown: string): void {
    if (!isTrusted(uid))
      throw this.#error('EACCES', `cannot be used: ${shown} belongs to user ${uid}, who could replace it`);
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0)
      throw this.#error('EACCES', `cannot be used: others may write to ${shown}, and could replace it`);
  }

  #checkOwn({ uid, mode }: Stats): void {
    if (uid !== geteuid?.()) throw this.#error('EACCES', `belongs to user ${uid}`);
    if ((mode & WRITABLE_BY_OTHERS) === 0) return;
    const { what, hint } = this.use;
    throw new FtError('EACCES', `${what} ${this.path} can be written to by others`, `chmod 700 ${this.path}. ${hint}`);
  }

  #error(code: string, problem: string): FtError {
    const { what, hint } = this.use;
    return new FtError(code, `${what} ${this.path} ${problem}`, hint);
  }
}

/**
 * The kernel goes on from the descriptor. ".." must reach it, so that nothing may be normalized.
 */
function entry(fd: number, name: string): string {
  return `/proc/self/fd/${fd}/${name}`;
}

/** @returns null for an entry that is not a directory, e.g. a symbolic link */
function openOrCreate(path: string, create: boolean): number | null {
  for (let attempt = 0; ; attempt++) {
    try {
      return openSync(path, OPEN_FLAGS);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOTDIR' || code === 'ELOOP') return null;
      if (code !== 'ENOENT' || attempt > 0 || !create) throw error;
    }
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      // Another process may have made it meanwhile.
      if (errorCode(error) !== 'EEXIST') throw error;
    }
  }
}

/** Root and this user may change the path. */
function isTrusted(uid: number): boolean {
  return uid === 0 || uid === geteuid?.() || (uid === overflowUid && isInUserNamespace());
}

/** What the kernel shows for users of the outside in a user namespace, the real root among them. */
const overflowUid = 65_534;

function isInUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch {
    return false;
  }
}
