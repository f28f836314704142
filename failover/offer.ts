/**
 * What a program offers to know when a replica is started in the middle of its life (replay mode): `process.on('checkpoint',
 * (save) => save(name, value))` on the primary, `process.on('restore', (saved) => saved(name))` on the one that joins.
 */
import { deserialize, serialize } from 'node:v8';

type Emitter = { emit(name: string, ...args: unknown[]): boolean; listenerCount(name: string): number };
const program = process as unknown as Emitter;

/**
 * Asks the program. Null when it offers nothing. Throws what the program throws, and for values that cannot be copied.
 */
export function askProgram(): Uint8Array | null {
  if (program.listenerCount('checkpoint') === 0) return null;
  const values = new Map<string, unknown>();
  program.emit('checkpoint', (name: unknown, value: unknown) => {
    if (typeof name !== 'string') throw new TypeError('save(name, value): the name is a string');
    values.set(name, value);
  });
  return serialize(values);
}

/** Tells the program; for a name that was not saved it gets undefined. */
export function tellProgram(bytes: Uint8Array): void {
  const values = deserialize(bytes) as Map<string, unknown>;
  program.emit('restore', (name: string) => values.get(name));
}
