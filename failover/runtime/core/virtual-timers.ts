/**
 * Virtual timers and immediates. On the primary they become due by the clock, and each due one is an event; on a backup
 * they only wait for their event in the log.
 */
import { AsyncResource } from 'node:async_hooks';
import { Fifo } from '../../../lib/fifo.js';
import type { SocketTimer, SocketTimers } from '../../../stack/sockets/endpoint.js';
import type { RuntimeEvent } from './events.js';
import { TimerHeap } from './timer-heap.js';

const TIMEOUT_MAX = 2 ** 31 - 1;

/** Node's coercion of a delay, in whole milliseconds. */
export function coerceDelay(delay: unknown): number {
  const ms = Number(delay);
  if (ms > TIMEOUT_MAX) {
    process.emitWarning(
      `${ms} does not fit into a 32-bit signed integer.\nTimeout duration was set to 1.`,
      'TimeoutOverflowWarning',
    );
    return 1;
  }
  return ms >= 1 ? Math.trunc(ms) : 1;
}

/** Where timers get their ids and their time from. */
export interface TimerHost {
  drawId(): number;
  /** Logical time in microseconds. */
  peek(): number;
  /** The independent connection whose event runs, 0 for none. */
  owner(): number;
}

type Callback = (...args: unknown[]) => unknown;

/** What setTimeout and setInterval return; has all that Node's Timeout offers. */
export class Timeout implements SocketTimer {
  readonly #timers: VirtualTimers;
  #ref: boolean;
  /** Its id in the log. */
  readonly id: number;
  /** When it is due (µs). */
  due = 0;
  /** The key that the heap knows it under; `due` may have moved on since. */
  heapDue = 0;
  inHeap = false;
  armed = false;
  /** The independent connection in whose event it was set, 0 for none. */
  owner = 0;
  readonly ms: number;
  readonly repeat: boolean;
  readonly run: () => void;

  constructor(
    timers: VirtualTimers,
    id: number,
    ms: number,
    repeat: boolean,
    ref: boolean,
    run: (self: Timeout) => void,
  ) {
    this.#timers = timers;
    this.#ref = ref;
    this.id = id;
    this.ms = ms;
    this.repeat = repeat;
    this.run = () => run(this);
  }

