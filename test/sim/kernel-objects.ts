/** Objects of the simulated kernel. */

import type { NativeHandle } from '../../lib/native/native.js';
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

/** A locked file; `owners` counts the descriptors of the open file that has the lock. */
export interface Lock {
  owners: number;
}

/** What a descriptor names. */
export type Descriptor = { queue: Queue } | { pid: number } | { fifo: Fifo } | { lock: Lock };

/** What has owners if several descriptors can name it. */
export function shared(descriptor: Descriptor | undefined): Queue | Lock | undefined {
  if (descriptor === undefined) return undefined;
  if ('queue' in descriptor) return descriptor.queue;
  return 'lock' in descriptor ? descriptor.lock : undefined;
}

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

/** An object, as the addon's callers see it. */
export function handle(value: object): NativeHandle {
  return value as NativeHandle;
}

/** Removes an entry from a list, if it is there. */
export function remove<T>(list: T[], entry: unknown): void {
  const at = list.indexOf(entry as T);
  if (at >= 0) list.splice(at, 1);
}
