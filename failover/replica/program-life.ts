/**
 * When a primary's program is ready, and when it has nothing left to do: no server, connection,
 * timer or operation. As in Node it is told `beforeExit` then, an event, and ends if that began
 * nothing. Its replicas end, too.
 */
import type { Clock } from '../../lib/clock.js';
import type { Stack } from '../../stack/stack.js';
import type { Connections } from '../connections/connections.js';
import { originals } from '../runtime/core/originals.js';
import type { Runtime } from '../runtime/runtime.js';

/** A program that does not listen this long after its start counts as ready, microseconds. */
const READY_WAIT_US = 1_000_000;

/** What the program's life depends on. */
export interface ProgramHost {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly stack: Stack;
  readonly connections: Connections;
  /** Queues an event of the runtime. */
  request(event: { kind: 'beforeExit'; id: 0 }): void;
  /** Events of the runtime wait. */
  readonly hasRequests: boolean;
  emit(event: 'ready' | 'programEnded'): unknown;
}

/** What keeps Node's event loop alive, beside the runtime: handles and requests by kind. */
function nodeResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of originals.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** Looks after a primary's program between its events. */
export class ProgramLife {
  readonly #host: ProgramHost;
  /** Until when `ready` may wait for a listener, microseconds; 0: it does not wait. */
  #readyUntilUs = 0;
  /** The replica's own handles; null: the program never ends by itself. */
  #own: ReadonlyMap<string, number> | null = null;
  #isTold = false;

  constructor(host: ProgramHost) {
    this.#host = host;
  }

  /** The program is about to run in this process, and may end by itself. */
  begin(): void {
    // Both make their handles at the first use.
    void process.stdout;
    void process.stderr;
    this.#own = nodeResources();
  }

  /** The start is over. */
  started(): void {
    this.#readyUntilUs = this.#host.clock.now() + READY_WAIT_US;
    this.#reportReady();
  }

  /** No event is due. */
  look(): void {
    if (this.#readyUntilUs > 0) this.#reportReady();
    else if (this.#own !== null && this.#host.connections.listeners.size === 0) this.#lookForEnd(this.#own);
  }

  /** Programs may listen after their start: `ready` waits for that, but not for ever. */
  #reportReady(): void {
    const { connections, runtime, clock } = this.#host;
    const isWaiting = connections.listeners.size === 0 && runtime.alive;
    if (isWaiting && clock.now() < this.#readyUntilUs) return;
    this.#readyUntilUs = 0;
    this.#host.emit('ready');
  }

  #lookForEnd(own: ReadonlyMap<string, number>): void {
    const { runtime, stack, hasRequests } = this.#host;
    const isBusy = runtime.alive || hasRequests || stack.tcp.table.size > 0 || stack.events.length > 0;
    if (isBusy || this.#hasResources(own)) {
      this.#isTold = false;
      return;
    }
    if (this.#isTold) {
      this.#own = null;
      this.#host.emit('programEnded');
      return;
    }
    this.#isTold = true;
    this.#host.request({ kind: 'beforeExit', id: 0 });
  }

  /** The program has handles of its own, such as a child process. */
  #hasResources(own: ReadonlyMap<string, number>): boolean {
    for (const [kind, count] of nodeResources()) if (count > (own.get(kind) ?? 0)) return true;
    return false;
  }
}