  ref(): this {
    if (!this.#ref && this.armed) this.#timers.refs++;
    this.#ref = true;
    return this;
  }

  unref(): this {
    if (this.#ref && this.armed) this.#timers.refs--;
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  /** Starts the interval anew from now. */
  refresh(): this {
    this.#timers.arm(this);
    return this;
  }

  clear(): void {
    this.#timers.disarm(this);
  }

  close(): this {
    this.clear();
    return this;
  }

  [Symbol.toPrimitive](): number {
    return this.id;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** What setImmediate returns. */
export class Immediate {
  readonly #timers: VirtualTimers;
  #ref = true;
  readonly id: number;
  /** As a timer's. */
  owner = 0;
  pending = true;
  readonly run: () => void;

  constructor(timers: VirtualTimers, id: number, run: (self: Immediate) => void) {
    this.#timers = timers;
    this.id = id;
    this.run = () => run(this);
  }

  ref(): this {
    if (!this.#ref && this.pending) this.#timers.refs++;
    this.#ref = true;
    return this;
  }

  unref(): this {
    if (this.#ref && this.pending) this.#timers.refs--;
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  clear(): void {
    this.#timers.forget(this);
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** Keeps the caller's async context (AsyncLocalStorage) for a callback. */
function inContext<T extends object>(type: string, callback: Callback, args: unknown[]): (self: T) => void {
  const resource = new AsyncResource(type, { requireManualDestroy: true });
  return (self) => {
    resource.runInAsyncScope(callback, self, ...args);
  };
}

/** All timers and immediates of a runtime. */
export class VirtualTimers implements SocketTimers {
  readonly #host: TimerHost;
  readonly #timers = new Map<number, Timeout>();
  readonly #heap = new TimerHeap();
  readonly #immediates = new Map<number, Immediate>();
  /** Immediates that have not been taken, oldest first (primary only). */
  readonly #queue = new Fifo<Immediate>();
  /** How many of the queue belong to the current pass; -1: no pass is under way. */
  #pass = -1;
  #live: boolean;
  /** Timers and immediates that would keep a Node process alive. */
  refs = 0;

  constructor(source: TimerHost, live: boolean) {
    this.#host = source;
    this.#live = live;
  }

  setTimer(callback: Callback, delay: unknown, repeat: boolean, args: unknown[], ref = true): Timeout {
    const run = inContext<Timeout>('Timeout', callback, args);
    const timer = new Timeout(this, this.#host.drawId(), coerceDelay(delay), repeat, ref, run);
    timer.owner = this.#host.owner();
    this.arm(timer);
    return timer;
  }

  setImmediate(callback: Callback, args: unknown[]): Immediate {
    const run = inContext<Immediate>('Immediate', callback, args);
    const immediate = new Immediate(this, this.#host.drawId(), run);
    immediate.owner = this.#host.owner();
    this.#immediates.set(immediate.id, immediate);
    this.refs++;
    if (this.#live) this.#queue.push(immediate);
    return immediate;
  }

  /** A timer of a socket: does not keep the process alive. */
  set(ms: number, fn: () => void): SocketTimer {
    const timer = new Timeout(this, this.#host.drawId(), coerceDelay(ms), false, false, fn);
    timer.owner = this.#host.owner();
    this.arm(timer);
    return timer;
  }

  /** The independent connection that a timer or an immediate belongs to, 0 for none. */
  ownerOf(id: number): number {
    return (this.#timers.get(id) ?? this.#immediates.get(id))?.owner ?? 0;
  }

  /** An armed timer by its id. */
  find(id: number): Timeout | undefined {
    return this.#timers.get(id);
  }

  /** (Re)starts a timer from now. Constant time while it is in the heap: only `due` moves. */
  arm(timer: Timeout): void {
    timer.due = this.#host.peek() + timer.ms * 1000;
    if (!timer.armed) {
      timer.armed = true;
      this.#timers.set(timer.id, timer);
      if (timer.hasRef()) this.refs++;
    }
    if (this.#live && !timer.inHeap) this.#heap.push(timer);
  }

  disarm(timer: Timeout): void {
    if (!timer.armed) return;
    timer.armed = false;
    this.#timers.delete(timer.id);
    if (timer.hasRef()) this.refs--;
    if (timer.inHeap) this.#heap.dropped();
  }

  forget(immediate: Immediate): void {
    if (!immediate.pending) return;
    immediate.pending = false;
    this.#immediates.delete(immediate.id);
    if (immediate.hasRef()) this.refs--;
  }

  /** When the next timer is due (µs), or Infinity. */
  nextDeadline(): number {
    return this.#heap.first()?.due ?? Number.POSITIVE_INFINITY;
  }

  /** The next timer that is due at `nowUs`, as an event; each is handed out once. */
  takeDue(nowUs: number): RuntimeEvent | undefined {
    const timer = this.#heap.first();
    if (timer === undefined || timer.due > nowUs) return undefined;
    this.#heap.pop();
    return { kind: 'timer', id: timer.id };
  }

  get pendingImmediates(): number {
    return this.#immediates.size;
  }

  /**
   * The next immediate as an event. Returns undefined once at the end of each pass, so that what was queued during a
   * pass runs in the next one, after timers and input had their turn (Node's rule).
   */
  takeImmediate(): RuntimeEvent | undefined {
    if (this.#pass < 0) this.#pass = this.#queue.size;
    while (this.#pass-- > 0) {
      const next = this.#queue.shift()!;
      if (next.pending) return { kind: 'immediate', id: next.id };
    }
    return undefined;
  }

  /** Runs a timer. False: there is no such timer (any more). */
  fire(id: number): boolean {
    const timer = this.#timers.get(id);
    if (timer === undefined) return false;
    // Out of the heap only in the order of due times: one that was refreshed after it was taken is in it again.
    if (!timer.repeat) {
      this.disarm(timer);
      timer.run();
      return true;
    }
    try {
      timer.run();
    } finally {
      if (timer.armed) this.arm(timer);
    }
    return true;
  }

  /** Runs an immediate. False: there is no such immediate (any more). */
  fireImmediate(id: number): boolean {
    const immediate = this.#immediates.get(id);
    if (immediate === undefined) return false;
    this.forget(immediate);
    immediate.run();
    return true;
  }

  /** From now on timers become due by the clock. */
  goLive(): void {
    if (this.#live) return;
    this.#live = true;
    for (const timer of this.#timers.values()) if (!timer.inHeap) this.#heap.push(timer);
    this.#queue.clear();
    for (const immediate of this.#immediates.values()) this.#queue.push(immediate);
  }
}
