/** Two FIFOs in the group's directory by which primary and backup wake each other; a byte means "look at the log". */
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { GroupPlace } from './group-directory.js';

export class Doorbells {
  #own: NativeHandle | null = null;
  #other = -1;

  constructor(
    readonly native: NativeAddon,
    readonly group: GroupPlace,
    readonly onRing: () => void,
  ) {}

  /** Listens to the bell of a role, and rings that of the other from now on. */
  open(role: 'primary' | 'backup'): void {
    this.close();
    const fd = this.native.fifoOpen(this.group.file(`bell-${role}`));
    this.#own = this.native.watchOpen(fd, true, this.onRing);
    this.native.watchRef(this.#own, false);
    this.#other = this.native.fifoOpen(this.group.file(role === 'primary' ? 'bell-backup' : 'bell-primary'));
  }

  /** Wakes the other side. */
  ring(): void {
    if (this.#other >= 0) this.native.fifoRing(this.#other);
  }

  close(): void {
    if (this.#own !== null) this.native.watchClose(this.#own, true);
    if (this.#other >= 0) this.native.closeFd(this.#other);
    this.#own = null;
    this.#other = -1;
  }
}
