/**
 * Values that the program saves of itself, beside its connections: `process.checkpoint(name,
 * value)`. A program that has not run all events itself (state mode, or a replica that joined late)
 * is given the last values of the other one: `process.on('restore', …)`.
 */
import { deserialize, serialize } from 'node:v8';
import { FtError } from '../../../lib/errors.js';

const MAX_VALUE_BYTES = 65_536;
const MAX_NAME_LENGTH = 256;
const MAX_NAMES = 256;

/** The saved values by name. */
export class ProcessCheckpoint {
  readonly #values = new Map<string, Uint8Array>();
  /**
   * Another replica's program saved some of the values, in events that this program has not run.
   */
  hasForeignValues = false;
  /**
   * What is saved now does not count. Events of a history are replayed, whose values have been
   * overwritten since, or the program stands by, and the primary's saves.
   */
  isHistorical: () => boolean = () => false;
  /** Called for each value that this program saves. */
  onSave: (name: string, bytes: Uint8Array) => void = () => undefined;
  /** Gives the program a function that looks a saved value up. */
  onRestore: (saved: (name: string) => unknown) => void = () => undefined;
  /** Tells the program of a warm standby, after that, that it serves. */
  onTakeover: () => void = () => undefined;

  get size(): number {
    return this.#values.size;
  }

  /**
   * Saves a value that `structuredClone` takes, 64 KiB at most.
   *
   * Throws FtError ERR_FT_CONTEXT for a name or a value that is too long, or for one name too many.
   */
  save(name: string, value: unknown): void {
    const bytes = serialize(value);
    const fault = this.#fault(name, bytes);
    if (fault !== null) throw new FtError('ERR_FT_CONTEXT', fault, 'Save less, and keep the rest elsewhere');
    if (this.isHistorical()) return;
    this.#values.set(name, bytes);
    this.onSave(name, bytes);
  }

  #fault(name: unknown, bytes: Uint8Array): string | null {
    if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH)
      return `The name of a saved value has at most ${MAX_NAME_LENGTH} characters`;
    if (bytes.length > MAX_VALUE_BYTES)
      return `The saved value ${name} has ${bytes.length} bytes; at most ${MAX_VALUE_BYTES} are allowed`;
    if (!this.#values.has(name) && this.#values.size >= MAX_NAMES) return `There are ${MAX_NAMES} saved values already`;
    return null;
  }

  /** Takes a value over that another replica's program saved. */
  adopt(name: string, bytes: Uint8Array): void {
    this.hasForeignValues = true;
    this.#values.set(name, bytes);
  }

  /** Gives the program all values, if there are some. */
  restore(): void {
    this.hasForeignValues = false;
    if (this.#values.size > 0) {
      this.onRestore((name) => {
        const bytes = this.#values.get(name);
        return bytes === undefined ? undefined : deserialize(bytes);
      });
    }
    this.onTakeover();
  }

  forEach(fn: (name: string, bytes: Uint8Array) => void): void {
    for (const [name, bytes] of this.#values) fn(name, bytes);
  }
}
