/** A group's directory on a simulated machine. */

import type { GroupPlace } from '../../failover/host/group-directory.js';
import type { NativeHandle } from '../../lib/native/native.js';
import type { Machine } from './machine.js';
import type { Process } from './process.js';

/** A group on a machine, as one process sees it. */
export class SimGroup implements GroupPlace {
  primaryLock = -1;
  #backupLock = -1;

  constructor(
    readonly machine: Machine,
    readonly process: Process,
  ) {}

  file(name: string): string {
    return `group/${name}`;
  }

  lockPrimary(): boolean {
    if (this.primaryLock < 0) this.primaryLock = this.process.environment.native.lockFile(this.file('primary.lock'));
    return this.primaryLock >= 0;
  }

  isPrimaryLock(fd: number): boolean {
    return this.process.environment.native.lockAgain(fd, this.file('primary.lock'));
  }

  inheritPrimary(fd: number): boolean {
    if (!this.isPrimaryLock(fd)) return false;
    this.primaryLock = fd;
    return true;
  }

  lockBackup(): boolean {
    if (this.#backupLock < 0) this.#backupLock = this.process.environment.native.lockFile(this.file('backup.lock'));
    return this.#backupLock >= 0;
  }

  unlockBackup(): void {
    if (this.#backupLock >= 0) this.process.environment.native.closeFd(this.#backupLock);
    this.#backupLock = -1;
  }

  createSlab(pid: number, bytes: number): ArrayBuffer {
    const buffer = new ArrayBuffer(bytes);
    this.machine.memory.set(this.file(`frames.${pid}`), buffer);
    return buffer;
  }

  mapSlab(pid: number): ArrayBuffer | null {
    return this.machine.memory.get(this.file(`frames.${pid}`)) ?? null;
  }

  createThreads(pid: number): NativeHandle {
    return this.process.environment.native.threadsCreate(this.file(`threads.${pid}`));
  }

  openThreads(pid: number): NativeHandle | null {
    const path = this.file(`threads.${pid}`);
    return this.machine.threads.has(path) ? this.process.environment.native.threadsOpen(path, pid) : null;
  }

  removeMemory(pid: number): void {
    this.machine.memory.delete(this.file(`frames.${pid}`));
    this.machine.threads.delete(this.file(`threads.${pid}`));
  }

  createOutputs(_pid: number, bytes: number): ArrayBuffer {
    return new ArrayBuffer(bytes);
  }

  mapOutputs(): ArrayBuffer | null {
    return null;
  }
}
