/**
 * First in, first out, in a ring that is used again: a queue that is emptied a thousand times a
 * second makes no garbage.
 */

/** Slots at first, and after a long queue has been emptied. */
const LEAST = 16;
const KEPT = 4096;

/** A queue without holes: `shift` costs no copy of the rest. */
export class Fifo<T> {
  #items: (T | undefined)[] = new Array(LEAST).fill(undefined);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size++) & (this.#items.length - 1)] = item;
  }

  /** The one that came first, still in its place. */
  first(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the one out that came first. */
  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.#size === 0) return undefined;
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    if (--this.#size === 0 && this.#items.length > KEPT) this.clear();
    return item;
  }

  clear(): void {
    this.#items = new Array(LEAST).fill(undefined);
    this.#head = this.#size = 0;
  }

  #grow(): void {
    const old = this.#items;
    const items: (T | undefined)[] = new Array(2 * old.length).fill(undefined);
    for (let i = 0; i < old.length; i++) items[i] = old[(this.#head + i) & (old.length - 1)];
    this.#items = items;
    this.#head = 0;
  }
}
