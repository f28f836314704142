/**
 * Asynchronous operations. On the primary the real operation runs, and its end becomes an event of
 * kind `async`. On a backup the same operation ends when that event comes from the log.
 */
import { AsyncResource } from 'node:async_hooks';
import type { RuntimeEvent } from './events.js';

/** How an operation ended: the arguments of a Node callback. */
export interface Outcome {
  error: NodeJS.ErrnoException | null;
  values: unknown[];
}

/** An operation: how it runs, how its outcome is logged, and how the program hears of it. */
export interface Operation {
  /** For messages: 'fs.read'. */
  name: string;
  /** Runs it on the primary; `done` may be called at once. Throws what Node refuses. */
  start(done: (outcome: Outcome) => void): void;
  /**
   * Runs it on a backup, at the same point of the program; absent: only its logged result counts.
   */
  local?(): Outcome;
  /** Runs it when the backup has become primary and no end was logged; absent: `start` does. */
  redo?(done: (outcome: Outcome) => void): void;
  /** The outcome as it is logged. */
  encode(outcome: Outcome): Uint8Array;
  /** On a backup: the outcome, from the log and from the outcome of `local`. */
  decode(result: Uint8Array, local: Outcome | undefined, id: number): Outcome;
  /** Tells the program. */
  settle(outcome: Outcome): void;
  /** It changes the outside runtime. */
  readonly effect: boolean;
}

interface Pending {
  operation: Operation;
  outcome: Outcome | undefined;
  resource: AsyncResource;
  /** The independent connection in whose event it was begun, 0 for none. */
  owner: number;
}

/** What the operations need of the runtime. */
export interface OperationsHost {
  /** Draws the next deterministic id. */
  drawId(): number;
  /** The independent connection whose event runs, 0 for none. */
  owner(): number;
  /** Primary: an operation has ended; its event is to be logged and delivered. */
  request(event: RuntimeEvent): void;
  /** A backup has left out an effect. */
  suppressed(): void;
  /** A new primary carries out an effect (again). */
  redone(): void;
}

/** The operations that a program waits for. */
export class AsyncOperations {
  readonly #host: OperationsHost;
  readonly #pending = new Map<number, Pending>();
  #live: boolean;

  constructor(host: OperationsHost, live: boolean) {
    this.#host = host;
    this.#live = live;
  }

  /** Operations that the program waits for. */
  get size(): number {
    return this.#pending.size;
  }

  /** What an operation is called; undefined: there is none. */
  nameOf(id: number): string | undefined {
    return this.#pending.get(id)?.operation.name;
  }

  /** The independent connection that an operation belongs to, 0 for none. */
  ownerOf(id: number): number {
    return this.#pending.get(id)?.owner ?? 0;
  }

  /**
   * Begins an operation in the running event. Throws what its `start` throws.
   * @returns its number, for `cancel`
   */
  begin(operation: Operation): number {
    const id = this.#host.drawId();
    const resource = new AsyncResource('FTASYNC', { requireManualDestroy: true });
    const pending: Pending = { operation, outcome: undefined, resource, owner: this.#host.owner() };
    if (this.#live) {
      // Before it is registered: a call that Node refuses (bad arguments) throws here.
      let early: Outcome | undefined;
      let registered = false;
      operation.start((outcome) => {
        if (registered) this.#finish(id, outcome);
        else early = outcome;
      });
      this.#pending.set(id, pending);
      registered = true;
      if (early !== undefined) this.#finish(id, early);
    } else {
      if (operation.effect) this.suppress(operation);
      pending.outcome = operation.local?.();
      this.#pending.set(id, pending);
    }
    return id;
  }

  /** Whether an operation has been begun, and has neither ended nor been cancelled. */
  has(id: number): boolean {
    return this.#pending.has(id);
  }

  /** The program does not wait for an operation any more. It need not exist. */
  cancel(id: number): void {
    this.#pending.delete(id);
  }

  /** A backup leaves out an operation that has an effect. */
  protected suppress(_operation: Operation): void {
    this.#host.suppressed();
  }

  /**
   * A new primary performs an operation whose end is not in the log. Throws what `start` throws.
   */
  protected redo(operation: Operation, done: (outcome: Outcome) => void): void {
    if (operation.redo !== undefined) operation.redo(done);
    else operation.start(done);
  }

  #finish(id: number, outcome: Outcome): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || (this.#live && pending.outcome !== undefined && pending.outcome !== outcome)) return;
    pending.outcome = outcome;
    this.#host.request({ kind: 'async', id, result: pending.operation.encode(outcome) });
  }

  /** An event ends an operation. False: there is no such operation. */
  deliver(id: number, result: Uint8Array): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    this.#pending.delete(id);
    const { operation } = pending;
    const outcome =
      this.#live && pending.outcome !== undefined ? pending.outcome : operation.decode(result, pending.outcome, id);
    try {
      pending.resource.runInAsyncScope(operation.settle, operation, outcome);
    } finally {
      pending.resource.emitDestroy();
    }
    return true;
  }

  /** The log has ended: operations without a logged end are ended here. */
  goLive(): void {
    if (this.#live) return;
    this.#live = true;
    for (const [id, pending] of [...this.#pending]) {
      const { operation } = pending;
      if (pending.outcome !== undefined) {
        this.#finish(id, pending.outcome);
        continue;
      }
      if (operation.effect) this.#host.redone();
      const done = (outcome: Outcome): void => this.#finish(id, outcome);
      try {
        this.redo(operation, done);
      } catch (error) {
        done({ error: error as NodeJS.ErrnoException, values: [] });
      }
    }
  }
}
