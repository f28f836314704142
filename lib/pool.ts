/** A pool of objects: a few serve thousands of users that need one for a short time. Bounded. */
export class Pool<T> {
  readonly #free: T[] = [];

  constructor(
    /** Objects kept; further ones are left to the garbage collector. */
    readonly max: number,
    readonly make: () => T,
  ) {}

  /** An object from the pool, or a new one. */
  take(): T {
    return this.#free.pop() ?? this.make();
  }

  /** Returns an object that is no longer in use. */
  give(one: T): void {
    if (this.#free.length < this.max) this.#free.push(one);
  }
}
