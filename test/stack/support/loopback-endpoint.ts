import { FtError } from '../../../lib/errors.js';
import type {
  ConnectTarget,
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  SocketHost,
  SocketTimer,
  SocketTimers,
  StreamEndpoint,
  StreamEvents,
} from '../../../stack/core/endpoint.js';

/** How a loopback behaves. */
export interface LoopbackOptions {
  /** What SocketHost.sendBuffer says. */
  sendBuffer?: number;
  /** Bytes that a receiver takes before its application reads. */
  window?: number;
  /** Events happen only in `step()` and `run()`, not by themselves. */
  manual?: boolean;
}

/** Timers of the test's own process; they keep nothing alive. */
class RealTimers implements SocketTimers {
  live = 0;

  set(ms: number, fn: () => void): SocketTimer {
    this.live++;
    let cleared = false;
    const timer = setTimeout(fn, ms).unref();
    return {
      refresh: () => {
        timer.refresh();
      },
      clear: () => {
        if (!cleared) this.live--;
        cleared = true;
        clearTimeout(timer);
      },
    };
  }
}

/**
 * A SocketHost whose connections are pairs of endpoints in memory. One event at a time, never
 * inside a call.
 */
export class LoopbackHost implements SocketHost {
  readonly timers = new RealTimers();
  readonly sendBuffer: number;
  readonly window: number;
  readonly endpoints: LoopbackEndpoint[] = [];
  readonly #manual: boolean;
  readonly #listeners = new Map<number, ListenerEvents>();
  readonly #due: LoopbackEndpoint[] = [];
  #tasks: (() => void)[] = [];
  #stalled = false;
  #nextPort = 40000;
  #nextId = 1;
  #scheduled = false;

  constructor(options: LoopbackOptions = {}) {
    this.sendBuffer = options.sendBuffer ?? 1 << 20;
    this.window = options.window ?? 1 << 18;
    this.#manual = options.manual ?? false;
  }

  /** While on, no byte moves between endpoints, so nothing is acknowledged. */
  get stalled(): boolean {
    return this.#stalled;
  }

  set stalled(on: boolean) {
    this.#stalled = on;
    for (const endpoint of this.endpoints) this.wake(endpoint);
  }

  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    const port = options.port || this.#nextPort++;
    const address = options.address ?? '0.0.0.0';
    if (address === '203.0.113.1') throw new FtError('EADDRNOTAVAIL', 'No interface has this address');
    if (this.#listeners.has(port)) throw new FtError('EADDRINUSE', 'The port is taken', 'Choose another.');
    this.#listeners.set(port, events);
    return {
      address,
      port,
      family: address.includes(':') ? 'IPv6' : 'IPv4',
      close: () => {
        this.#listeners.delete(port);
      },
    };
  }

  connect(options: ConnectTarget): StreamEndpoint {
    if (options.address === '203.0.113.1') throw new FtError('EHOSTUNREACH', 'No route');
    const client = new LoopbackEndpoint(
      this,
      this.#nextId++,
      { address: options.localAddress ?? '127.0.0.1', port: options.localPort ?? this.#nextPort++ },
      { address: options.address, port: options.port },
    );
    this.endpoints.push(client);
    this.task(() => {
      const listener = this.#listeners.get(options.port);
      if (client.gone) return;
      if (!listener) {
        client.failed('ECONNREFUSED');
        return;
      }
      const server = new LoopbackEndpoint(
        this,
        this.#nextId++,
        { address: options.address, port: options.port },
        { address: client.localAddress, port: client.localPort },
      );
      this.endpoints.push(server);
      server.peer = client;
      client.peer = server;
      server.established = true;
      this.task(() => client.establish());
      listener.onConnection(server);
    });
    return client;
  }

  /** Puts an endpoint on the list of those that may have something to do. */
  wake(endpoint: LoopbackEndpoint): void {
    if (!endpoint.due) {
      endpoint.due = true;
      this.#due.push(endpoint);
    }
    this.#schedule();
  }

  task(fn: () => void): void {
    this.#tasks.push(fn);
    this.#schedule();
  }

  /** One event; false if there was nothing to do. */
  step(): boolean {
    const task = this.#tasks.shift();
    if (task) {
      task();
      return true;
    }
    for (let next = this.#due.shift(); next; next = this.#due.shift()) {
      next.due = false;
      if (next.work()) {
        this.wake(next);
        return true;
      }
    }
    return false;
  }

  /** Events until there are none. */
  run(): void {
    while (this.step());
  }

  #schedule(): void {
    if (this.#manual || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      // One event a turn, so that ticks and microtasks run in between, as they do in the stack's
      // own loop.
      let more = true;
      try {
        more = this.step();
      } finally {
        // An exception of a listener must not stop the others.
        if (more) this.#schedule();
      }
    });
  }
}

interface Address {
  address: string;
  port: number;
}

/**
 * One end of a connection in memory. Bytes are copied when they reach the other end's window: that
 * is the acknowledgement.
 */
