/**
 * The asynchronous context of connections: AsyncLocalStorage and async_hooks see each connection,
 * and each acceptance of one, as a resource of its own, as they do with Node's sockets. Nothing
 * that one connection enters is seen by another one.
 */
import { AsyncResource } from 'node:async_hooks';

/** Made when this module is loaded: outside of any connection. */
const root = new AsyncResource('FTSTACK');
const OPTIONS = { requireManualDestroy: true };

/** Runs something in the context in which it was made. */
export type ContextRunner = <T>(fn: () => T) => T;

/** The context of the caller, for callbacks that are each a resource of their own. */
export function callersContext(type: string): ContextRunner {
  // A resource that runs nothing of the program: what the program enters stays in the next one.
  const captured = new AsyncResource(type, OPTIONS);
  const fresh = (): AsyncResource => new AsyncResource(type, OPTIONS);
  return (fn) => {
    const once = captured.runInAsyncScope(fresh);
    try {
      return once.runInAsyncScope(fn);
    } finally {
      once.emitDestroy();
    }
  };
}

/** The context of one connection. */
export class AsyncScope {
  readonly #resource: AsyncResource;
  #isDestroyed = false;

  /** @param isOutgoing the program opens it now: it has the caller's context */
  constructor(isOutgoing: boolean) {
    const make = (): AsyncResource => new AsyncResource('TCPWRAP', OPTIONS);
    this.#resource = isOutgoing ? make() : root.runInAsyncScope(make);
  }

  /** Runs a method in this context. */
  run<This extends object, Args extends unknown[]>(
    method: (this: This, ...args: Args) => void,
    self: This,
    ...args: Args
  ): void {
    this.#resource.runInAsyncScope(method, self, ...args);
  }

  /** The connection has ended for the program. */
  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#resource.emitDestroy();
  }
}
