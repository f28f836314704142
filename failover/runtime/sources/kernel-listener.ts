/**
 * A server of the kernel: on loopback or on the path of a Unix socket, which the stack does not
 * have. Only the live replica binds it. Its address ends an operation, and so does each connection,
 * which is a recorded kernel connection (kernel-connection.ts). A successor binds the same address
 * again.
 */
import net from 'node:net';
import { errorCode } from '../../../lib/errors.js';
import type { OutsideAddress, OutsideEvents } from '../../../stack/core/endpoint.js';
import type { Outcome } from '../core/async-operations.js';
import { originals } from '../core/originals.js';
import { type Ends, endsOf, KernelConnection, type KernelHost } from './kernel-connection.js';

/** Accepted connections that wait for the program, at most; more are reset and counted. */
const MAX_WAITING = 511;
/** A successor that cannot bind the address tries again at this interval, milliseconds. */
const BIND_AGAIN_MS = 100;

type Bound = { address: string; port: number };

function json(outcome: Outcome): Uint8Array {
  return Buffer.from(JSON.stringify(outcome.values[0]));
}

function fromJson(result: Uint8Array): Outcome {
  return { error: null, values: [JSON.parse(Buffer.from(result).toString()) as unknown] };
}

/** A listening socket of the kernel that outlives a takeover. */
export class KernelListener {
  readonly #host: KernelHost;
  readonly #where: OutsideAddress;
  readonly #events: OutsideEvents;
  #operation = 0;
  #closed = false;
  #isDeferred = false;
  /** Live: the server, and connections that it has accepted. */
  #server: net.Server | null = null;
  readonly #waiting: [Ends, net.Socket][] = [];
  #done: ((outcome: Outcome) => void) | null = null;
  /** Live: the connection that the event at hand is about. */
  #accepted: net.Socket | null = null;

  /**
   * Begins to listen, in the running event.
   * @param atOnce binds the address also while the program stands by
   */
  constructor(host: KernelHost, where: OutsideAddress, events: OutsideEvents, atOnce = false) {
    this.#host = host;
    this.#where = where;
    this.#events = events;
    this.#operation = host.runtime.operations.begin({
      name: 'net.listen',
      effect: true,
      start: (done) => this.#begin(atOnce, (result) => done({ error: null, values: [result] })),
      encode: json,
      decode: fromJson,
      settle: ({ values }) => this.#listening(values[0] as Bound | string),
    });
  }

  /** A program that stands by does not bind what another one has: it does so when it serves. */
  #begin(atOnce: boolean, told: (result: Bound | string) => void): void {
    const { address, port, isPath } = this.#where;
    this.#isDeferred = !atOnce && this.#host.standby != null && (isPath || port !== 0);
    if (this.#isDeferred) told({ address, port });
    else this.#bind(port, told);
  }

  /** @param told gets the address, or the error's code */
  #bind(port: number, told: (result: Bound | string) => void): void {
    const { address, isPath, backlog } = this.#where;
    const server = this.#host.runtime.outside(() => net.createServer({ pauseOnConnect: true, allowHalfOpen: true }));
    this.#server = server;
    server.on('connection', (socket) => this.#arrived(socket));
    server.on('error', (error) => told(errorCode(error) ?? 'EINVAL'));
    server.on('listening', () => {
      const at = server.address() as net.AddressInfo | string;
      told(typeof at === 'string' ? { address: at, port: 0 } : { address: at.address, port: at.port });
    });
    const options = isPath ? { path: address } : { host: address, port };
    this.#host.runtime.outside(() => server.listen({ ...options, ...(backlog === undefined ? {} : { backlog }) }));
  }

  /** A successor binds the address that the dead process had, until it succeeds. */
  #bindAgain({ address, port }: Bound): void {
    if (this.#closed) return;
    // The dead process has left its name.
    if (this.#where.isPath) originals.fs.rmSync(address, { force: true });
    this.#bind(port, (result) => {
      if (typeof result === 'string') originals.setTimeout(() => this.#bindAgain({ address, port }), BIND_AGAIN_MS);
    });
  }

  #listening(result: Bound | string): void {
    if (typeof result === 'string') {
      this.#events.onError(result);
      return;
    }
    this.#accept(result);
    this.#events.onListening(result.address, result.port);
  }

  #accept(bound: Bound): void {
    this.#operation = this.#host.runtime.operations.begin({
      name: 'net.accept',
      effect: false,
      start: (done) => {
        this.#done = done;
        if (this.#isDeferred) this.#bindAtTakeover(bound);
        else this.#next();
      },
      redo: (done) => {
        this.#done = done;
        this.#bindAgain(bound);
      },
      encode: json,
      decode: fromJson,
      settle: ({ values }) => {
        const socket = this.#accepted;
        this.#accepted = null;
        this.#accept(bound);
        this.#events.onConnection(KernelConnection.accepted(this.#host, values[0] as Ends, socket));
      },
    });
  }

  #bindAtTakeover(bound: Bound): void {
    this.#isDeferred = false;
    const { standby } = this.#host;
    if (standby == null) this.#bindAgain(bound);
    else standby.atTakeover.push(() => this.#bindAgain(bound));
  }

  #arrived(socket: net.Socket): void {
    socket.on('error', () => undefined);
    if (this.#waiting.length >= MAX_WAITING) {
      this.#host.runtime.counters.refusedConnections++;
      socket.destroy();
      return;
    }
    this.#waiting.push([endsOf(socket), socket]);
    this.#next();
  }

  #next(): void {
    const done = this.#done;
    const [first] = this.#waiting;
    if (done === null || first === undefined) return;
    this.#waiting.shift();
    this.#done = null;
    this.#accepted = first[1];
    done({ error: null, values: [first[0]] });
  }

  /** Stops listening; connections that exist go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { runtime } = this.#host;
    runtime.operations.cancel(this.#operation);
    this.#done = null;
    for (const [, socket] of this.#waiting.splice(0)) socket.destroy();
    this.#accepted?.destroy();
    const server = this.#server;
    if (server !== null) runtime.outside(() => server.close());
  }
}
