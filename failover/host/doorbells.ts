/**
 * Two FIFOs in the group's directory. Primary and backup wake each other with a byte: "look at the
 * log".
 */
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { GroupPlace } from './group-directory.js';

/** One side's pair of doorbells: its own, and that of the other side. */
export class Doorbells {
  #own: NativeHandle | null = null;
  #other = -1;

  constructor(
    readonly native: NativeAddon,
    readonly group: GroupPlace,
    /** The other side has rung. */
    readonly onRing: () => void,
  ) {}

  /** Listens to the bell of a role, and rings that of the other role from now on. */
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
