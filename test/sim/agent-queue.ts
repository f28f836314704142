/** What happens when, on several machines, in virtual time: in order, one thing after the other. */
export class Queue {
  nowUs = 0;
  #items: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

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

  #push(item: { at: number; order: number; run: () => void }): void {
    const items = this.#items;
    let i = items.length;
    items.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!before(item, items[up]!)) break;
      items[i] = items[up]!;
      i = up;
    }
    items[i] = item;
  }

  #pop(): void {
    const items = this.#items;
    const last = items.pop()!;
    if (items.length === 0) return;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= items.length) break;
      if (down + 1 < items.length && before(items[down + 1]!, items[down]!)) down++;
      if (!before(items[down]!, last)) break;
      items[i] = items[down]!;
      i = down;
    }
    items[i] = last;
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
