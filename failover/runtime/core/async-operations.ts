/**
 * Asynchronous operations. On the primary the real operation runs and its completion becomes an ASYNC event; on a backup
 * the same operation completes when that event comes from the log.
 */
import { AsyncResource } from 'node:async_hooks';
import { invariants } from '../../log/invariants.js';
import type { RuntimeEvent } from './events.js';

/** How an operation ended: the arguments of a Node callback. */
export interface Outcome {
  error: NodeJS.ErrnoException | null;
  values: unknown[];
}

export interface Operation {
  /** For messages: 'fs.read'. */
  what: string;
  /** Runs it for real; `done` may be called at once. */
  start(done: (outcome: Outcome) => void): void;
  /** Runs it on a backup, at the same point of the program; absent: only its logged result counts. */
  local?(): Outcome;
  /** Runs it when the backup has become primary and no completion was logged; absent: `start`. */
  redo?(done: (outcome: Outcome) => void): void;
  encode(outcome: Outcome): Uint8Array;
  /** On a backup: the outcome, from the log and from what `local` found. */
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

export interface OperationsHost {
  drawId(): number;
  owner(): number;
  request(event: RuntimeEvent): void;
  suppressed(): void;
  redone(): void;
}

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

  /** The independent connection that an operation belongs to, 0 for none. */
  ownerOf(id: number): number {
    return this.#pending.get(id)?.owner ?? 0;
  }

  begin(operation: Operation): void {
    const id = this.#host.drawId();
    const resource = new AsyncResource('FTASYNC', { requireManualDestroy: true });
    const pending: Pending = { operation, outcome: undefined, resource, owner: this.#host.owner() };
    if (this.#live) {
      // Before it is registered: what Node refuses (bad arguments) throws here.
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
      if (operation.effect) this.#host.suppressed();
      if (operation.effect && !invariants.E1) operation.start(() => undefined);
      pending.outcome = operation.local?.();
      this.#pending.set(id, pending);
    }
  }

  #finish(id: number, outcome: Outcome): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || (this.#live && pending.outcome !== undefined && pending.outcome !== outcome)) return;
    pending.outcome = outcome;
    this.#host.request({ kind: 'async', id, result: pending.operation.encode(outcome) });
  }

  /** Completes an operation. False: there is no such operation. */
  deliver(id: number, result: Uint8Array): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    this.#pending.delete(id);
    const { operation } = pending;
    const outcome =
      this.#live && pending.outcome !== undefined ? pending.outcome : operation.decode(result, pending.outcome, id);
    pending.resource.runInAsyncScope(operation.settle, operation, outcome);
    return true;
  }

  /** The log has ended: what never completed is completed here. */
  goLive(): void {
    if (this.#live) return;
    this.#live = true;
    for (const [id, pending] of [...this.#pending]) {
      const { operation } = pending;
      if (pending.outcome !== undefined) {
        this.#finish(id, pending.outcome);
        continue;
      }
      if (operation.effect && !invariants.E2) {
        this.#finish(id, { error: null, values: [] });
        continue;
      }
      if (operation.effect) this.#host.redone();
      const done = (outcome: Outcome): void => this.#finish(id, outcome);
      try {
        if (operation.redo !== undefined) operation.redo(done);
        else operation.start(done);
      } catch (error) {
        done({ error: error as NodeJS.ErrnoException, values: [] });
      }
    }
  }
}
