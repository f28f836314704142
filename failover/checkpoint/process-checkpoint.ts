/**
 * What the program saves of itself, beside its connections: `process.checkpoint(name, value)`. Who goes on without having repeated
 * everything (state mode, or a replica that joined in the middle) is given the last values: `process.on('restore', …)`.
 */
import { deserialize, serialize } from 'node:v8';
import { FtError } from '../../lib/errors.js';

/** Bytes of a value, characters of a name, and names at most. */
const MOST_BYTES = 65_536;
const MOST_NAME = 256;
const MOST_NAMES = 256;

export class ProcessCheckpoint {
  readonly #values = new Map<string, Uint8Array>();
  /** Some of it was said by another replica, whose program did what ours has not. */
  foreign = false;
  /** Events of the past are repeated: what they save has been overwritten since. */
  past: () => boolean = () => false;
  /** Told of each value that this program saves. */
  onSave: (name: string, bytes: Uint8Array) => void = () => undefined;
  /** Tells the program. */
  onRestore: (saved: (name: string) => unknown) => void = () => undefined;

  get size(): number {
    return this.#values.size;
  }

  /** @throws FtError ERR_FT_CONTEXT for a name or a value that is too long, or one name too many */
  save(name: string, value: unknown): void {
    const bytes = serialize(value);
    const fault =
      typeof name !== 'string' || name.length > MOST_NAME
        ? `The name of a saved value has at most ${MOST_NAME} characters`
        : bytes.length > MOST_BYTES
          ? `The saved value ${name} has ${bytes.length} bytes, ${MOST_BYTES} are the most`
          : !this.#values.has(name) && this.#values.size >= MOST_NAMES
            ? `There are ${MOST_NAMES} saved values already`
            : null;
    if (fault !== null) throw new FtError('ERR_FT_CONTEXT', fault, 'Save less, and keep the rest elsewhere');
    if (this.past()) return;
    this.#values.set(name, bytes);
    this.onSave(name, bytes);
  }

  /** Another replica's program has saved it. */
  take(name: string, bytes: Uint8Array): void {
    this.foreign = true;
    this.#values.set(name, bytes);
  }

  restore(): void {
    this.foreign = false;
    this.onRestore((name) => {
      const bytes = this.#values.get(name);
      return bytes === undefined ? undefined : deserialize(bytes);
    });
  }

  forEach(fn: (name: string, bytes: Uint8Array) => void): void {
    for (const [name, bytes] of this.#values) fn(name, bytes);
  }
}
