/** Objects of the simulated kernel. */

import type { Wanted } from './direct.js';

/** A queue of the TAP device. */
export interface Queue {
  frames: Uint8Array[];
  attached: boolean;
  owners: number;
}

/** A FIFO with bytes in it. */
export interface Fifo {
  bytes: number;
}

/** What a descriptor names. */
export type Descriptor = { queue: Queue } | { pid: number } | { fifo: Fifo };

/** Reads frames from a queue into a process's memory. */
export interface Reader {
  queue: Queue;
  slab: Uint8Array;
  slotSize: number;
  slots: number;
  meta: Int32Array;
  onBatch: (count: number) => boolean;
  lent: boolean;
  running: boolean;
  wanted: Wanted | null;
}

/** Waits for a descriptor. */
export interface Watch {
  ready: () => boolean;
  drain: () => void;
  fire: () => void;
  /** A dead process is told once. */
  once: boolean;
  told: boolean;
}
