/**
 * A binary heap of timers by due time, then age. A timer's due time may move on, and a timer may be
 * disarmed, while it is in the heap: it is moved or removed when it comes to the top.
 */

/** Disarmed timers in the heap before it is compacted. */
const MAX_DEAD = 64;

/** A timer, as the heap sees it. Times are in microseconds. */
export interface HeapTimer {
  /** Grows with age. */
  readonly id: number;
  /** When it is due. */
  due: number;
  /** The due time that the heap is ordered by; `due` may be later. */
  heapDue: number;
  inHeap: boolean;
  armed: boolean;
}

function before(a: HeapTimer, b: HeapTimer): boolean {
  return a.heapDue < b.heapDue || (a.heapDue === b.heapDue && a.id < b.id);
}

/** Timers, the earliest first. */
export class TimerHeap<T extends HeapTimer = HeapTimer> {
  #items: T[] = [];
  #dead = 0;

  /** Adds a timer that is not in the heap. */
  push(timer: T): void {
    timer.heapDue = timer.due;
    timer.inHeap = true;
    this.#items.push(timer);
    this.#up(this.#items.length - 1);
  }

  /** A timer in the heap was disarmed. */
  dropped(): void {
    this.#dead++;
    if (this.#dead > MAX_DEAD && this.#dead * 2 > this.#items.length) this.#compact();
  }

  /** The timer that is due first. */
  first(): T | undefined {
    for (;;) {
      const top = this.#items[0];
      if (top === undefined) return undefined;
      if (!top.armed) {
        this.pop();
        if (this.#dead > 0) this.#dead--;
      } else if (top.due > top.heapDue) {
        top.heapDue = top.due;
        this.#down(0);
      } else return top;
    }
  }

  /** Removes the top. */
  pop(): T | undefined {
    const top = this.#items[0];
    const last = this.#items.pop();
    if (top === undefined || last === undefined) return undefined;
    top.inHeap = false;
    if (top !== last) {
      this.#items[0] = last;
      this.#down(0);
    }
    return top;
  }

  #compact(): void {
    const kept: T[] = [];
    for (const timer of this.#items) {
      if (timer.armed) kept.push(timer);
      else timer.inHeap = false;
    }
    this.#items = kept;
    this.#dead = 0;
    for (let i = (kept.length >> 1) - 1; i >= 0; i--) this.#down(i);
  }

  #up(at: number): void {
    const items = this.#items;
    const timer = items[at];
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(timer, items[parent])) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = timer;
  }

  #down(at: number): void {
    const items = this.#items;
    const timer = items[at];
    for (;;) {
      let child = at * 2 + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1], items[child])) child++;
      if (!before(items[child], timer)) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = timer;
  }
}
