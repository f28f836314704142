/** A group's directory on a simulated machine. */

import type { GroupPlace } from '../../failover/host/group-directory.js';
import type { Machine, Process } from './machine.js';

/** A group on a machine, as one process sees it. */
export class SimGroup implements GroupPlace {
  constructor(
    readonly machine: Machine,
    readonly process: Process,
  ) {}

  file(name: string): string {
    return `group/${name}`;
  }

  lockPrimary(): boolean {
    return this.machine.tryLock('primary', this.process.pid);
  }

  lockBackup(): boolean {
    return this.machine.tryLock('backup', this.process.pid);
  }

  unlockBackup(): void {
    if (this.machine.locks.get('backup') === this.process.pid) this.machine.locks.delete('backup');
  }

  createSlab(pid: number, bytes: number): ArrayBuffer {
    const buffer = new ArrayBuffer(bytes);
    this.machine.memory.set(this.file(`frames.${pid}`), buffer);
    return buffer;
  }

  mapSlab(pid: number): ArrayBuffer | null {
    return this.machine.memory.get(this.file(`frames.${pid}`)) ?? null;
  }

  removeSlab(pid: number): void {
    this.machine.memory.delete(this.file(`frames.${pid}`));
  }
}
