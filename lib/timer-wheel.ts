/**
 * A hierarchical timing wheel: schedule and cancel in O(1) without allocation, on a clock that is
 * handed in. One tick is a millisecond; a timer never fires early and at most a tick late. Four
 * levels of 256 slots reach 49 days; what lies beyond waits in the last slot and is scheduled
 * again.
 */
const TICK_US = 1000;
const BITS = 8;
const SLOTS = 1 << BITS;
const LEVELS = 4;
const REACH = 2 ** (BITS * LEVELS) - 1;
/** Ticks that a slot of each level covers. */
const SPANS = Array.from({ length: LEVELS + 1 }, (_, level) => 2 ** (BITS * level));

/** A timer; scheduled on one wheel at a time, and reused. */
export class TimerNode {
  /** Microseconds; meaningful while active. */
  deadline = Number.POSITIVE_INFINITY;
  /** Links of the slot's list; null when not active. */
  next: TimerNode | null = null;
  prev: TimerNode | null = null;
  level = -1;
  slot = 0;

  /**
   * @param fire called as a method of the node
   * @param owner for a `fire` that many nodes share: a function of its own for each costs more than
   * the node
   */
  constructor(
    readonly fire: (this: TimerNode, nowUs: number) => void,
    readonly owner: unknown = null,
  ) {}

  get active(): boolean {
    return this.level >= 0;
  }
}

/** Timers by deadline, in microseconds of the caller's clock. */
export class TimerWheel {
  /** Timers that wait. */
  size = 0;
  #tick: number;
  readonly #heads: (TimerNode | null)[][] = [];
  readonly #counts = new Int32Array(LEVELS);

  constructor(startUs: number) {
    this.#tick = Math.floor(startUs / TICK_US);
    for (let i = 0; i < LEVELS; i++) this.#heads.push(new Array<TimerNode | null>(SLOTS).fill(null));
  }

  /**
   * Sets the timer, moving it if it waits already. A deadline in the past fires at the next
   * advance.
   */
  schedule(node: TimerNode, deadlineUs: number): void {
    if (node.level >= 0) this.cancel(node);
    node.deadline = deadlineUs;
    this.#insert(node, Math.ceil(deadlineUs / TICK_US));
  }

  cancel(node: TimerNode): void {
    if (node.level < 0) return;
    if (node.prev !== null) node.prev.next = node.next;
    else this.#heads[node.level][node.slot] = node.next;
    if (node.next !== null) node.next.prev = node.prev;
    this.#counts[node.level]--;
    node.next = null;
    node.prev = null;
    node.level = -1;
    this.size--;
  }

  /**
   * Fires the timers that are due, tick by tick. Callbacks may schedule and cancel any timer, their
   * own included.
   */
  advance(nowUs: number): void {
    const target = Math.floor(nowUs / TICK_US);
    while (this.#tick < target) {
      if (this.size === 0) {
        this.#tick = target;
        return;
      }
      this.#skipEmpty(target);
      if (this.#tick >= target) return;
      this.#tick++;
      if ((this.#tick & (SLOTS - 1)) === 0) this.#cascade(1);
      this.#run(this.#heads[0], this.#tick & (SLOTS - 1), nowUs);
    }
  }

  /**
   * When `advance` is next needed, in microseconds; never late, early by less than a slot of the
   * timer's level.
   */
  nextDeadline(): number {
    if (this.size === 0) return Number.POSITIVE_INFINITY;
    for (let level = 0; level < LEVELS; level++) {
      if (this.#counts[level] === 0) continue;
      const span = SPANS[level];
      const now = Math.floor(this.#tick / span);
      for (let i = level === 0 ? 1 : 0; i <= SLOTS; i++) {
        if (this.#heads[level][(now + i) & (SLOTS - 1)] === null) continue;
        // A higher level's timers come down when their slot begins; lower levels have none sooner.
        const at = Math.max((now + i) * span, this.#tick + 1);
        return Math.min(at, this.#boundary(level)) * TICK_US;
      }
    }
    return (this.#tick + 1) * TICK_US;
  }

  /** The next tick at which a level above could bring timers down sooner than the ones found. */
  #boundary(level: number): number {
    for (let above = level + 1; above < LEVELS; above++) {
      if (this.#counts[above] > 0) return (Math.floor(this.#tick / SPANS[level + 1]) + 1) * SPANS[level + 1];
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Jumps over ticks at which nothing can happen. */
  #skipEmpty(target: number): void {
    if (this.#counts[0] !== 0) return;
    // Level 0 is empty until the next cascade.
    const before = (Math.floor(this.#tick / SLOTS) + 1) * SLOTS - 1;
    if (before > this.#tick) this.#tick = Math.min(before, target);
  }

  #insert(node: TimerNode, tick: number): void {
    if (tick <= this.#tick) tick = this.#tick + 1;
    let delta = tick - this.#tick;
    if (delta > REACH) {
      delta = REACH;
      tick = this.#tick + REACH;
    }
    let level = 0;
    while (level < LEVELS - 1 && delta >= SPANS[level + 1]) level++;
    const slot = Math.floor(tick / SPANS[level]) & (SLOTS - 1);
    const heads = this.#heads[level];
    const head = heads[slot];
    node.level = level;
    node.slot = slot;
    node.prev = null;
    node.next = head;
    if (head !== null) head.prev = node;
    heads[slot] = node;
    this.#counts[level]++;
    this.size++;
  }

  #cascade(level: number): void {
    if (level >= LEVELS) return;
    const slot = Math.floor(this.#tick / SPANS[level]) & (SLOTS - 1);
    if (slot === 0) this.#cascade(level + 1);
    const heads = this.#heads[level];
    let node = heads[slot] ?? null;
    heads[slot] = null;
    while (node !== null) {
      const next: TimerNode | null = node.next;
      this.#counts[level]--;
      this.size--;
      node.level = -1;
      const tick = Math.ceil(node.deadline / TICK_US);
      // A timer due at this very tick goes to the slot that is run next.
      if (tick <= this.#tick) this.#place(node, this.#tick & (SLOTS - 1));
      else this.#insert(node, tick);
      node = next;
    }
  }

  #place(node: TimerNode, slot: number): void {
    const heads = this.#heads[0];
    const head = heads[slot];
    node.level = 0;
    node.slot = slot;
    node.prev = null;
    node.next = head;
    if (head !== null) head.prev = node;
    heads[slot] = node;
    this.#counts[0]++;
    this.size++;
  }

  #run(heads: (TimerNode | null)[], slot: number, nowUs: number): void {
    for (let node = heads[slot] ?? null; node !== null; node = heads[slot] ?? null) {
      this.cancel(node);
      if (Math.ceil(node.deadline / TICK_US) > this.#tick) this.#insert(node, Math.ceil(node.deadline / TICK_US));
      else node.fire(nowUs);
    }
  }
}
