/** Reversible replacement of properties of Node's modules and globals. */
import { syncBuiltinESMExports } from 'node:module';

interface Saved {
  target: object;
  key: PropertyKey;
  before: PropertyDescriptor | undefined;
}

/** Replaces properties, and can restore all of them. */
export class Patcher {
  readonly #saved: Saved[] = [];

  /** Replaces (or adds) a property by a plain value, keeping its enumerability. */
  value(target: object, key: PropertyKey, value: unknown): void {
    const before = Object.getOwnPropertyDescriptor(target, key);
    this.#saved.push({ target, key, before });
    Object.defineProperty(target, key, {
      value,
      writable: true,
      configurable: true,
      enumerable: before?.enumerable ?? false,
    });
  }

  /** Replaces (or adds) a property by a getter. */
  getter(target: object, key: PropertyKey, get: () => unknown): void {
    const before = Object.getOwnPropertyDescriptor(target, key);
    this.#saved.push({ target, key, before });
    Object.defineProperty(target, key, { get, configurable: true, enumerable: before?.enumerable ?? false });
  }

  /**
   * Replaces a function by one that has the same name, length and own properties (util.promisify's
   * among them). Does nothing where there is no such function.
   */
  method(target: object, key: PropertyKey, make: (original: (...args: unknown[]) => unknown) => unknown): void {
    const original = Reflect.get(target, key) as (...args: unknown[]) => unknown;
    if (typeof original !== 'function') return;
    const wrapper = make(original) as object;
    for (const name of Reflect.ownKeys(original)) {
      const own = Object.getOwnPropertyDescriptor(original, name);
      const there = Object.getOwnPropertyDescriptor(wrapper, name);
      if (own === undefined) continue;
      if (there === undefined || (there.configurable && (name === 'name' || name === 'length'))) {
        Object.defineProperty(wrapper, name, own);
      }
    }
    this.value(target, key, wrapper);
  }

  /** Makes named ES imports of built-in modules see the replacements. */
  publish(): void {
    syncBuiltinESMExports();
  }

  /** Restores everything, the last replacement first. */
  restore(): void {
    for (let saved = this.#saved.pop(); saved !== undefined; saved = this.#saved.pop()) {
      if (saved.before === undefined) Reflect.deleteProperty(saved.target, saved.key);
      else Object.defineProperty(saved.target, saved.key, saved.before);
    }
    syncBuiltinESMExports();
  }
}
