/**
 * Virtual timers and immediates. On the primary they become due by the clock, and each that is due
 * is an event. On a backup they wait for their event in the log.
 */
import { AsyncResource } from 'node:async_hooks';
import { Fifo } from '../../../lib/fifo.js';
import type { SocketTimer, SocketTimers } from '../../../stack/core/endpoint.js';
import type { RuntimeEvent } from './events.js';
import { TimerHeap } from './timer-heap.js';

/** Longest delay of Node's timers, in milliseconds. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Node's coercion of a delay, to whole milliseconds from 1 to 2^31 - 1. Warns as Node does. */
export function coerceDelay(delay: unknown): number {
  const ms = Number(delay);
  if (ms > MAX_TIMEOUT_MS) {
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
  /** Draws the next deterministic id. */
  drawId(): number;
  /** Logical time in microseconds. */
  peek(): number;
  /** The independent connection whose event runs, 0 for none. */
  owner(): number;
}

/** What makes a timer. */
interface TimerOptions {
  id: number;
  /** Delay or interval, in milliseconds. */
  ms: number;
  repeat: boolean;
  /** Keeps the process alive. */
  ref: boolean;
  run: ScopedCallback<Timeout>;
}

type Callback = (...args: unknown[]) => unknown;

/** What setTimeout and setInterval return; has all members of Node's Timeout. */
export class Timeout implements SocketTimer {
  readonly #timers: VirtualTimers;
  #ref: boolean;
  /** Its id in the log. */
  readonly id: number;
  /** When it is due, in microseconds of logical time. */
  due = 0;
  /** The due time that the heap is ordered by; `due` may have moved on since. */
  heapDue = 0;
  inHeap = false;
  armed = false;
  /** Its callback runs. */
  isFiring = false;
  /** The independent connection in whose event it was set, 0 for none. */
  owner = 0;
  readonly ms: number;
  readonly repeat: boolean;
  readonly #run: ScopedCallback<Timeout>;

  constructor(timers: VirtualTimers, options: TimerOptions) {
    this.#timers = timers;
    this.#ref = options.ref;
    this.id = options.id;
    this.ms = options.ms;
    this.repeat = options.repeat;
    this.#run = options.run;
  }

  run(): void {
    this.#run.call(this);
  }

  /** It does not fire any more, unless it is refreshed. */
  ended(): void {
    this.#run.destroy();
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

  /** Starts the delay again from now. */
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
  /** The independent connection in whose event it was set, 0 for none. */
  owner = 0;
  pending = true;
  readonly #run: ScopedCallback<Immediate>;

  constructor(timers: VirtualTimers, id: number, run: ScopedCallback<Immediate>) {
    this.#timers = timers;
    this.id = id;
    this.#run = run;
  }

  run(): void {
    try {
      this.#run.call(this);
    } finally {
      this.ended();
    }
  }

  /** It does not run any more. */
  ended(): void {
    this.#run.destroy();
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
    this.#timers.clearImmediate(this);
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** A callback in its caller's async context (AsyncLocalStorage); async_hooks see a resource. */
class ScopedCallback<T extends object> {
  readonly #resource: AsyncResource;
  readonly #callback: Callback;
  readonly #args: unknown[];
  #isDestroyed = false;

  constructor(type: string, callback: Callback, args: unknown[]) {
    this.#resource = new AsyncResource(type, { requireManualDestroy: true });
    this.#callback = callback;
    this.#args = args;
  }

  call(self: T): void {
    this.#resource.runInAsyncScope(this.#callback, self, ...this.#args);
  }

  /** Tells async_hooks, once. */
  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#resource.emitDestroy();
  }
}

/** All timers and immediates of a program. */
export class VirtualTimers implements SocketTimers {
  readonly #host: TimerHost;
  readonly #timers = new Map<number, Timeout>();
  readonly #heap = new TimerHeap();
  readonly #immediates = new Map<number, Immediate>();
  /** Primary: immediates that have not been taken, the oldest first. */
  readonly #queue = new Fifo<Immediate>();
  /** Immediates in the queue that belong to the current pass; -1: no pass is in progress. */
  #pass = -1;
  #live: boolean;
  /** Timers and immediates that would keep a Node process alive. */
  refs = 0;

  constructor(source: TimerHost, live: boolean) {
    this.#host = source;
    this.#live = live;
  }

  /** A timer of the program. @param delay milliseconds, coerced as Node does */
  setTimer(callback: Callback, delay: unknown, repeat: boolean, args: unknown[], ref = true): Timeout {
    const run = new ScopedCallback<Timeout>('Timeout', callback, args);
    const timer = new Timeout(this, { id: this.#host.drawId(), ms: coerceDelay(delay), repeat, ref, run });
    timer.owner = this.#host.owner();
    this.arm(timer);
    return timer;
  }

  /** An immediate of the program. */
  setImmediate(callback: Callback, args: unknown[]): Immediate {
    const run = new ScopedCallback<Immediate>('Immediate', callback, args);
    const immediate = new Immediate(this, this.#host.drawId(), run);
    immediate.owner = this.#host.owner();
    this.#immediates.set(immediate.id, immediate);
    this.refs++;
    if (this.#live) this.#queue.push(immediate);
    return immediate;
  }

  /** A timer of a socket, which does not keep the process alive. */
  set(ms: number, fn: () => void): SocketTimer {
    const timer = new Timeout(this, {
      id: this.#host.drawId(),
      ms: coerceDelay(ms),
      repeat: false,
      ref: false,
      run: new ScopedCallback<Timeout>('Timeout', fn, []),
    });
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

  /** Stops a timer; it can be armed again. */
  disarm(timer: Timeout): void {
    if (!timer.armed) return;
    timer.armed = false;
    this.#timers.delete(timer.id);
    if (timer.hasRef()) this.refs--;
    if (timer.inHeap) this.#heap.dropped();
    if (!timer.isFiring) timer.ended();
  }

  /** Drops an immediate that has not run. */
  forget(immediate: Immediate): void {
    if (!immediate.pending) return;
    immediate.pending = false;
    this.#immediates.delete(immediate.id);
    if (immediate.hasRef()) this.refs--;
  }

  /** Drops an immediate that the program has cleared. */
  clearImmediate(immediate: Immediate): void {
    if (!immediate.pending) return;
    this.forget(immediate);
    immediate.ended();
  }

  /**
   * When the next timer is due, in microseconds on the clock; Infinity for none, and always on a
   * backup.
   */
  nextDeadline(): number {
    return this.#heap.first()?.due ?? Number.POSITIVE_INFINITY;
  }

  /** Primary: the next timer that is due at `nowUs`, as an event; each is handed out once. */
  takeDue(nowUs: number): RuntimeEvent | undefined {
    const timer = this.#heap.first();
    if (timer === undefined || timer.due > nowUs) return undefined;
    this.#heap.pop();
    return { kind: 'timer', id: timer.id };
  }

  /** Immediates that have not run. */
  get pendingImmediates(): number {
    return this.#immediates.size;
  }

  /**
   * Primary: the next immediate as an event. Returns undefined once at the end of each pass: an
   * immediate that was queued during a pass runs in the next one, after timers and input (Node's
   * rule).
   */
  takeImmediate(): RuntimeEvent | undefined {
    if (this.#pass < 0) this.#pass = this.#queue.size;
    while (this.#pass-- > 0) {
      const next = this.#queue.shift();
      if (next?.pending) return { kind: 'immediate', id: next.id };
    }
    return undefined;
  }

  /** Runs a timer. False: there is no such timer, or no longer. */
  fire(id: number): boolean {
    const timer = this.#timers.get(id);
    if (timer === undefined) return false;
    // It may be in the heap again, if it was refreshed after it was taken. The heap drops it at its
    // due time.
    timer.isFiring = true;
    if (!timer.repeat) this.disarm(timer);
    try {
      timer.run();
    } finally {
      timer.isFiring = false;
      // It may have been refreshed, or cleared.
      if (!timer.armed) timer.ended();
      else if (timer.repeat) this.arm(timer);
    }
    return true;
  }

  /** Runs an immediate. False: there is no such immediate, or no longer. */
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
