/** An event queue in virtual time: a binary heap, in the order of time and then of insertion. */

interface Item {
  /** Microseconds. */
  at: number;
  order: number;
  run: () => void;
}

/** The events of all machines. */
export class Queue {
  nowUs = 0;
  readonly #items: Item[] = [];
  #order = 0;

  /** Runs `run` after a time in microseconds. */
  in(us: number, run: () => void): void {
    this.#push({ at: this.nowUs + us, order: this.#order++, run });
  }

  /** Runs the next event. @returns false when there is none before `end`. */
  next(end: number): boolean {
    const first = this.#items[0];
    if (first === undefined || first.at > end) return false;
    this.#pop();
    this.nowUs = first.at;
    first.run();
    return true;
  }

  #push(item: Item): void {
    const items = this.#items;
    let i = items.length;
    items.push(item);
    for (let up = (i - 1) >> 1; i > 0; up = (i - 1) >> 1) {
      const parent = items[up];
      if (parent === undefined || !before(item, parent)) break;
      items[i] = parent;
      i = up;
    }
    items[i] = item;
  }

  #pop(): void {
    const items = this.#items;
    const last = items.pop();
    if (last === undefined || items.length === 0) return;
    let i = 0;
    for (;;) {
      const left = items[2 * i + 1];
      const right = items[2 * i + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && before(right, left);
      const child = isRight ? right : left;
      if (!before(child, last)) break;
      items[i] = child;
      i = 2 * i + (isRight ? 2 : 1);
    }
    items[i] = last;
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