export class LoopbackEndpoint implements StreamEndpoint {
  readonly family: 'IPv4' | 'IPv6';
  events: StreamEvents | null = null;
  peer: LoopbackEndpoint | null = null;
  due = false;
  gone = false;
  established = false;
  noDelay = false;
  keepAlive: [boolean, number] = [false, 0];
  /** Calls of `write` and what each was given. */
  readonly writes: number[] = [];
  wantCalls = 0;
  /** Most bytes that ever waited here. */
  mostQueued = 0;
  acked = 0;
  written = 0;
  #queue: Uint8Array[] = [];
  #inbox: Buffer[] = [];
  #inboxBytes = 0;
  #want = 0;
  #reading = false;
  #fin = false;
  #peerFin = false;
  #endTold = false;
  #over = false;
  #failure: string | null = null;

  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;

  constructor(
    readonly host: LoopbackHost,
    readonly id: number,
    local: Address,
    remote: Address,
  ) {
    this.localAddress = local.address;
    this.localPort = local.port;
    this.remoteAddress = remote.address;
    this.remotePort = remote.port;
    this.family = remote.address.includes(':') ? 'IPv6' : 'IPv4';
  }

  get queued(): number {
    return this.written - this.acked;
  }

  get inboxBytes(): number {
    return this.#inboxBytes;
  }

  write(chunk: Uint8Array): void {
    if (this.gone || this.#fin) throw new Error('write after the end');
    if (chunk.byteLength === 0) throw new Error('an empty write');
    this.writes.push(chunk.byteLength);
    this.#queue.push(chunk);
    this.written += chunk.byteLength;
    this.mostQueued = Math.max(this.mostQueued, this.queued);
    this.host.wake(this);
  }

  wantSpace(acked: number): void {
    if (acked > this.written) throw new Error('asked for more than was written');
    this.wantCalls++;
    this.#want = this.#want === 0 ? acked : Math.min(this.#want, acked);
    this.host.wake(this);
  }

  shutdown(): void {
    this.#fin = true;
    this.host.wake(this);
  }

  setReading(on: boolean): void {
    this.#reading = on;
    this.host.wake(this);
  }

  close(): void {
    if (this.gone) return;
    if (this.#inbox.length > 0) {
      this.abort();
      return;
    }
    this.gone = true;
    this.#fin = true;
    this.host.wake(this);
  }

  abort(): void {
    if (this.gone && this.#queue.length === 0) return;
    this.gone = true;
    this.#over = true;
    this.#queue = [];
    const peer = this.peer;
    if (peer) this.host.task(() => peer.failed('ECONNRESET'));
  }

  setNoDelay(on: boolean): void {
    this.noDelay = on;
  }

  setKeepAlive(on: boolean, delayMs: number): void {
    this.keepAlive = [on, delayMs];
  }

  establish(): void {
    this.established = true;
    if (!this.gone) this.events?.onConnect();
    this.host.wake(this);
  }

  failed(code: string): void {
    this.#failure = code;
    this.host.wake(this);
  }

  /** At most one event; true if there was one. */
  work(): boolean {
    if (this.#over) return false;
    if (this.#failure !== null) {
      this.#over = true;
      this.#queue = [];
      this.#emit((events) => events.onClose(this.#failure));
      return true;
    }
    if (!this.established || !this.peer) return false;
    this.#send(this.peer);
    if (this.gone) return false;
    if (this.#want > 0 && this.acked >= this.#want) {
      this.#want = 0;
      this.#emit((events) => events.onSpace(this.acked, 0));
      return true;
    }
    if (this.#reading && this.#inbox.length > 0) {
      const chunk = this.#inbox.shift()!;
      this.#inboxBytes -= chunk.length;
      this.host.wake(this.peer);
      this.#emit((events) => {
        if (events.peek?.(chunk, 0, chunk.length, false) !== true) events.onData(chunk);
      });
      return true;
    }
    if (this.#reading && this.#peerFin && this.#inbox.length === 0 && !this.#endTold) {
      this.#endTold = true;
      this.#emit((events) => events.onEnd());
      return true;
    }
    if (this.#endTold && this.#fin && this.#queue.length === 0) {
      this.#over = true;
      this.#emit((events) => events.onClose(null));
      return true;
    }
    return false;
  }

  #emit(call: (events: StreamEvents) => void): void {
    if (this.events !== null && !this.gone) call(this.events);
  }

  #send(peer: LoopbackEndpoint): void {
    while (!this.host.stalled && this.#queue.length > 0) {
      if (peer.gone || peer.#over) {
        this.failed('ECONNRESET');
        return;
      }
      const room = Math.min(65536, this.host.window - peer.#inboxBytes);
      if (room <= 0) return;
      const first = this.#queue[0];
      const part = first.subarray(0, room);
      if (part.byteLength === first.byteLength) this.#queue.shift();
      else this.#queue[0] = first.subarray(room);
      peer.#inbox.push(Buffer.from(part));
      peer.#inboxBytes += part.byteLength;
      this.acked += part.byteLength;
      this.host.wake(peer);
    }
    if (this.#fin && this.#queue.length === 0 && !peer.#peerFin) {
      peer.#peerFin = true;
      this.host.wake(peer);
    }
  }
}
