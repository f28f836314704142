/** Objects that are used again: a few serve thousands of users who need one now and then. Bounded. */
export class Pool<T> {
  readonly #free: T[] = [];

  constructor(
    /** Kept at most; what is given back beyond that is left to the garbage collector. */
    readonly most: number,
    readonly make: () => T,
  ) {}

  take(): T {
    return this.#free.pop() ?? this.make();
  }

  /** Nobody uses it any more. */
  give(one: T): void {
    if (this.#free.length < this.most) this.#free.push(one);
  }
}
