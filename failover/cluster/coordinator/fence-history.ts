/**
 * Keeps two nodes from fencing each other without end. When their agents cannot hear each other,
 * each node that comes back finds no other, fences it and starts the group anew. A fence is
 * therefore delayed when the group has not been whole since the one before, and more each time. The
 * first fence after a time with both nodes in sync is never delayed.
 *
 * The history is a file, because a node that was switched off forgets everything else.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Delay of the second fence in a row. Each further one waits four times as long. Milliseconds. */
export const MIN_FENCE_DELAY_MS = 15_000;
/** Longest delay. Milliseconds. */
export const MAX_FENCE_DELAY_MS = 3_600_000;
const GROWTH = 4;
/** The file has two numbers. */
const MAX_FILE_BYTES = 1024;

/** Which fences this node has made. */
export class FenceHistory {
  #count = 0;
  #lastMs = 0;

  constructor(
    readonly path: string,
    /** Wall clock in milliseconds: it has to go on while the machine is off. */
    readonly wallMs: () => number,
  ) {
    this.#read();
  }

  /** Fences since the group was whole. */
  get count(): number {
    return this.#count;
  }

  /** How long the next fence has to wait. Milliseconds; 0: it may be made now. */
  get delayMs(): number {
    if (this.#count === 0) return 0;
    const delay = Math.min(MIN_FENCE_DELAY_MS * GROWTH ** (this.#count - 1), MAX_FENCE_DELAY_MS);
    // A clock that was set back must not delay for longer than that.
    return Math.min(delay, Math.max(0, this.#lastMs + delay - this.wallMs()));
  }

  /** The other node has been fenced. */
  add(): void {
    this.#count++;
    this.#lastMs = this.wallMs();
    this.#write();
  }

  /** Both nodes are in sync. */
  clear(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    this.#lastMs = 0;
    this.#write();
  }

  #read(): void {
    try {
      const text = readFileSync(this.path, 'utf8').slice(0, MAX_FILE_BYTES);
      const { count, lastMs } = JSON.parse(text) as { count?: unknown; lastMs?: unknown };
      if (!Number.isSafeInteger(count) || !Number.isFinite(lastMs)) return;
      this.#count = Math.max(0, Number(count));
      this.#lastMs = Number(lastMs);
    } catch {
      // No fence has been made, or the file was damaged: at worst a fence is made too early.
    }
  }

  #write(): void {
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      const text = JSON.stringify({ count: this.#count, lastMs: Math.round(this.#lastMs) });
      writeFileSync(`${this.path}.new`, text, { mode: 0o600 });
      renameSync(`${this.path}.new`, this.path);
    } catch {
      // The other node is off already: a full disk is no reason not to lead. This process
      // remembers.
    }
  }
}
